"""Who may come in: the token, the host's name, other sites' pages; and what is logged of it."""

from __future__ import annotations

import json
import logging

import pytest

from earmark.server.gate import LOOPBACK_NAMES

TOKEN = "correct horse"
OPEN = ("/healthz", "/openapi.json")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer caf\u00e9"]
)
def test_without_the_token_nothing_is_served(make_client, refused, long_sound, header):
    client = make_client(token=TOKEN)
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    for answer in (
        client.get("/v1/taggers", headers=headers),
        client.get("/v1/taggers/cnn", headers=headers),
        client.get("/v1/taggers/nobody", headers=headers),
        client.post("/v1/tag", content=long_sound, headers=headers),
        client.post("/v1/tag?top=0", headers=headers),
    ):
        assert refused(answer) == (401, "unauthorised"), answer.text
        assert answer.headers["www-authenticate"] == "Bearer"


def test_with_the_token_all_is_served_and_some_without(make_client, long_sound):
    client = make_client(token=TOKEN)
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {TOKEN}"}
        assert client.post("/v1/tag", content=long_sound, headers=headers).status_code == 200
    assert {client.get(path).status_code for path in OPEN} == {200}


def test_only_the_names_of_loopback_are_answered_on_it(make_client, refused):
    client = make_client(hosts=LOOPBACK_NAMES)
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    for host in ("example.org", "127.0.0.1.example.org:8000", "localhost.", "[", ""):
        assert refused(client.get("/healthz", headers={"Host": host})) == (403, "foreign")


@pytest.mark.parametrize(
    "origin", ["https://example.org", "null", "http://127.0.0.1:9000", "https://127.0.0.1.example", "http://[", ""]
)
def test_another_sites_page_is_turned_away(make_client, refused, long_sound, origin):
    client = make_client()
    answer = client.post("/v1/tag", content=long_sound, headers={"Origin": origin})
    assert refused(answer) == (403, "foreign")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("named", ["https://example.org", "https://example.org/"])
def test_the_servers_own_page_and_those_that_are_named_may_call(make_client, long_sound, named):
    client = make_client(origins=[named])
    own = client.post("/v1/tag", content=long_sound, headers={"Origin": "http://127.0.0.1:8000"})
    assert own.status_code == 200
    named = client.post("/v1/tag", content=long_sound, headers={"Origin": "https://example.org"})
    assert (named.status_code, named.headers["access-control-allow-origin"]) == (200, "https://example.org")
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    before = client.options("/v1/tag", headers=asked | {"Access-Control-Request-Headers": "authorization"})
    assert before.status_code == 200
    assert client.options("/v1/tag", headers=asked | {"Origin": "https://evil.example"}).status_code == 400


def test_every_answer_forbids_what_no_page_of_ours_needs(client):
    for path in ("/healthz", "/nowhere", "/v1/taggers"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "frame-ancestors 'none'"} < set(policy)
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert headers["cache-control"] == "no-store"


def test_a_server_that_stops_says_so(make_client, refused, long_sound):
    client = make_client()
    client.app.state.places.stopping.set()
    for answer in (client.get("/healthz"), client.post("/v1/tag", content=long_sound)):
        assert refused(answer) == (503, "stopping")
        assert answer.headers["retry-after"] == "1"


def test_a_line_tells_what_was_done_and_nothing_that_was_sent(make_client, long_sound, caplog):
    client = make_client(token=TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with caplog.at_level(logging.INFO, logger="earmark.server"):
        client.post("/v1/tag?top=1", files={"file": ("patient 17.wav", long_sound)}, headers=headers)
        client.post("/v1/tag", content=b"no sound", headers=headers)
        client.get("/v1/taggers/patient-17", headers={"Authorization": "Bearer wrong-token"})
        client.get("/patient/17")
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "earmark.server"]
    assert [(line["method"], line["route"], line["status"], line.get("reason")) for line in lines] == [
        ("POST", "/v1/tag", 200, None),
        ("POST", "/v1/tag", 415, "not_a_sound"),
        ("GET", "/v1/taggers/{name}", 401, "unauthorised"),
        ("GET", "-", 404, "not_found"),
    ]
    assert lines[0]["audio_seconds"] == 1.93
    assert all(line["seconds"] >= 0 and line["time"] for line in lines)
    for secret in ("patient", TOKEN, "wrong-token", "horse"):
        assert secret not in json.dumps(lines)


def test_the_page_is_public_and_nothing_around_it_is_served(make_client, tmp_path, refused):
    page = tmp_path / "page"
    (page / "sub").mkdir(parents=True)
    (page / "index.html").write_text("<title>page</title>")
    (page / "sub" / "page.js").write_text("export {};")
    (tmp_path / "secret.txt").write_text("secret")
    client = make_client(token=TOKEN, page=page)
    for path in ("/", "/index.html"):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (200, "<title>page</title>")
        assert answer.headers["cache-control"] == "no-cache"
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    script = client.get("/sub/page.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert client.get("/sub/page.js", headers={"If-None-Match": script.headers["etag"]}).status_code == 304
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/sub/", "/sub", "/nothing.js"):
        assert refused(client.get(path)) == (404, "not_found")
    assert refused(client.get("/v1/taggers")) == (401, "unauthorised")
    assert make_client(page=tmp_path / "none").get("/").status_code == 404
