"""The OpenAPI document is exact: what it says is answered, and nothing else, whatever is asked."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from earmark.server.app import create_app
from earmark.server.refusals import REASONS
from earmark.tagger import load_tagger

schemathesis = pytest.importorskip("schemathesis")
positive_data_acceptance = schemathesis.checks.positive_data_acceptance

VECTORS = Path(__file__).parents[3] / "docs" / "tagger-file"
SOUNDS = [(VECTORS / name).read_bytes() for name in ("short.wav", "long.wav")]
OF_THE_SOUND = {"not_a_sound", "unreadable", "cut_off", "bad_upload"}
# Sounds are sent, so that answers are looked at, too.
schemathesis.openapi.media_type("application/octet-stream", st.sampled_from(SOUNDS))
TAGGERS = [load_tagger(VECTORS / f"{name}.tagger.onnx") for name in ("cnn", "forest")]
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", create_app(TAGGERS, page=None))


@SCHEMA.parametrize()
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_the_document_says(case):
    logging.getLogger("earmark.server").setLevel(logging.WARNING)
    answer = case.call(headers={"Host": "127.0.0.1"})
    # No schema says whether bytes are a sound, or whether it is long enough for a region.
    of_the_sound = answer.status_code != 200 and answer.json()["error"]["reason"] in OF_THE_SOUND
    case.validate_response(answer, excluded_checks=[positive_data_acceptance] if of_the_sound else [])


def test_every_operation_declares_its_refusals_with_their_body(client):
    document = client.get("/openapi.json").json()
    [tag] = document["paths"]["/v1/tag"].values()
    of_streams_and_addresses = {"bad_frame", "bad_message", "bad_method", "idle"}
    said = " ".join(answer["description"] for answer in tag["responses"].values())
    assert {reason for reason in REASONS if f"{reason}: " not in said} == of_streams_and_addresses
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status != "200":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}
    assert set(document["components"]["schemas"]["ErrorFacts"]["properties"]["reason"]["enum"]) == set(REASONS)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_a_token_is_in_the_document_where_one_is_wanted(make_client):
    def secured(client) -> set[bool]:
        paths = client.get("/openapi.json").json()["paths"]
        return {"security" in paths[path][method] for path, method in (("/v1/tag", "post"), ("/v1/taggers", "get"))}

    assert secured(make_client()) == {False}
    assert secured(make_client(token="secret")) == {True}
