"""What is plainly not there is refused before anything heavy is imported, and by the flows as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from earmark.errors import EarmarkError, NotHereError
from earmark.flows.first_look import look


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> None:
    """An empty home folder, and the test's folder to work in."""
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"data": Path("nowhere")}, "nowhere: does not exist. Pass a folder"),
        ({"recipe": Path("none.yaml")}, r"none\.yaml: cannot be read"),
        ({"settings": ["epochs"]}, "--set epochs: expected key=value"),
        ({"settings": ["optim.epohs=3"]}, r"--set: optim: 'epohs' is not a setting \(did you mean 'epochs'\?\)"),
        ({"settings": ["stages.curated.optim.epohs=3"]}, "--set: stages.curated: optim: 'epohs' is not a setting"),
        ({"settings": ["data.fraction=0.5"]}, "--set: data.fraction is not a setting; pass --fraction."),
        ({"settings": ["model=se_cn"]}, r"'se_cn' is not a model \(did you mean 'se_cnn'\?\)"),
        ({"on": ["mn04"]}, r"mn04: is neither a file nor a pretrained tagger \(did you mean 'mn04_as'\?\)"),
        ({"on": ["mn04_as"]}, "mn04_as: is not on this machine yet .* brings it.$"),
        ({"on": ["mn04_as"], "finetuned": True}, "brings it. Fine-tuning needs it for the head that it is"),
        ({"on": ["runs/none"]}, "runs/none: there is no such file or folder. Check the path."),
        ({"on": ["mn04"], "or_from_scratch": True}, "mn04: is neither a file nor a pretrained tagger"),
        ({"on": ["hf:a/b"]}, "hf:a/b has to be adopted once: `earmark models get hf:a/b --name NAME --window 5`"),
        ({"or_from_scratch": True, "settings": ["optim.epochs=3"]}, "--or-from-scratch: .* none is named. Give --on"),
        ({"head": "knnn"}, r"'knnn' is not a head \(did you mean 'knn'\?\)"),
    ],
)
def test_what_is_plainly_wrong_is_refused(tmp_path, words, expected):
    with pytest.raises(EarmarkError, match=expected):
        look(**{"data": tmp_path, "recipe": None, "settings": [], **words})


def test_what_may_be_missing_is_let_through(tmp_path):
    look(tmp_path, None, ["optim.epochs=3"], ["mn04_as"], "knn", finetuned=True, or_from_scratch=True)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model: finetuned\nbackbone:\n  on: mn04_as\n", encoding="utf-8")
    look(tmp_path, recipe, [], or_from_scratch=True)
    look(tmp_path, None, ["backbone.on=mn04_as"], or_from_scratch=True)
    with pytest.raises(NotHereError):
        look(tmp_path, None, [], ["mn04_as"])
