"""The server: loopback alone, nothing without the secret, no other method, no file that a client names."""

from __future__ import annotations

import http.client
import json
import threading

import pytest

from earmark.errors import ConfigError
from earmark.server.review_server import LONGEST_BODY, ReviewServer


@pytest.fixture
def server(make_session, make_app):
    """A server about four sounds."""
    started = ReviewServer(make_app(make_session()))
    threading.Thread(target=started.serve_forever, daemon=True).start()
    yield started
    started.shutdown()
    started.server_close()


@pytest.fixture
def ask(server):
    """`ask(route, sent=None, token=…, **headers)`: status and text."""

    def request(route: str, sent: object = None, token: str | None = None, **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        path = f"/{server.app.token if token is None else token}/{route}"
        body = None if sent is None else sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        found = answer.status, answer.read().decode(), dict(answer.getheaders())
        connection.close()
        return found

    return request


def decision(**changes) -> dict:
    return {"number": 0, "version": 0, "decision": "keep", "labels": [], "why": ""} | changes


def test_it_listens_on_loopback_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url.startswith(f"http://127.0.0.1:{server.server_port}/")
    assert len(server.app.token) >= 32


def test_the_page_forbids_every_outside_source(ask):
    status, text, headers = ask("")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    nonce = headers["Content-Security-Policy"].split("'nonce-")[1].split("'")[0]
    assert f'<script nonce="{nonce}">' in text
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "://" not in text.replace("http://www.w3.org", "")


@pytest.mark.parametrize("token", ["", "wrong", "%C3%A9"])
@pytest.mark.parametrize("route", ["", "state", "facts", "sound/0"])
def test_without_the_secret_there_is_nothing(ask, route, token):
    assert ask(route, token=token)[:2] == (404, "")


def test_another_host_name_is_answered_nothing(ask):
    assert ask("state", Host="evil.example")[0] == 404  # a name that was made to lead here


@pytest.mark.parametrize(
    "route", ["sound/9", "sound/-1", "sound/", "sound/../../etc/passwd", "../../etc/passwd", "sound/0.wav", "x"]
)
def test_there_is_nothing_but_the_pages_own_routes(ask, route):
    assert ask(route)[0] == 404


def test_a_decision_is_answered_with_the_new_state_and_a_stale_one_with_what_stands(ask):
    status, text, _ = ask("decide", decision())
    assert (status, json.loads(text)["questions"][0]["decision"]) == (200, "keep")
    status, text, _ = ask("decide", decision(decision="drop"))
    assert (status, json.loads(text)["questions"][0]["decision"]) == (409, "keep")
    assert ask("undo", {"revision": 0})[0] == 409
    status, text, _ = ask("undo", {"revision": 1})
    assert (status, json.loads(text)["at"]) == (200, 0)
    assert json.loads(ask("undo", {"revision": 2})[1]) == {"refused": "there is nothing to undo"}


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        {},
        decision(number="0"),
        decision(labels="dog"),
        decision(labels=[1]),
        decision() | {"more": 1},
        b"x" * (LONGEST_BODY + 1),
    ],
)
def test_what_the_page_does_not_send_is_refused(ask, sent):
    assert ask("decide", sent)[0] == 400


def test_there_is_nothing_to_post_to_elsewhere(ask):
    assert ask("state", decision())[0] == 404


def test_a_sound_comes_with_its_picture(ask):
    status, text, _ = ask("sound/1")
    assert status == 200
    assert "<audio" in text
    assert "data:image/png" in text


def test_a_sound_that_is_gone_says_so(ask, tmp_path):
    (tmp_path / "2.wav").unlink()
    assert "The sound cannot be played" in ask("sound/2")[1]


def test_a_port_that_is_taken_is_refused(server, make_session, make_app):
    with pytest.raises(ConfigError, match="cannot be listened on"):
        ReviewServer(make_app(make_session()), server.server_port)
