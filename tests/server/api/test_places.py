"""Many at once: who waits, who is told to come again, and that slow and leaving clients hold up nobody."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from earmark.server.app import create_app
from earmark.server.limits import Limits


def until(true) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.005)


def test_more_than_may_wait_are_told_to_come_again(make_client, held, held_tagger, long_sound, refused):
    client = make_client(held_tagger, limits=Limits(at_work=1, waiting=2))
    places = client.app.state.places
    with ThreadPoolExecutor(3) as threads:
        taken = []
        for number in range(3):
            taken.append(threads.submit(client.post, "/v1/tag", content=long_sound))
            until(lambda number=number: places.n_open == number + 1 and held.calls)
        until(lambda: places._n_waiting == 2)
        answer = client.post("/v1/tag", content=long_sound)
        assert refused(answer) == (429, "busy")
        assert answer.headers["retry-after"] == "1"
        assert client.get("/healthz").status_code == 200  # which needs no place
        held.go.set()
        assert [future.result(30).status_code for future in taken] == [200] * 3
    assert client.post("/v1/tag", content=long_sound).status_code == 200


def test_with_no_waiting_only_those_at_work_are_taken(make_client, held, held_tagger, long_sound, refused):
    client = make_client(held_tagger, limits=Limits(at_work=1, waiting=0))
    with ThreadPoolExecutor(1) as threads:
        taken = threads.submit(client.post, "/v1/tag", content=long_sound)
        until(lambda: held.calls)
        assert refused(client.post("/v1/tag", content=long_sound)) == (429, "busy")
        held.go.set()
        assert taken.result(30).status_code == 200


class Client:
    """A client of the app itself, whose body comes when it likes.

    body: bytes, or None for more and more of it, until it is told to end.
    """

    def __init__(self, app, body: bytes | None):
        self.app, self.body = app, body
        self.end, self.leave, self.sent = asyncio.Event(), asyncio.Event(), []

    async def post(self) -> int:
        """Send the body; the status of the answer."""
        scope = {"type": "http", "method": "POST", "path": "/v1/tag", "query_string": b"", "headers": [(b"host", b"a")]}
        await self.app(scope, self._come, self._send)
        return self.sent[0]["status"]

    async def _come(self) -> dict:
        if self.body is None and not self.end.is_set():
            await asyncio.sleep(0.005)
            return {"type": "http.request", "body": b"a", "more_body": True}
        if self.body != b"":
            body, self.body = self.body or b"", b""
            return {"type": "http.request", "body": body, "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict) -> None:
        self.sent.append(message)


async def true(condition) -> None:
    """Wait for something to become true, and let others run."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never became true")


def run(app, conversation) -> None:
    """Let clients talk to an app that is up."""

    async def live() -> None:
        async with app.router.lifespan_context(app):
            await conversation()

    asyncio.run(live())


def test_uploads_that_trickle_in_hold_up_nobody_else(cnn, long_sound):
    app = create_app([cnn], limits=Limits(receiving=2, at_work=1, waiting=0, receive_seconds=5), page=None)

    async def conversation() -> None:
        slow = [Client(app, None) for _ in range(2)]
        first = asyncio.ensure_future(slow[0].post())
        await true(lambda: app.state.places._n_receiving == 1)
        assert await Client(app, long_sound).post() == 200
        second = asyncio.ensure_future(slow[1].post())
        await true(lambda: app.state.places._n_receiving == 2)
        late = Client(app, long_sound)
        assert await late.post() == 429
        assert b"2 uploads are being received" in late.sent[1]["body"]
        for client in slow:
            client.end.set()
        assert sorted([await first, await second]) in ([415, 415], [415, 429])

    run(app, conversation)


def test_a_client_that_leaves_is_worked_for_no_longer(held, held_tagger, long_sound):
    app = create_app([held_tagger], limits=Limits(at_work=1), page=None)

    async def conversation() -> None:
        client = Client(app, long_sound)
        answer = asyncio.ensure_future(client.post())
        await true(lambda: held.calls)
        client.leave.set()
        await asyncio.sleep(0.05)
        held.go.set()
        assert await answer == 499
        assert await Client(app, long_sound).post() == 200

    run(app, conversation)
    assert len(held.calls) == 3  # one for the first, of the two that the sound needs


def test_work_that_a_stop_waits_for_no_longer_ends_at_its_next_windows(held, held_tagger, long_sound):
    app = create_app([held_tagger], limits=Limits(at_work=1), page=None)

    async def conversation() -> None:
        answer = asyncio.ensure_future(Client(app, long_sound).post())
        await true(lambda: held.calls)
        answer.cancel()
        await asyncio.wait([answer])
        held.go.set()

    run(app, conversation)  # whose end waits for the threads
    assert len(held.calls) == 1


def test_an_answer_that_is_not_read_is_not_waited_for(cnn, long_sound):
    app = create_app([cnn], limits=Limits(idle_seconds=0.05), page=None)

    class Deaf(Client):
        async def _send(self, message: dict) -> None:
            await super()._send(message)
            if message["type"] == "http.response.body":
                await asyncio.sleep(30)

    async def conversation() -> None:
        client = Deaf(app, long_sound)
        assert await asyncio.wait_for(client.post(), 10) == 200
        assert len(client.sent) == 2  # the rest is not even tried
        assert app.state.places.n_open == 0

    run(app, conversation)


def test_no_more_are_open_than_all_places_together(cnn, long_sound):
    limits = Limits(receiving=1, waiting=0, at_work=1, streams=0)
    app = create_app([cnn], limits=limits, page=None)

    async def conversation() -> None:
        app.state.places.n_open = limits.open
        late = Client(app, long_sound)
        assert await late.post() == 429
        assert b"2 requests are open" in late.sent[1]["body"]

    run(app, conversation)
