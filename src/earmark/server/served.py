"""What a server serves: its taggers, limits and token, the same for requests and streams."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from earmark.errors import ConfigError
from earmark.lookup import did_you_mean
from earmark.run import Run
from earmark.server.limits import Limits
from earmark.server.refusals import Refusal
from earmark.server.shared_backend import SharedBackend
from earmark.tagger import Tagger


@dataclass(frozen=True)
class Served:
    """taggers: by name, the default first. token: that clients must know; None = they need none."""

    taggers: Mapping[str, Tagger]
    limits: Limits
    token: str | None = None

    @classmethod
    def of(cls, taggers: Sequence[Tagger], limits: Limits, token: str | None) -> Served:
        """Taggers whose graphs are shared by all clients.

        Raises:
            ConfigError: there are none, two of one name, or an empty token.
            TaggerFileError: one has no labels, or was not opened from a file.
        """
        if not taggers:
            raise ConfigError("serve: there is no tagger to serve. Give one or more.")
        if token is not None and not token.strip():
            raise ConfigError("--token: is empty. Give a secret, such as that of `openssl rand -hex 24`.")
        found: dict[str, Tagger] = {}
        for tagger in taggers:
            tagger.require_labels()
            name = tagger.identity and tagger.metadata.name  # the file is hashed now, not for the first client
            if name in found:
                raise ConfigError(
                    f"serve: two taggers are called '{name}' ({found[name].path}, {tagger.path}). Serve one of them, "
                    "or each on a port of its own."
                )
            found[name] = tagger.with_parts(backend=SharedBackend)
        return cls(found, limits, token)

    def find(self, name: str | None) -> Tagger:
        """A tagger by name; the first for None.

        Raises:
            Refusal: there is no such tagger.
        """
        if name is None:
            return next(iter(self.taggers.values()))
        if name not in self.taggers:
            raise Refusal(
                "not_found",
                f"'{name}' is not a tagger that is served{did_you_mean(name, self.taggers)}. /v1/taggers lists them.",
            )
        return self.taggers[name]

    def card(self, tagger: Tagger) -> str | None:
        """The card of the run that a tagger lies in, Markdown; None where it lies in none."""
        run = Run(tagger.path.parent)
        if tagger.path.resolve() != run.tagger.resolve() or not run.card.is_file():
            return None
        return run.card.read_text(encoding="utf-8")

    def require_token(self, given: str | None) -> None:
        """Let pass whoever knows the token.

        Raises:
            Refusal: it is missing or wrong.
        """
        if self.token is None:
            return
        # Digests: neither the length nor the place of a difference shows in the time it takes.
        same = secrets.compare_digest(_digest(given or ""), _digest(self.token))
        if not same:
            found = "a wrong one" if given else "none"
            raise Refusal(
                "unauthorised", f"token: is missing or wrong (found {found}). Send it as 'Authorization: Bearer TOKEN'."
            )


def bearer(header: str | None) -> str | None:
    """The token in an Authorization header; None where there is none.

    >>> bearer("Bearer 1234"), bearer("Basic 1234"), bearer(None)
    ('1234', None, None)
    """
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
