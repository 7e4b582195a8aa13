from __future__ import annotations

import pytest

from earmark.errors import ConfigError
from earmark.lookup import did_you_mean, load, lookup

TABLE = {"se_cnn": "earmark.lookup:load", "tiny_cnn": "earmark.lookup:lookup"}


def test_a_name_becomes_the_object_it_is_written_for():
    assert lookup(TABLE, "se_cnn", "model") is load


def test_an_unknown_name_is_an_error_with_the_nearest_and_all_known():
    with pytest.raises(
        ConfigError, match=r"'se_cn' is not a model \(did you mean 'se_cnn'\?\)\. Known: se_cnn, tiny_cnn"
    ):
        lookup(TABLE, "se_cn", "model")
    with pytest.raises(ConfigError, match=r"'zebra' is not a model\. Known"):
        lookup(TABLE, "zebra", "model")


def test_a_table_that_names_something_absent_is_a_bug_not_the_users_error():
    with pytest.raises(ModuleNotFoundError):
        load("earmark.absent:thing")
    with pytest.raises(AttributeError):
        load("earmark.lookup:absent")


def test_nothing_near_gives_no_hint():
    assert did_you_mean("zebra", ["se_cnn"]) == ""
    assert did_you_mean("anything", []) == ""
