import jiwer
import numpy as np
import pytest

from facespeak_jax.evaluation.metrics import words


def test_hand_computed():
    found = words.word_errors("The cat sat on the mat.", "the cat sat on mat mat")
    assert found == (1, 6)  # "the" heard as "mat"
    assert words.character_errors("abc", "axcd") == (2, 3)
    assert words.word_errors("Hello.", "").rate == 1.0
    assert words.Errors(0, 0).rate == 0.0
    assert words.Errors(2, 0).rate == 1.0


def test_equals_jiwer():
    rng = np.random.default_rng(0)
    vocabulary = ["red", "green", "blue", "two", "now"]
    for _ in range(40):
        said, heard = (" ".join(rng.choice(vocabulary, size=rng.integers(1, 9))) for _ in range(2))
        assert words.word_errors(said, heard).rate == pytest.approx(jiwer.wer(said, heard))
        assert words.character_errors(said, heard).rate == pytest.approx(jiwer.cer(said, heard))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It cost $20.", "it cost twenty dollars"),
        ("Call me at 10:30, Mr. Smith!", "Call me at ten thirty mister Smith"),
        ("well-known", "well known"),
        ("I don't know", "I dont know"),
    ],
)
def test_spelling_is_not_an_error(one, other):
    assert words.spelled(one) == words.spelled(other)


def test_braces_of_a_transcript_do_no_harm():
    assert words.spelled("{oops} fine") == ["oops", "fine"]
