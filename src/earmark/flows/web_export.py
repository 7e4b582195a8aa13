"""A static folder that tags in the visitor's browser: the page, taggers with their metadata, the runtime."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from earmark import __version__
from earmark.errors import ConfigError, RunError
from earmark.flows.onnxruntime_web import OnnxRuntimeWeb, onnxruntime_web
from earmark.run import TAGGER_SUFFIX, to_json
from earmark.tagger import Tagger, load_tagger
from earmark.tagger.home import FOLDER_MANIFEST

PAGE = files("earmark.server").joinpath("page")
LIST = "taggers.json"  # by which an export is known again, too
FORMAT = "earmark-web-export"
ENGINE = '// Who tags: this browser.\nexport * from "./engine_local.js";\n'
OFFLINE = "// What offline.js keeps.\nconst VERSION = {version};\nconst FILES = {files};\n"
NOT_COPIED = ("engine.js", "engine_server.js", "LICENSE.onnxruntime-web")
README = """\
A page that tells what is in a sound. Everything runs in the visitor's browser: no sound leaves it.

Taggers: {taggers}

To try it on this machine, in this folder:

    python -m http.server 8000 --bind 127.0.0.1

and open http://127.0.0.1:8000 in a browser. Opened as a file (file://…) it does not work: browsers let such pages
load neither modules nor other files.

To publish it, copy the folder to any host of static files, under any path. Nothing has to be set up; the microphone
needs https, as everywhere. All of it has {megabytes} MB.

Made by Earmark {version} (Apache-2.0, LICENSE) with ONNX Runtime Web {runtime} (MIT, onnxruntime-web/LICENSE; what it
holds of others: https://github.com/microsoft/onnxruntime/blob/main/ThirdPartyNotices.txt). What the taggers may be
used for stands in their metadata, taggers/*.json, under "licences".
"""


@dataclass(frozen=True)
class WebExport:
    """folder: what was written. taggers: their names. n_bytes: of all files together."""

    folder: Path
    taggers: tuple[str, ...]
    n_bytes: int


def export_web(taggers: Sequence[Path | str], folder: Path, runtime: Path | None = None) -> WebExport:
    """Write the folder, whole or not at all; an export that is there already is replaced.

    Args:
        taggers: paths or names, as for `load_tagger`; the page offers them in this order.
        folder: to write.
        runtime: a folder of the package onnxruntime-web; None = fetch it.

    Raises:
        ConfigError: the folder is something else; a tagger is a folder of several, or two have one name.
        TaggerFileError: a tagger cannot be opened, or has no labels.
        FetchError: the runtime cannot be fetched.
        RunError: the folder cannot be written.
    """
    _require_free(folder)
    opened = [_open(tagger) for tagger in taggers]
    names = [tagger.metadata.name for tagger in opened]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(
            f"{twice}: two of the taggers have this name, and the page tells them apart by it. Leave one out."
        )
    contents = _contents(opened, onnxruntime_web(runtime))
    try:
        _write(contents, folder)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}). Choose another place with --web.") from error
    return WebExport(folder, tuple(names), sum(map(len, contents.values())))


def _require_free(folder: Path) -> None:
    """Refuse a place that holds anything but an export."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        known = json.loads((folder / LIST).read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        known = False
    if not known:
        raise ConfigError(f"{folder}: is there already and no web export. Choose a new folder, or delete it.")


def _open(tagger: Path | str) -> Tagger:
    opened = load_tagger(tagger)
    if opened.path.name == FOLDER_MANIFEST:
        raise ConfigError(
            f"{tagger}: is a folder of several taggers, and the page runs single files. "
            "Export one of its members, or let `earmark serve` run it."
        )
    opened.require_labels()
    return opened


def _contents(taggers: Sequence[Tagger], runtime: OnnxRuntimeWeb) -> dict[str, bytes]:
    """Every file of the export: path in the folder → content."""
    contents = {each.name: each.read_bytes() for each in PAGE.iterdir() if each.name not in NOT_COPIED}
    contents["engine.js"] = ENGINE.encode()
    contents |= {f"onnxruntime-web/{name}": content for name, content in runtime.files.items()}
    contents["onnxruntime-web/LICENSE"] = PAGE.joinpath("LICENSE.onnxruntime-web").read_bytes()
    listed = []
    for number, tagger in enumerate(taggers, start=1):
        # What hosts and file systems agree on; the page shows the name as it is.
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", tagger.metadata.name).strip("._") or "tagger"
        stem = plain if f"taggers/{plain}.tagger.json" not in contents else f"{plain}-{number}"
        file, metadata = f"{stem}{TAGGER_SUFFIX}", f"{stem}.tagger.json"
        contents[f"taggers/{file}"] = tagger.path.read_bytes()
        contents[f"taggers/{metadata}"] = tagger.backend.metadata_json.encode("utf-8")
        listed.append({"file": file, "metadata": metadata, "identity": tagger.identity})
    origin = {"format": FORMAT, "earmark": __version__, "onnxruntime_web": runtime.version}
    contents[LIST] = (to_json(origin | {"taggers": listed}, indent=2) + "\n").encode("utf-8")
    found = hashlib.sha256(b"".join(name.encode() + content for name, content in sorted(contents.items())))
    offline = OFFLINE.format(version=to_json(found.hexdigest()[:16]), files=to_json(sorted(contents)))
    contents["offline_files.js"] = offline.encode()
    contents["README.txt"] = README.format(
        taggers=", ".join(tagger.metadata.name for tagger in taggers),
        megabytes=round(sum(map(len, contents.values())) / 1e6),
        version=__version__,
        runtime=runtime.version,
    ).encode("utf-8")
    return contents


def _write(contents: dict[str, bytes], folder: Path) -> None:
    """Beside its place, then into it; what was there goes last, and comes back whatever came between."""
    folder = folder.resolve()
    unfinished, old = (folder.with_name(f".{folder.name}.{secrets.token_hex(6)}") for _ in range(2))
    try:
        for name, content in contents.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if folder.exists():
            os.replace(folder, old)
        os.replace(unfinished, folder)
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
