"""The web app: taggers over HTTP, and a stream over WebSocket. docs/serve.md tells how it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from earmark import __version__
from earmark.server.gate import HEALTH, Gate, answer, require_origin
from earmark.server.limits import Limits
from earmark.server.meter import Meter
from earmark.server.places import Places
from earmark.server.refusals import GONE, GoneError, Refusal
from earmark.server.schemas import (
    Health,
    TagAnswer,
    TaggerCard,
    TaggerFacts,
    TaggerList,
    TagQuery,
    parameter_message,
    refusals,
)
from earmark.server.served import Served, bearer
from earmark.server.streaming import stream
from earmark.server.tagging import tag_upload
from earmark.server.upload import FIELD, receive, spare_file
from earmark.tagger import Tagger

PAGE = Path(__file__).parent / "page"
DESCRIPTION = """Send a sound, get its tags. Three outcomes are always told apart: tags, no tag (nothing reached its
threshold), and an error with its reason. Answers are JSON."""
BINARY = {"type": "string", "format": "binary", "minLength": 1}
UPLOAD = {
    "required": True,
    "description": f"A sound file: in the field '{FIELD}' of a form, or as the body itself, whatever its type.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {FIELD: BINARY},
                "additionalProperties": False,
            }
        },
        "application/octet-stream": {"schema": BINARY},
    },
}
ANYWHERE = ("unauthorised", "foreign", "stopping", "bug")
OF_UPLOADS = (
    *("slow_upload", "too_large", "too_long", "too_much_sound", "not_a_sound", "bad_parameter", "bad_upload"),
    *("cut_off", "unreadable", "unscorable", "busy", "too_slow"),
)

api = APIRouter(prefix="/v1", tags=["tagging"])


def create_app(
    taggers: Sequence[Tagger],
    *,
    limits: Limits | None = None,
    token: str | None = None,
    origins: Collection[str] = (),
    hosts: Collection[str] | None = None,
    page: Path | None = PAGE,
) -> FastAPI:
    """The app, for any ASGI server.

    Args:
        taggers: the first is asked where a request names none.
        limits: what one client may cost.
        token: that clients must send; None = they need none.
        origins: sites whose pages may call, such as "https://example.org"; the server's own always may.
        hosts: names that it is asked under; None = any. On loopback only those of it should be.
        page: folder of the page at /; None, or a folder that is not there = no page.

    Raises:
        ConfigError: no tagger, two of one name, an empty token, or an origin that no browser sends.
        TaggerFileError: one only embeds.
    """
    origins = [origin.rstrip("/") for origin in origins]  # as browsers send them
    for origin in origins:
        require_origin(origin)
    served = Served.of(taggers, limits or Limits(), token)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.places = Places(served.limits)
        yield
        app.state.places.close()

    app = FastAPI(
        title="Earmark",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
    )
    app.state.served = served
    secured = [Depends(HTTPBearer(auto_error=False))] if token is not None else []
    app.include_router(api, dependencies=[*secured, Depends(require_token)])
    app.add_api_websocket_route("/v1/stream", stream)
    app.add_api_route(HEALTH, health, response_model=Health, responses=refusals("foreign", "stopping", "bug"))
    if page is not None and page.is_dir():
        add_page(app, page)
    for kind, say in SAYINGS.items():
        app.add_exception_handler(kind, say)
    app.add_middleware(Gate, hosts=hosts, origins=origins)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app


def require_token(request: Request) -> None:
    """Let pass whoever knows the token.

    Raises:
        Refusal: it is missing or wrong.
    """
    request.app.state.served.require_token(bearer(request.headers.get("authorization")))


@api.post(
    "/tag",
    response_model=TagAnswer,
    responses=refusals(*ANYWHERE, "not_found", *OF_UPLOADS),
    openapi_extra={"requestBody": UPLOAD},
)
async def tag(request: Request, asked: Annotated[TagQuery, Query()]) -> Response:
    """Tag an uploaded sound, or a region of it."""
    served, places = request.app.state.served, request.app.state.places
    tagger = served.find(asked.tagger)
    with spare_file() as (file, path):
        async with places.receiving():
            await receive(request, file, served.limits)
        found = await places.work(request, partial(Meter, served.limits), partial(tag_upload, tagger, path, asked))
    if asked.timeline:
        return StreamingResponse(found, media_type="application/json")
    return Response(b"".join(found), media_type="application/json")


@api.get("/taggers", responses=refusals(*ANYWHERE))
def list_taggers(request: Request) -> TaggerList:
    """The taggers that are served, and the limits."""
    served = request.app.state.served
    facts = [TaggerFacts.of(tagger) for tagger in served.taggers.values()]
    return TaggerList(taggers=facts, limits=asdict(served.limits))


@api.get("/taggers/{name}", responses=refusals(*ANYWHERE, "not_found", "bad_parameter"))
def show_tagger(request: Request, name: str) -> TaggerCard:
    """One tagger, with the card of the training run it lies in."""
    served = request.app.state.served
    tagger = served.find(name)
    return TaggerCard.of(tagger, card=served.card(tagger))


async def health(request: Request) -> Health:
    """Whether the server takes requests. Needs no token."""
    if request.app.state.places.stopping.is_set():
        raise Refusal("stopping", "server: is stopping. Try again when it is back.")
    return Health(status="ok", version=__version__)


def add_page(app: FastAPI, folder: Path) -> None:
    """Serve the files of a folder as they are now, index.html at / too. Only GET, and no other path is ever opened."""
    static = StaticFiles(directory=folder)

    async def file(request: Request, name: str) -> Response:
        found = await static.get_response(name, request.scope)
        found.headers["Cache-Control"] = "no-cache"  # which asks whether it has changed
        return found

    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            app.add_route(f"/{name}", partial(file, name=name), methods=["GET"], include_in_schema=False)
        if name == "index.html":
            app.add_route("/", partial(file, name=name), methods=["GET"], include_in_schema=False)


async def say_refusal(request: Request, refusal: Refusal) -> Response:
    """A refusal, and its reason for the log."""
    request.state.reason = refusal.reason
    return answer(refusal)


async def say_bad_parameter(request: Request, error: RequestValidationError) -> Response:
    """Which parameter is wrong, and why."""
    message = parameter_message(error.errors(), TagQuery, "/openapi.json")
    return await say_refusal(request, Refusal("bad_parameter", message))


async def say_http(request: Request, error: HTTPException) -> Response:
    """What the framework refuses: an address, or a method."""
    if error.status_code == 405:
        found = await say_refusal(
            request, Refusal("bad_method", f"server: {request.method} is not for this address. See /openapi.json.")
        )
    else:
        found = await say_refusal(request, Refusal("not_found", "server: has no such address. See /openapi.json."))
    found.headers.update(error.headers or {})
    return found


async def say_gone(request: Request, error: Exception) -> Response:
    """To nobody; for the log."""
    return Response(status_code=GONE)


async def say_bug(request: Request, error: Exception) -> Response:
    """That it is our fault. The traceback goes to the log."""
    return await say_refusal(request, Refusal("bug", "server: this is a bug of Earmark. Its log tells more."))


SAYINGS: dict[type[Exception], Callable[..., Any]] = {
    Refusal: say_refusal,
    RequestValidationError: say_bad_parameter,
    HTTPException: say_http,
    ClientDisconnect: say_gone,
    GoneError: say_gone,
    Exception: say_bug,
}
