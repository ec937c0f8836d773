"""Functions written from lists of names: they run, and a traceback shows their lines."""

import traceback

import pytest

from throughline.kit.compiled import compiled


def test_statements_become_a_function() -> None:
    swap = compiled(
        "swap", "pair", ["(a, b) = pair", "if a:", "    return (b, a * factor)", "return ()"], {"factor": 2}
    )
    assert (swap((1, "x")), swap((0, "x"))) == (("x", 2), ())
    assert swap.__name__ == "swap"


def test_a_traceback_shows_the_line() -> None:
    first = compiled("first", "pair", ["(a, b) = pair", "return a"], {})
    with pytest.raises(ValueError, match="too many values") as caught:
        first((1, 2, 3))
    assert traceback.extract_tb(caught.tb)[-1].line == "(a, b) = pair"
