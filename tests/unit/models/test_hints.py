"""What a misspelt event name was meant to be."""

import pytest

from throughline.models import vocabulary
from throughline.models.hints import MAX_NAME, hint


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Signed Upp", "Signed Up"),
        ("Sgined Up", "Signed Up"),
        ("signed-upp", "Signed Up"),
        ("Ordr Completd", "Order Completed"),
        ("Order Complete", "Order Completed"),
        ("Completed Order", "Order Completed"),
        ("ProductAddd", "Product Added"),
        ("Prodcut Viewed", "Product Viewed"),
        ("Checkout Start", "Checkout Started"),
        ("purchse", "Purchase"),
        ("orders/creat", "Order Created"),
    ],
)
def test_a_misspelt_name_is_like_one(name: str, meant: str) -> None:
    assert hint(name) == meant


@pytest.mark.parametrize(
    "name", ["", "E", "Quiz Finished", "Newsletter", "Product Seen", "Video Played", "$autocapture", "Signed Up" * 9]
)
def test_other_names_are_like_none(name: str) -> None:
    assert hint(name) is None
    assert hint("x" * (MAX_NAME + 1)) is None


def test_no_shipped_name_gets_a_hint() -> None:
    names = [name for kind in vocabulary().values() for name in kind.names]
    spellings = [*names, *(name.replace("_", " ").title() for name in names), *map(str.upper, names)]
    assert [name for name in spellings if hint(name)] == []
