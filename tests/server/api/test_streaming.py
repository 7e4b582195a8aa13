"""Live sound: the windows and events of the file it could have been, and a clear end in every other case."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import numpy as np
import pytest
from starlette.testclient import WebSocketDenialResponse

from earmark import audio
from earmark.server import streaming
from earmark.server.limits import Limits
from earmark.server.refusals import Refusal
from earmark.server.schemas import StreamQuery
from earmark.server.served import Served
from earmark.tagger import EventRule, TagStream, load_tagger

TOKEN = "correct horse"
END = json.dumps({"type": "end"})


def talk(client, query: str, *messages: bytes | str, headers: dict | None = None) -> tuple[list[dict], int]:
    """What is answered to messages, and the code it is closed with."""
    with client.websocket_connect(f"/v1/stream?{query}", headers=headers or {}) as stream:
        for message in messages:
            (stream.send_bytes if isinstance(message, bytes) else stream.send_text)(message)
        return listen(stream)


def listen(stream) -> tuple[list[dict], int]:
    """All that is still said."""
    said = []
    while True:
        message = stream.receive()
        if message["type"] == "websocket.close":
            return said, message["code"]
        said.append(json.loads(message["text"]))


def frames(waveform: np.ndarray, size: int) -> list[bytes]:
    """float32 PCM, `size` samples at a time."""
    return [waveform[first : first + size].astype("<f4").tobytes() for first in range(0, len(waveform), size)]


@pytest.fixture
def sound(vectors) -> np.ndarray:
    return audio.load(vectors / "long.wav", 8000)


@pytest.mark.parametrize("size", [37, 1000, 100_000])
def test_a_stream_gives_the_windows_and_events_of_the_file(client, cnn, sound, size):
    sound = sound[:6000] if size < 100 else sound
    query = "sample_rate=8000&scores=true&threshold=0.6&min_seconds=0.1"
    said, code = talk(client, query, *frames(sound, size), END)
    by_type = {kind: [one for one in said if one["type"] == kind] for kind in ("ready", "window", "event", "done")}
    assert (said[0]["type"], said[-1]["type"], code) == ("ready", "done", 1000)
    assert said[0] | {"tagger": cnn.identity, "sample_rate": 8000, "window_seconds": 0.5} == said[0]
    assert said[-1]["seconds"] == pytest.approx(len(sound) / 8000)
    expected = cnn.with_parts(read=lambda *_: iter([sound])).score("the same sound")
    assert [one["start"] for one in by_type["window"]] == pytest.approx(expected.starts.tolist())
    found = [list(one["scores"].values()) for one in by_type["window"]]
    np.testing.assert_allclose(found, expected.scores, atol=1e-4)
    tags = [[tag["label"] for tag in one["tags"]] for one in by_type["window"]]
    assert tags == [[tag.label for tag in row] for row in cnn.tags(expected, threshold=0.6)]
    events = cnn.events(expected, EventRule(min_seconds=0.1), threshold=0.6)
    assert sorted((one["label"], one["start"], one["end"]) for one in by_type["event"]) == sorted(
        (event.label, event.start, event.end) for event in events
    )


def test_whole_numbers_are_the_same_sound(client, sound):
    quiet = np.round(sound * 20_000) / 32768
    as_float, _ = talk(client, "sample_rate=8000&scores=true", *frames(quiet, 4000), END)
    whole = (quiet * 32768).astype("<i2").tobytes()
    as_int, _ = talk(client, "sample_rate=8000&format=s16le&scores=true", whole, END)
    for one, other in zip(as_float[1:], as_int[1:], strict=True):
        if one["type"] == "window":
            np.testing.assert_allclose(list(one["scores"].values()), list(other["scores"].values()), atol=1e-4)


def test_other_rates_are_resampled_on_the_way(client, cnn, vectors):
    twice = audio.load(vectors / "long.wav", 16_000)
    said, code = talk(client, "sample_rate=16000&scores=true&top=1", *frames(twice, 5000), END)
    windows = [one for one in said if one["type"] == "window"]
    assert (code, [len(one["tags"]) for one in windows]) == (1000, [1] * 7)
    expected = cnn.score(vectors / "long.wav").scores
    assert np.abs([list(one["scores"].values()) for one in windows] - expected).max() < 0.05


def test_nothing_sent_is_nothing_heard(client):
    said, code = talk(client, "sample_rate=8000", END)
    assert ([one["type"] for one in said], code) == (["ready", "done"], 1000)


@pytest.mark.parametrize(
    ("query", "messages", "reason", "code"),
    [
        ("", [], "bad_parameter", 1008),
        ("sample_rate=8000&format=mp3", [], "bad_parameter", 1008),
        ("sample_rate=8000&speed=2", [], "bad_parameter", 1008),
        ("sample_rate=5", [], "bad_parameter", 1008),
        ("sample_rate=8000&keep_share=0", [], "bad_parameter", 1008),
        ("sample_rate=8000&tagger=dog", [], "not_found", 1008),
        ("sample_rate=8000", [b"abc"], "bad_frame", 1007),
        ("sample_rate=8000&format=s16le", [b"abc"], "bad_frame", 1007),
        ("sample_rate=8000", [np.float32([0, np.nan]).tobytes()], "bad_frame", 1007),
        ("sample_rate=8000", [np.float32([np.inf]).tobytes()], "bad_frame", 1007),
        ("sample_rate=8000", [np.uint32([0x7F800001]).tobytes()], "bad_frame", 1007),  # a signalling NaN
        ("sample_rate=8000", [bytes(5000)], "bad_frame", 1007),
        ("sample_rate=8000", ["garbage"], "bad_message", 1007),
        ("sample_rate=8000", ["[" * 100_000], "bad_message", 1007),
        ("sample_rate=8000", ['{"type": "end", "now": true}'], "bad_message", 1007),
    ],
)
@pytest.mark.filterwarnings("error")  # they would come between the lines of the log
def test_what_is_none_of_the_protocol_is_said_before_the_end(make_client, query, messages, reason, code):
    said, closed = talk(make_client(limits=Limits(frame_bytes=4096)), query, *messages)
    assert (said[-1]["type"], said[-1]["reason"], closed) == ("error", reason, code)
    assert said[-1]["message"]


def test_a_folder_of_taggers_hears_no_stream(make_client, vectors):
    said, _ = talk(make_client(load_tagger(vectors / "together.tagger")), "sample_rate=8000")
    assert "a stream needs one" in said[-1]["message"]


def test_what_the_graph_cannot_score_is_said(make_client, held, held_tagger):
    held.go.set()
    said, _ = talk(make_client(held_tagger), "sample_rate=8000", np.full(4000, 9, dtype="<f4").tobytes())
    assert said[-1]["reason"] == "unscorable"


def test_a_frame_at_a_slow_rate_is_worked_off_in_pieces(client, monkeypatch):
    pushed = []

    class Counted(TagStream):
        def push(self, block):
            pushed.append(len(block))
            return super().push(block)

    monkeypatch.setattr(streaming, "TagStream", Counted)
    said, code = talk(client, "sample_rate=100", np.zeros(2500, dtype="<f4").tobytes(), END)
    assert (code, said[-1]["seconds"], pushed) == (1000, 25, [1000, 1000, 500])


def test_a_silent_client_is_not_waited_for(make_client):
    said, code = talk(make_client(limits=Limits(idle_seconds=0.1)), "sample_rate=8000")
    assert (said[-1]["reason"], code) == ("idle", 1008)


def test_streams_beyond_the_most_are_told_to_come_again(make_client):
    client = make_client(limits=Limits(streams=1))
    with client.websocket_connect("/v1/stream?sample_rate=8000") as first:
        first.receive_json()
        said, code = talk(client, "sample_rate=8000")
        assert (said[0]["reason"], code) == ("busy", 1013)
        first.send_text(END)
        assert listen(first)[1] == 1000
    assert talk(client, "sample_rate=8000", END)[1] == 1000


def test_a_server_that_stops_tells_what_it_heard_first(make_client, sound):
    client = make_client()
    with client.websocket_connect("/v1/stream?sample_rate=8000&threshold=0.1") as stream:
        stream.receive_json()
        stream.send_bytes(frames(sound, 100_000)[0])
        assert stream.receive_json()["type"] == "window"
        client.portal.call(client.app.state.places.stopping.set)
        said, code = listen(stream)
    assert {one["type"] for one in said} == {"window", "event", "error"}
    assert (said[-1]["reason"], code) == ("stopping", 1012)


def test_the_token_is_a_header_or_the_first_message(make_client, monkeypatch):
    client = make_client(token=TOKEN)
    first = json.dumps({"type": "token", "token": TOKEN})
    assert talk(client, "sample_rate=8000", first, END)[1] == 1000
    assert talk(client, "sample_rate=8000", END, headers={"Authorization": f"Bearer {TOKEN}"})[1] == 1000
    for message in ("hello", json.dumps({"type": "token", "token": "no"}), json.dumps({"type": "token"}), b"abcd"):
        said, code = talk(client, "sample_rate=8000", message)
        assert ([one["reason"] for one in said], code) == (["unauthorised"], 1008)
    said, _ = talk(client, "sample_rate=8000", headers={"Authorization": "Bearer no"})
    assert said[-1]["reason"] == "unauthorised"
    monkeypatch.setattr(streaming, "TOKEN_SECONDS", 0.1)
    said, _ = talk(client, "sample_rate=8000")
    assert said[-1]["reason"] == "unauthorised"


def test_another_sites_page_opens_no_stream(client):
    with pytest.raises(WebSocketDenialResponse) as caught:
        talk(client, "sample_rate=8000", headers={"Origin": "https://evil.example"})
    assert caught.value.status_code == 403


def test_a_client_that_leaves_frees_its_place(make_client, sound):
    client = make_client(limits=Limits(streams=1))
    for _ in range(3):
        with client.websocket_connect("/v1/stream?sample_rate=8000") as stream:
            stream.receive_json()
            stream.send_bytes(frames(sound, 8000)[0])
    assert talk(client, "sample_rate=8000", END)[1] in (1000, 1013)


def test_a_client_that_does_not_read_is_not_waited_for(cnn):
    class Deaf:
        app = SimpleNamespace(state=SimpleNamespace(places=None))

        async def send_text(self, text: str) -> None:
            await asyncio.sleep(30)

    served = Served.of([cnn], Limits(idle_seconds=0.05), None)
    conversation = streaming.Conversation(Deaf(), served, StreamQuery(sample_rate=8000))
    with pytest.raises(Refusal, match="its messages are not read"):
        asyncio.run(conversation.say(type="window"))
