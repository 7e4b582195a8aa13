"""What is asked and answered, as the OpenAPI document says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, create_model
from pydantic.json_schema import SkipJsonSchema

from earmark.audio.pcm import PCM_FORMATS
from earmark.lookup import did_you_mean
from earmark.server.limits import Limits
from earmark.server.refusals import REASONS
from earmark.tagger import Tagger


def _only_number(value: Any) -> Any:
    """Text of a number without the liberties Python takes: no spaces, no underscores."""
    if isinstance(value, str) and (not value.isascii() or value.strip() != value or "_" in value):
        raise ValueError("Should be a number")
    return value


def _only_bool(value: Any) -> Any:
    """true or false, and no other word for them."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("Should be true or false")
    return value


class Strict(BaseModel):
    """A document without unknown fields."""

    model_config = ConfigDict(extra="forbid")


LONGEST_SHOWN = 40  # characters of what a client sent
LONGEST_SECONDS = 1e9  # thirty years
Score = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[FiniteFloat, Field(ge=0, le=LONGEST_SECONDS), BeforeValidator(_only_number)]
End = Annotated[FiniteFloat, Field(gt=0, le=LONGEST_SECONDS), BeforeValidator(_only_number)]
Threshold = Annotated[Score, BeforeValidator(_only_number)]
Flag = Annotated[bool, BeforeValidator(_only_bool)]
Top = Annotated[int, Field(ge=1), BeforeValidator(_only_number)]
Scores = dict[str, Score]


class TagQuery(Strict):
    """How an upload is tagged."""

    tagger: str | SkipJsonSchema[None] = Field(None, description="A name of /v1/taggers; else the first.")
    start: Seconds = Field(0.0, description="Of the region to tag, seconds.")
    end: End | SkipJsonSchema[None] = Field(None, description="Of the region, after start; else the sound's.")
    top: Top | SkipJsonSchema[None] = Field(None, description="The N best labels, whatever their threshold.")
    threshold: Threshold | SkipJsonSchema[None] = Field(None, description="Instead of the tagger's own thresholds.")
    timeline: Flag = Field(False, description="The tags of every window, too.")
    scores: Flag = Field(False, description="The score of every label, too.")


class StreamQuery(Strict):
    """How a stream is tagged."""

    tagger: str | None = None
    sample_rate: Annotated[int, BeforeValidator(_only_number)]
    format: Literal[tuple(PCM_FORMATS)] = "f32le"
    top: Top | None = None
    threshold: Threshold | None = None
    scores: Flag = False
    keep_share: Seconds = 0.5
    min_seconds: Seconds = 0.0
    join_seconds: Seconds = 0.0


class TagFound(Strict):
    """A label that is asserted, and from where to where in the recording."""

    label: str
    score: Score
    start: float = Field(description="Seconds in the recording.")
    end: float


class WindowTags(Strict):
    """One window of the timeline."""

    start: float
    end: float
    tags: list[TagFound]
    scores: Scores | SkipJsonSchema[None] = Field(None, description="Only with scores=true.")


class TagAnswer(Strict):
    """What was heard in an upload."""

    tagger: str = Field(description="Name and digest of the tagger.")
    outcome: Literal["tags", "no_tag"] = Field(description="no_tag: nothing reached its threshold.")
    start: float = Field(description="Of what was heard, seconds.")
    end: float
    tags: list[TagFound] = Field(description="Highest score first.")
    scores: Scores | SkipJsonSchema[None] = Field(None, description="Of every label; only with scores=true.")
    windows: list[WindowTags] | SkipJsonSchema[None] = Field(None, description="Only with timeline=true.")
    warnings: list[str] = Field(description="What makes the scores less trustworthy.")


class LevelThresholds(Strict):
    """The score from which each label is asserted; null = never."""

    window: dict[str, float | None]
    clip: dict[str, float | None]


class TaggerFacts(Strict):
    """What a tagger hears, and how it decides."""

    name: str
    identity: str = Field(description="Name and digest, as answers bear them.")
    labels: list[str]
    multi_label: bool = Field(description="Several labels can hold at once.")
    sample_rate: int = Field(description="Hz; sounds of any rate are resampled to it.")
    window_seconds: float
    hop_seconds: float
    views: str
    pool: str
    thresholds: LevelThresholds
    clip_seconds_max: float | None = Field(description="Clip scores are calibrated up to this length; null = any.")
    licences: list[str]

    @classmethod
    def of(cls, tagger: Tagger, **more: Any) -> TaggerFacts:
        """The facts of a tagger; `more` are those of a subclass."""
        known = tagger.metadata
        names = ("name", "multi_label", "sample_rate", "window_seconds", "hop_seconds", "views", "pool")
        return cls(
            **{name: getattr(known, name) for name in (*names, "clip_seconds_max")},
            identity=tagger.identity,
            labels=list(known.labels),
            licences=list(known.licences),
            thresholds={
                level: dict(zip(known.labels, limits, strict=True)) for level, limits in known.thresholds.items()
            },
            **more,
        )


class TaggerCard(TaggerFacts):
    """A tagger, with its card."""

    card: str | None = Field(description="The card of the training run it lies in, Markdown; null where there is none.")


LimitsShown = create_model(
    "LimitsShown",
    __base__=Strict,
    __doc__="Limits of the server; docs/serve.md says what each is.",
    **{name: (type(value), ...) for name, value in asdict(Limits()).items()},
)


class TaggerList(Strict):
    """The taggers, the first being the one that is asked where none is named; and the limits."""

    taggers: list[TaggerFacts]
    limits: LimitsShown


class Health(Strict):
    """The server answers."""

    status: Literal["ok"]
    version: str


class ErrorFacts(Strict):
    """Why there is no answer."""

    reason: Literal[tuple(REASONS)]
    message: str = Field(description="Where: what is wrong (found, expected). What to do.")


class ErrorAnswer(Strict):
    """No answer."""

    error: ErrorFacts


def refusals(*reasons: str) -> dict[int | str, dict[str, Any]]:
    """What an operation may refuse, as FastAPI's `responses` wants it."""
    found: dict[int | str, dict[str, Any]] = {}
    for reason in reasons:
        status, meaning = REASONS[reason]
        known = found.setdefault(status, {"model": ErrorAnswer, "description": ""})
        known["description"] = f"{known['description']} {reason}: {meaning}".strip()
    return found


def parameter_message(errors: Sequence[Any], query: type[Strict], reference: str) -> str:
    """The first of pydantic's errors as a sentence of the house.

    Args:
        errors: as pydantic lists them. query: what was asked for. reference: where to look.

    >>> error = {"type": "greater_than_equal", "loc": ["query", "top"], "msg": "Input should be 1 or more", "input": 0}
    >>> parameter_message([error], TagQuery, "/openapi.json")
    "top: should be 1 or more (found '0'). Correct it; /openapi.json tells what there is."
    """
    error = errors[0]
    where = [str(part) for part in error["loc"] if part != "query"]
    name = where[0] if where else "parameters"
    if error["type"] == "extra_forbidden":
        near = did_you_mean(name, query.model_fields)
        known = ", ".join(query.model_fields)
        return f"{name[:LONGEST_SHOWN]}: is not a parameter{near}. Known: {known}; {reference} tells more."
    if error["type"] == "missing":
        return f"{name}: is missing. Give it; {reference} tells what there is."
    said = error["msg"].removeprefix("Value error, ").removeprefix("Input ").partition(", unable")[0]
    found = str(error["input"])[:LONGEST_SHOWN]
    return f"{name}: {said[:1].lower()}{said[1:]} (found '{found}'). Correct it; {reference} tells what there is."
