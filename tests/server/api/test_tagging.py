"""Sounds in, tags out: as the command line gives them, in three outcomes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from earmark.errors import ConfigError
from earmark.server.app import create_app
from earmark.server.limits import Limits
from earmark.server.refusals import REASONS
from earmark.server.schemas import TagAnswer, TaggerCard, TaggerList
from earmark.tagger import Clip, load_tagger

KINDS = ("cnn", "calibrated", "ends", "ensemble", "forest", "full", "lengths", "patches", "unsure")


def test_an_answer_has_the_tags_and_scores_of_the_tagger(client, cnn, vectors, long_sound):
    found = TagAnswer.model_validate(client.post("/v1/tag?scores=true&timeline=true", content=long_sound).json())
    windows = cnn.score(vectors / "long.wav")
    clip = cnn.pool(windows)
    assert found.tagger == cnn.identity
    assert found.outcome == "tags"
    assert (found.start, found.end) == (0.0, 1.93)
    expected = [(tag.label, pytest.approx(tag.score, abs=1e-4), 0.0, 1.93) for tag in cnn.tags(clip)[0]]
    assert [(tag.label, tag.score, tag.start, tag.end) for tag in found.tags] == expected
    assert list(found.scores) == list(cnn.labels)
    np.testing.assert_allclose(list(found.scores.values()), clip.scores[0], atol=1e-4)
    assert [(row.start, row.end) for row in found.windows] == list(zip(windows.starts, windows.ends, strict=True))
    np.testing.assert_allclose([list(row.scores.values()) for row in found.windows], windows.scores, atol=1e-4)
    assert [[tag.label for tag in row.tags] for row in found.windows] == [
        [tag.label for tag in row] for row in cnn.tags(windows)
    ]


@pytest.mark.parametrize("kind", [*KINDS, "together"])
def test_every_kind_of_tagger_is_served(make_client, vectors, long_sound, kind):
    suffix = "" if kind == "together" else ".onnx"
    tagger = load_tagger(vectors / f"{kind}.tagger{suffix}")
    found = make_client(tagger).post("/v1/tag?scores=true", content=long_sound).json()
    clip = tagger.pool(tagger.score(vectors / "long.wav"))
    np.testing.assert_allclose(list(found["scores"].values()), clip.scores[0], atol=1e-4)


def test_what_is_not_asked_for_is_not_there(client, long_sound):
    found = client.post("/v1/tag", content=long_sound).json()
    assert set(found) == {"tagger", "outcome", "start", "end", "tags", "warnings"}


def test_no_tag_is_an_outcome_of_its_own(client, long_sound):
    answer = client.post("/v1/tag?threshold=1", content=long_sound)
    assert (answer.status_code, answer.json()["outcome"], answer.json()["tags"]) == (200, "no_tag", [])


def test_top_and_threshold_are_those_of_the_tagger(client, long_sound):
    top = client.post("/v1/tag?top=3", content=long_sound).json()["tags"]
    assert len(top) == 3
    assert client.post("/v1/tag?top=1", content=long_sound).json()["tags"] == top[:1]
    assert client.post("/v1/tag?top=3&threshold=0.6", content=long_sound).json()["tags"] == top[:2]


def test_a_region_is_tagged_in_the_times_of_the_recording(client, cnn, vectors, long_sound):
    found = client.post("/v1/tag?start=0.5&end=1.25&scores=true", content=long_sound).json()
    clip = cnn.pool(cnn.score(Clip(vectors / "long.wav", 0.5, 1.25)))
    assert (found["start"], found["end"]) == (0.5, 1.25)
    np.testing.assert_allclose(list(found["scores"].values()), clip.scores[0], atol=1e-4)


def test_a_form_and_a_bare_body_are_the_same(client, long_sound):
    bare = client.post("/v1/tag", content=long_sound)
    named = ("../../etc/passwd.mp3", long_sound, "audio/mpeg")  # neither its name nor its type is believed
    assert client.post("/v1/tag", files={"file": named}).json() == bare.json()
    assert client.post("/v1/tag", content=long_sound, headers={"Content-Type": "audio/wav"}).json() == bare.json()


def test_warnings_say_what_makes_scores_less_trustworthy(make_client, cnn, write_sound, vectors, long_sound):
    low = write_sound(np.random.default_rng(0).normal(0, 0.1, 4000), 4000)
    [warning] = make_client().post("/v1/tag", content=low).json()["warnings"]
    assert "4000 Hz recording, tagger hears up to 4000 Hz" in warning
    calibrated = load_tagger(vectors / "calibrated.tagger.onnx")
    assert calibrated.metadata.clip_seconds_max is not None
    sound = write_sound(np.zeros(round(8000 * (calibrated.metadata.clip_seconds_max + 1))))
    [warning] = make_client(calibrated).post("/v1/tag", content=sound).json()["warnings"]
    assert "Take the timeline" in warning


def test_a_tagger_is_chosen_by_name_and_the_first_is_the_default(make_client, cnn, vectors, long_sound, refused):
    client = make_client(cnn, load_tagger(vectors / "forest.tagger.onnx"))
    assert client.post("/v1/tag", content=long_sound).json()["tagger"] == cnn.identity
    assert client.post("/v1/tag?tagger=forest", content=long_sound).json()["tagger"].startswith("forest ")
    answer = client.post("/v1/tag?tagger=forrest", content=long_sound)
    assert refused(answer) == (404, "not_found")
    assert "is not a tagger that is served (did you mean 'forest'?)" in answer.json()["error"]["message"]


def test_the_list_says_what_each_tagger_hears_and_the_limits(make_client, cnn):
    found = TaggerList.model_validate(make_client(limits=Limits(bytes=1234)).get("/v1/taggers").json())
    [facts] = found.taggers
    known = cnn.metadata
    assert (facts.name, facts.identity, tuple(facts.labels)) == ("cnn", cnn.identity, cnn.labels)
    assert (facts.sample_rate, facts.window_seconds, facts.hop_seconds) == (8000, 0.5, 0.25)
    assert tuple(facts.thresholds.window.values()) == known.thresholds["window"]
    assert tuple(facts.thresholds.clip.values()) == known.thresholds["clip"]
    assert found.limits.bytes == 1234


def test_one_tagger_comes_with_the_card_of_its_run(make_client, cnn, vectors, tmp_path, refused):
    folder = tmp_path / "birds"
    folder.mkdir()
    (folder / "birds.tagger.onnx").write_bytes((vectors / "cnn.tagger.onnx").read_bytes())
    (folder / "card.md").write_text("# birds\n", encoding="utf-8")
    client = make_client(load_tagger(folder))
    assert TaggerCard.model_validate(client.get("/v1/taggers/cnn").json()).card == "# birds\n"
    assert refused(client.get("/v1/taggers/dog")) == (404, "not_found")
    assert make_client().get("/v1/taggers/cnn").json()["card"] is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("top=0", "top: should be greater than or equal to 1 (found '0')"),
        ("treshold=0.5", "treshold: is not a parameter (did you mean 'threshold'?). Known: tagger, start, end"),
        ("threshold=2", "threshold: should be less than or equal to 1"),
        ("start=-1", "start: should be greater than or equal to 0"),
        ("start=nan", "start: should be a finite number"),
        ("start=1_0", "start: should be a number (found '1_0')"),
        ("start=soon", "start: should be a valid number (found 'soon')"),
        ("start=1e308", "start: should be less than or equal to 1000000000"),
        ("timeline=1", "timeline: should be true or false (found '1')"),
        (f"top={'9' * 5000}", f"(found '{'9' * 40}')"),
    ],
)
def test_a_wrong_parameter_is_named(client, long_sound, refused, query, said):
    answer = client.post(f"/v1/tag?{query}", content=long_sound)
    assert refused(answer) == (422, "bad_parameter")
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize("query", ["start=1&end=0.5", "start=1.93", "start=1&end=4", "start=1e9"])
def test_a_region_that_is_not_there_is_refused(client, long_sound, refused, query):
    assert refused(client.post(f"/v1/tag?{query}", content=long_sound)) == (422, "unreadable")


def test_what_a_graph_cannot_score_is_an_error_and_no_500(make_client, cnn, held, refused, write_sound):
    held.go.set()
    client = make_client(cnn.with_parts(backend=lambda backend: held))
    answer = client.post("/v1/tag", content=write_sound(np.full(8000, 9.0)))
    assert refused(answer) == (422, "unscorable")
    assert answer.json()["error"]["message"].startswith("upload: cnn gives no finite scores of it.")


def test_a_bug_is_a_500_with_a_reason_and_nobody_elses_business(make_client, cnn, held, refused, write_sound):
    held.go.set()
    held.error = ZeroDivisionError("secret")
    client = make_client(cnn.with_parts(backend=lambda backend: held))
    answer = client.post("/v1/tag", content=write_sound([9.0] * 8000))
    assert refused(answer) == (500, "bug")
    assert "secret" not in answer.text


def test_addresses_and_methods_that_are_not_there_are_told_in_json(client, refused):
    assert refused(client.get("/v2/tag")) == (404, "not_found")
    answer = client.get("/v1/tag")
    assert refused(answer) == (405, "bad_method")
    assert answer.headers["allow"] == "POST"


def test_health_is_told(client):
    assert client.get("/healthz").json()["status"] == "ok"


def test_what_cannot_be_served_is_said_at_once(cnn, make_client):
    with pytest.raises(ConfigError, match="there is no tagger to serve"):
        create_app([])
    with pytest.raises(ConfigError, match="two taggers are called 'cnn'"):
        create_app([cnn, cnn])
    with pytest.raises(ConfigError, match="--token: is empty"):
        create_app([cnn], token=" ")
    with pytest.raises(ConfigError, match="limits: bytes is 0"):
        Limits(bytes=0)


def test_the_documents_name_every_reason_and_limit(vectors, client):
    text = (vectors.parent / "serve.md").read_text(encoding="utf-8")
    for reason, (status, meaning) in REASONS.items():
        assert f"| `{reason}` | {status} | {meaning} |" in text
    for limit in json.loads(client.get("/v1/taggers").content)["limits"]:
        assert f"| `{limit}` |" in text
