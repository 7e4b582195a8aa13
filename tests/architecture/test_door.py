"""The door: what is the user's to mend is one text and exit code 2; what is ours keeps its traceback."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib

import pytest
import typer
from rich.text import Text

import earmark
from earmark.__main__ import OPTIONAL, main
from earmark.cli.app import app
from earmark.errors import AudioError, EarmarkError, MissingExtraError
from earmark.lookup import load


@pytest.fixture
def cleared(monkeypatch):
    """Runs `earmark cache clear`, with what the cache does replaced by raising `error`; the exit code."""

    def run(error: BaseException | None) -> int:
        class Cache:
            folder = "nowhere"

            def clear(self) -> int:
                if error is not None:
                    raise error
                return 0

        monkeypatch.setattr("earmark.audio.cache.Cache", Cache)
        monkeypatch.setattr(sys, "argv", ["earmark", "cache", "clear"])
        try:
            return main()
        except SystemExit as end:
            return end.code or 0

    return run


def test_a_command_that_is_done_exits_0(cleared):
    assert cleared(None) == 0


def test_an_error_of_the_users_is_its_text_on_stderr_and_exit_code_2(cleared, capsys):
    assert cleared(AudioError("dog.wav: is empty (0 bytes). Fetch it again.")) == 2
    assert capsys.readouterr() == ("", "dog.wav: is empty (0 bytes). Fetch it again.\n")


def test_a_bug_keeps_its_traceback(cleared):
    with pytest.raises(ZeroDivisionError):
        cleared(ZeroDivisionError())


def test_an_interrupt_exits_130_without_a_traceback(cleared, capsys):
    assert cleared(KeyboardInterrupt()) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("module", sorted(OPTIONAL))
def test_a_missing_optional_package_is_named_as_pip_knows_it(cleared, capsys, module):
    assert cleared(ModuleNotFoundError(f"No module named '{module}.x'", name=f"{module}.x")) == 2
    package, extra = OPTIONAL[module]
    assert (
        capsys.readouterr().err == f"{package} is needed to run `earmark cache clear`. pip install 'earmark[{extra}]'\n"
    )


def test_any_other_missing_module_is_a_bug(cleared):
    with pytest.raises(ModuleNotFoundError):
        cleared(ModuleNotFoundError("No module named 'earmark.nothing'", name="earmark.nothing"))


def test_the_optional_packages_are_those_of_the_extra(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {line.partition(">")[0] for line in project["optional-dependencies"]["train"]}
    assert declared - {package for package, _ in OPTIONAL.values()} == set()


def test_without_arguments_the_help_is_shown(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["earmark"])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr()
    assert "Usage: earmark" in shown.out + shown.err


def test_version_is_the_packages(monkeypatch, capsys, root):
    monkeypatch.setattr(sys, "argv", ["earmark", "--version"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert capsys.readouterr().out == f"earmark {earmark.__version__}\n"
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == earmark.__version__


def test_an_unknown_option_exits_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["earmark", "tag", "--nonsense"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "nonsense" in capsys.readouterr().err


def test_python_m_earmark_is_the_command(root):
    command = [sys.executable, "-m", "earmark", "--version"]
    done = subprocess.run(command, cwd=root / "src", capture_output=True, text=True, timeout=60)
    assert done.stdout == f"earmark {earmark.__version__}\n"


def leaves(command, path=()):
    """(words, command) of every command that does something."""
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from leaves(child, (*path, name))
    if not children:
        yield path, command


COMMANDS = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_each_of_its_parameters_has_help_and_an_example(words):
    command = COMMANDS[words]
    assert command.help
    assert f"earmark {' '.join(words)}" in command.help
    assert [parameter.name for parameter in command.params if not getattr(parameter, "help", None)] == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_word_of_the_help_is_taken_for_markup(words):
    command = COMMANDS[words]
    for text in (command.help, *(parameter.help for parameter in command.params)):
        assert Text.from_markup(text).plain == text.replace("\\[", "[")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_in_the_readme(words, root):
    assert f"earmark {' '.join(words)}" in (root / "README.md").read_text(encoding="utf-8")


def test_every_name_written_in_a_table_is_there(modules):
    written = {
        node.value
        for tree in modules.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and re.fullmatch(r"earmark(\.\w+)+:\w+", str(node.value))
    }
    assert len(written) > 20
    for reference in sorted(written):
        assert callable(load(reference)), reference


def test_the_names_of_the_api_resolve():
    for name in earmark.PUBLIC:
        assert getattr(earmark, name) is not None
        assert name in dir(earmark)


def test_an_unknown_name_of_the_api_suggests_the_nearest():
    with pytest.raises(AttributeError, match=r"no attribute 'load_tager' \(did you mean 'load_tagger'\?\)"):
        _ = earmark.load_tager


def test_a_missing_extra_is_an_error_of_the_users():
    error = MissingExtraError("torch", "train", "train")
    assert isinstance(error, EarmarkError)
    assert str(error) == "torch is needed to train. pip install 'earmark[train]'"
