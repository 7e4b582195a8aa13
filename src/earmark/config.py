"""Settings: dataclass default < recipe (YAML, differences only) < `--set section.key=value`.

YAML is read without guessing types: every scalar arrives as text and becomes what the field's annotation says, so that
`3e-4` is a number, `on` a word where a word is meant, and a label never turns into a boolean.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from earmark.errors import ConfigError
from earmark.lookup import did_you_mean

Config = TypeVar("Config")

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as nested dicts and lists of text.

    Raises:
        ConfigError: the file is missing, is not YAML or is not a mapping.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid YAML ({str(error).splitlines()[0]}).") from error
    if document in (None, ""):
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: holds a {type(document).__name__}, expected settings as `key: value` lines.")
    return document


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """`["optim.epochs=3"]` as nested dicts of text.

    >>> parse_assignments(["optim.epochs=3", "model=tiny_cnn"])
    {'optim': {'epochs': '3'}, 'model': 'tiny_cnn'}
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator or not name:
            raise ConfigError(f"--set {assignment}: expected key=value, such as --set optim.epochs=30.")
        *sections, key = name.strip().split(".")
        inner = settings
        for section in sections:
            inner = inner.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"--set {assignment}: '{section}' was given a value before. Give one or the other.")
        try:
            inner[key] = yaml.load(value, Loader=yaml.BaseLoader) if value.strip() else value
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {assignment}: the value cannot be read. A list is written [a, b].") from error
    return settings


def change(config: Config, changes: Mapping[str, Any], where: str) -> Config:
    """A copy of a (nested) frozen dataclass with `changes` applied, each value coerced to its field's type.

    Args:
        changes: nested mapping of field names to text or values.
        where: what the changes come from, for the error text ("recipes/esc50.yaml", "--set").

    Raises:
        ConfigError: an unknown key, or a value of the wrong type.
    """
    require_settings(type(config), changes, where)
    hints = typing.get_type_hints(type(config))
    replaced = {
        key: _coerce(value, hints[key], getattr(config, key), f"{where}: {key}") for key, value in changes.items()
    }
    return dataclasses.replace(config, **replaced)


def require_settings(kind: type, changes: Mapping[str, Any], where: str) -> None:
    """Refuse names that are no fields of a dataclass or of those within it, whatever their values; as `change` does.

    Raises:
        ConfigError: an unknown key.
    """
    hints = typing.get_type_hints(kind)
    for key, value in changes.items():
        if key not in hints:
            raise ConfigError(
                f"{where}: '{key}' is not a setting{did_you_mean(key, hints)}. Known: {', '.join(hints)}."
            )
        if dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            require_settings(hints[key], value, f"{where}: {key}")


def _coerce(value: Any, hint: Any, current: Any, where: str) -> Any:
    """`value` as the type that `hint` asks for."""
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected settings below it, found '{value}'.")
        return change(current, value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in ("null", "none", "")):
            return None
        return _coerce(value, next(kind for kind in arguments if kind is not type(None)), current, where)
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else str(value).split(",")
        return tuple(_coerce(item, arguments[0], None, where) for item in items)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected settings below it, found '{value}'.")
        return {**(current or {}), **value}
    return _scalar(value, hint, where)


def _scalar(value: Any, kind: type, where: str) -> Any:
    """Text to bool, int, float or str; values that already have the type pass."""
    if kind is bool and isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    if kind is bool and not isinstance(value, bool):
        raise ConfigError(f"{where}: expected true or false, found '{value}'.")
    if isinstance(value, list | dict):
        raise ConfigError(f"{where}: expected one {kind.__name__}, found {value}.")
    try:
        return kind(value)
    except ValueError as error:
        raise ConfigError(f"{where}: expected a {kind.__name__}, found '{value}'.") from error


def require(holds: bool, name: str, value: Any, expected: str) -> None:
    """Refuse a setting whose value makes no sense.

    Raises:
        ConfigError: `holds` is false.
    """
    if not holds:
        raise ConfigError(f"{name}: found {value}, expected {expected}.")


def keyword_options(function: Any, options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Options for a callable (a model family, say), checked against its keyword arguments and coerced to their types.

    Raises:
        ConfigError: an unknown option, or a value of the wrong type.
    """
    target = function.__init__ if isinstance(function, type) else function
    hints = typing.get_type_hints(target)
    known = {name: hint for name, hint in hints.items() if name in (target.__kwdefaults__ or {})}
    for key in options:
        if key not in known:
            raise ConfigError(
                f"{where}: '{key}' is not an option{did_you_mean(key, known)}. Known: {', '.join(known)}."
            )
    return {key: _coerce(value, known[key], None, f"{where}: {key}") for key, value in options.items()}


def to_yaml(config: Any) -> str:
    """A (nested) dataclass as YAML text, fields in their order."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    """Tuples to lists and paths to text, so that safe YAML can hold them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
