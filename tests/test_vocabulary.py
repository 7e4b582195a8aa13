from __future__ import annotations

import numpy as np
import pytest

from earmark.errors import ManifestError
from earmark.vocabulary import Vocabulary


def test_targets_have_a_one_for_each_label_of_a_clip_and_zero_elsewhere():
    targets = Vocabulary(["dog", "rain", "cat"]).targets([("cat", "dog"), (), ("rain",)])
    np.testing.assert_array_equal(targets, [[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    assert targets.dtype == np.float32


def test_no_clips_give_an_empty_table_of_the_right_width():
    assert Vocabulary(["a", "b"]).targets([]).shape == (0, 2)


def test_order_is_kept_and_counts():
    vocabulary = Vocabulary(["zebra", "ant"])
    assert list(vocabulary) == ["zebra", "ant"] == [vocabulary[0], vocabulary[1]]
    assert [vocabulary.index(label) for label in vocabulary] == [0, 1]
    assert vocabulary != Vocabulary(["ant", "zebra"])
    assert vocabulary == Vocabulary(("zebra", "ant"))
    assert hash(vocabulary) == hash(Vocabulary(("zebra", "ant")))
    assert vocabulary != ["zebra", "ant"]


def test_membership_and_length():
    vocabulary = Vocabulary(["on", "001", "NA"])
    assert "001" in vocabulary
    assert 1 not in vocabulary
    assert len(vocabulary) == 3


def test_an_unknown_label_is_an_error_with_the_nearest():
    with pytest.raises(
        ManifestError, match=r"label 'Brak' is not in the vocabulary \(did you mean 'Bark'\?\)"
    ):
        Vocabulary(["Bark", "Meow"]).targets([("Brak",)])


def test_a_label_given_twice_is_an_error():
    with pytest.raises(ManifestError, match=r"labels stand more than once \(dog, rain\)"):
        Vocabulary(["rain", "dog", "cat", "dog", "rain"])


def test_an_empty_vocabulary_is_an_error():
    with pytest.raises(ManifestError, match="there is no label"):
        Vocabulary([])


def test_its_text_shows_how_many_and_the_first_five():
    assert repr(Vocabulary("abcdef")) == "Vocabulary(6: a, b, c, d, e, …)"
    assert repr(Vocabulary("ab")) == "Vocabulary(2: a, b)"
