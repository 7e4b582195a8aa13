"""`earmark listen`: a microphone or a pipe, and events as they happen. Never needs torch."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.options import JoinSeconds, KeepShare, MinSeconds, OwnThreshold, TaggerName
from earmark.cli.tag import event_rule, nobody_may_read

if TYPE_CHECKING:
    from earmark.cli.live_display import Display
    from earmark.tagger.events import EventRule
    from earmark.tagger.live import ClipKeeper, LineFile, Listening, Origin, Source
    from earmark.tagger.tagger import Tagger


Device = Annotated[
    str | None,
    typer.Option(help="A microphone's number or a part of its name; the system's own unless given.", metavar="NAME"),
]
Rate = Annotated[
    int | None,
    typer.Option(help="Of the samples, in Hz; the microphone's own unless given.", metavar="HZ", show_default=False),
]
SampleFormat = Annotated[
    str | None, typer.Option(help="Of the samples of a pipe: s16le, or f32le unless given.", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option(help="File that events are appended to, instead of stdout.", show_default=False)
]
SaveEvents = Annotated[
    Path | None,
    typer.Option(help="Folder for the sound of each event, as FLAC.", metavar="DIR", show_default=False),
]
Around = Annotated[
    float, typer.Option(min=0.0, max=60.0, help="Sound kept before and after an event.", metavar="SECONDS")
]
Seconds = Annotated[
    float | None, typer.Option(min=0.0, help="Stops after so much sound.", metavar="SECONDS", show_default=False)
]


def _print_devices(wanted: bool) -> None:
    if wanted:
        from earmark.cli.console import print_table
        from earmark.tagger.live import list_microphones

        rows = [[name, str(number), *map(str, facts)] for number, name, *facts in list_microphones()]
        print_table(("microphone", "number", "channels", "Hz"), rows)
        raise typer.Exit


def listen(
    tagger: TaggerName,
    device: Device = None,
    pipe: Annotated[bool, typer.Option("--pipe", help="Raw samples on stdin instead of a microphone.")] = False,
    rate: Rate = None,
    format: SampleFormat = None,
    channels: Annotated[int, typer.Option(min=1, help="Of pipe or microphone; they are averaged.")] = 1,
    keep_share: KeepShare = None,
    min_seconds: MinSeconds = None,
    join_seconds: JoinSeconds = None,
    threshold: OwnThreshold = None,
    top: Annotated[int, typer.Option(min=1, help="Labels that the display shows.", metavar="N")] = 8,
    out: Out = None,
    save_events: SaveEvents = None,
    around: Around = 1.0,
    seconds: Seconds = None,
    threads: Annotated[int, typer.Option(min=1, help="Cores that one window may use.")] = 1,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", callback=_print_devices, is_eager=True, help="List the microphones.")
    ] = False,
) -> None:
    """Listen to a microphone or a pipe: events as JSON lines, each once it has ended, and on a terminal a picture.

    Ctrl-C, SIGTERM and the end of the pipe write what still sounds, and end well.

    Examples:

      earmark listen birds.tagger.onnx

      earmark listen birds.tagger.onnx --device USB --out events.jsonl --save-events clips/

      ffmpeg -i rtsp://camera/stream -f f32le -ac 1 -ar 48000 - | earmark listen birds.tagger.onnx --pipe --rate 48000
    """
    from earmark.cli.live_display import Heading, open_display
    from earmark.tagger import load_tagger
    from earmark.tagger.live import LineFile, Listening, Origin
    from earmark.tagger.tag_files import rate_warnings

    rule = event_rule(True, False, keep_share, min_seconds, join_seconds)
    opened = load_tagger(tagger, threads=threads)
    with closing(_open_source(pipe, device, rate, format, channels)) as source, LineFile(out) as lines:
        origin = Origin(source.name, opened.identity, rate_warnings(opened, source.sample_rate))
        keeper = _open_keeper(save_events, around, source, opened, rule, origin)
        listening = Listening(source, opened, rule, threshold, keeper, seconds)
        sound = f"{source.name} ({source.sample_rate} Hz)"
        heading = Heading(sound, opened.metadata.name, opened.labels, opened.limits("window", threshold))
        with nobody_may_read(), stopped_by_signals(source), open_display(heading, top) as display:
            for warning in origin.warnings:
                display.say(warning)
            _follow(listening, lines, display, origin)


def _follow(listening: Listening, lines: LineFile, display: Display, origin: Origin) -> None:
    """Hear all, write and show what becomes known."""
    from earmark.tagger.live import Watch

    watch = Watch()
    for moment in listening:
        told = moment.events if moment.loss is None else [*moment.events, moment.loss]
        for heard in told:
            lines.write(heard.line(origin))
        display.show(moment)
        for worry in watch.look(moment):
            display.say(worry)


def _open_source(pipe: bool, device: str | None, rate: int | None, format: str | None, channels: int) -> Source:
    """What is listened to.

    Raises:
        ConfigError: the options do not fit.
    """
    from earmark.errors import ConfigError
    from earmark.tagger.live import Microphone, Pipe

    if not pipe:
        if format is not None:
            raise ConfigError("--format: is of the samples of a pipe. Add --pipe.")
        return Microphone(device, rate, channels)
    if device is not None:
        raise ConfigError("--device, --pipe: one source at a time. Leave out one.")
    if rate is None:
        raise ConfigError("--pipe: raw samples do not tell their rate. Add it, such as --rate 48000.")
    if sys.stdin.isatty():
        raise ConfigError("--pipe: stdin is the keyboard here. Pipe raw samples into it, such as those of ffmpeg.")
    return Pipe(sys.stdin.fileno(), rate, format or "f32le", channels)


def _open_keeper(
    folder: Path | None, around: float, source: Source, tagger: Tagger, rule: EventRule, origin: Origin
) -> ClipKeeper | None:
    """What keeps the sound of events, if it is wanted."""
    from earmark.tagger.live import ClipKeeper, longest_delay

    if folder is None:
        return None
    return ClipKeeper(folder, source.sample_rate, origin, around, longest_delay(tagger, rule))


@contextmanager
def stopped_by_signals(source: Source) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the source, which ends all well; a second one does what it always does.

    One that is ignored, as Ctrl-C is by what a script sends to the background, stays ignored.
    """

    def stop(number: int, _) -> None:
        signal.signal(number, before[number])
        source.stop()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
