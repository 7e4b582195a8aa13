"""The command that answers over the network: `serve`. Never needs torch."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from earmark.cli.console import StderrLines

TOKEN_VARIABLE = "EARMARK_TOKEN"


def serve(
    taggers: Annotated[
        list[str],
        typer.Argument(help="Tagger files, names that `earmark models` lists, or runs; the first is the default."),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback wants a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            help=f"Secret that clients must send; others on this machine can see it. \\[env: {TOKEN_VARIABLE}]"
        ),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="A file with the token in it.")] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Answer whoever reaches the address.")] = False,
    origins: Annotated[
        list[str] | None,
        typer.Option("--origin", help="A site whose pages may call, such as https://example.org. May be repeated."),
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the page for people, too.")] = True,
    max_megabytes: Annotated[float, typer.Option(min=0.001, help="Of an upload.")] = 100.0,
    max_seconds: Annotated[float, typer.Option(min=0.001, help="Of sound in a request.")] = 3600.0,
    max_work_seconds: Annotated[float, typer.Option(min=0.001, help="That decoding and scoring may take.")] = 60.0,
    at_work: Annotated[
        int | None, typer.Option(min=1, help="Requests decoded and scored at once. \\[default: two per core]")
    ] = None,
    waiting: Annotated[int, typer.Option(min=0, help="Requests that may wait for that.")] = 32,
    streams: Annotated[int, typer.Option(min=0, help="Streams at once.")] = 8,
) -> None:
    """Serve taggers: REST, a stream for live sound, and a page.

    A line of JSON on stderr for every request. Ctrl-C or SIGTERM stops it: what it took is finished first.

    Examples:

      earmark serve birds.tagger.onnx

      earmark serve runs/birds mn04_as --port 9000

      earmark serve mn04_as --host 0.0.0.0 --token-file secret.txt
    """
    from earmark.server.app import PAGE, create_app
    from earmark.server.gate import LOOPBACK_NAMES
    from earmark.server.limits import Limits
    from earmark.server.serving import address_of, listen
    from earmark.server.serving import serve as run
    from earmark.tagger import load_tagger

    loopback = host in LOOPBACK_NAMES
    secret = _secret(token, token_file)
    _require_secret(secret, no_token, loopback, host)
    limits = Limits(
        bytes=round(max_megabytes * 1e6),
        seconds=max_seconds,
        work_seconds=max_work_seconds,
        waiting=waiting,
        streams=streams,
    )
    limits = replace(limits, at_work=at_work or limits.at_work)
    names = LOOPBACK_NAMES if loopback else None
    opened = [load_tagger(name) for name in taggers]
    app = create_app(
        opened, limits=limits, token=secret, origins=origins or (), hosts=names, page=PAGE if page else None
    )
    _log_requests()
    with listen(host, port) as listening:
        served = ", ".join(f"{tagger.metadata.name} ({len(tagger.labels)} labels)" for tagger in opened)
        print(f"{address_of(listening)}  {served}; Ctrl-C stops", flush=True)
        run(app, listening, lambda text: print(text, file=sys.stderr, flush=True))


def _secret(token: str | None, token_file: Path | None) -> str | None:
    """The token, from wherever it is given; None = from nowhere.

    Raises:
        ConfigError: it is given twice, or its file cannot be read or holds none.
    """
    from earmark.errors import ConfigError

    if token is not None and token_file is not None:
        raise ConfigError("--token, --token-file: the token is given twice. Leave out one.")
    if token_file is None:
        return token if token is not None else os.environ.get(TOKEN_VARIABLE)
    try:
        lines = token_file.read_text(encoding="utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--token-file {token_file}: cannot be read ({reason}). Check the path.") from error
    if len(lines) != 1:
        raise ConfigError(
            f"--token-file {token_file}: holds {len(lines)} lines of text (expected the token alone, in one). Write "
            f"it, such as with `openssl rand -hex 24 > {token_file}`."
        )
    return lines[0]


def _require_secret(secret: str | None, no_token: bool, loopback: bool, host: str) -> None:
    """Refuse to be open to a network by oversight.

    Raises:
        ConfigError: neither a token nor the word that none is meant; or both.
    """
    from earmark.errors import ConfigError

    if secret is not None and no_token:
        raise ConfigError(f"--no-token: a token is given, perhaps by ${TOKEN_VARIABLE}. Leave out one.")
    if secret is None and not no_token and not loopback:
        raise ConfigError(
            f"--host {host}: whoever reaches this machine could use the server. Give --token-file, or --no-token if "
            "that is meant."
        )


def _log_requests() -> None:
    """The lines of the requests on stderr, as they are; and what goes wrong inside."""
    handler = StderrLines()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger().handlers = [handler]
    logging.getLogger("earmark").setLevel(logging.INFO)
