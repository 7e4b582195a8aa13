from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from earmark.config import change, keyword_options, parse_assignments, read_yaml, to_yaml
from earmark.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    flag: bool = False
    limit: float | None = None
    inner: Inner = field(default_factory=Inner)
    options: dict[str, str] = field(default_factory=dict)


def family(*, width: int = 3, channels: tuple[int, ...] = (1,)):
    return width, channels


def test_text_becomes_what_the_field_says():
    changes = parse_assignments(["inner.rate=3e-4", "flag=yes", "name=on", "limit=5", "inner.sizes=[4, 5]"])
    assert change(Outer(), changes, "--set") == Outer("on", True, 5.0, Inner(3e-4, (4, 5)))


def test_none_is_written_as_null():
    assert change(Outer(limit=2.0), {"limit": "null"}, "x").limit is None


def test_unknown_key_names_the_nearest():
    with pytest.raises(ConfigError, match=r"--set: 'flg' is not a setting \(did you mean 'flag'\?\)"):
        change(Outer(), {"flg": "1"}, "--set")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"flag": "maybe"}, "flag: expected true or false, found 'maybe'"),
        ({"inner": {"rate": "fast"}}, "rate: expected a float, found 'fast'"),
        ({"inner": "3"}, "inner: expected settings below it, found '3'"),
        ({"options": "3"}, "options: expected settings below it"),
        ({"name": ["a"]}, "name: expected one str"),
    ],
)
def test_wrong_type_is_said_with_its_place(changes, text):
    with pytest.raises(ConfigError, match=text):
        change(Outer(), changes, "recipe.yaml")


def test_assignment_without_equals_is_refused():
    with pytest.raises(ConfigError, match="expected key=value, such as --set optim.epochs=30"):
        parse_assignments(["epochs"])


def test_yaml_is_read_as_text(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("inner:\n  rate: 3e-4\nname: no\n", encoding="utf-8")
    assert read_yaml(path) == {"inner": {"rate": "3e-4"}, "name": "no"}


def test_empty_yaml_changes_nothing(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("", encoding="utf-8")
    assert read_yaml(path) == {}


@pytest.mark.parametrize(("text", "message"), [("a: [1", "is not valid YAML"), ("- 1\n", "holds a list")])
def test_broken_yaml_is_refused(tmp_path, text, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)


def test_missing_yaml_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml")


def test_written_settings_read_back_equal(tmp_path):
    config = Outer("ü", True, None, Inner(3e-4, (7,)), {"width": "2"})
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert change(Outer(), read_yaml(path), "config.yaml") == config


def test_options_of_a_callable_are_coerced():
    assert keyword_options(family, {"width": "5", "channels": "2,3"}, "model_options") == {
        "width": 5,
        "channels": (2, 3),
    }


def test_unknown_option_of_a_callable_is_refused():
    with pytest.raises(ConfigError, match=r"'widht' is not an option \(did you mean 'width'\?\)"):
        keyword_options(family, {"widht": "5"}, "model_options")
