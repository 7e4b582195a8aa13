"""One line of JSON per request on the log "earmark.server": what was done, never what was sent."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from starlette.types import Scope

from earmark.run import to_json

log = logging.getLogger("earmark.server")
NO_ROUTE = "-"  # an address that is none of ours may hold anything


def log_exchange(scope: Scope, status: int, seconds: float) -> None:
    """Write the line of a request, or of a stream, whose status is the code it was closed with.

    Args:
        scope: of ASGI; its state holds "audio_seconds" and "reason" where they are known.
        seconds: from the first byte of the request to the last of the answer.
    """
    state, route = scope["state"], scope.get("route")
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "method": scope.get("method", "WS"),
        "route": getattr(route, "path", NO_ROUTE),
        "status": status,
        "seconds": round(seconds, 4),
    }
    if "audio_seconds" in state:
        line["audio_seconds"] = round(state["audio_seconds"], 3)
    if "reason" in state:
        line["reason"] = state["reason"]
    log.info("%s", to_json(line))
