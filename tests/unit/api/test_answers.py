"""ETags, however clients write them."""

import pytest

from services.api.shared.answers import matches_etag


@pytest.mark.parametrize("header", ['W/"a1"', '"a1"', "a1", 'W/"b2", W/"a1"', "*"])
def test_an_etag_is_recognised_however_it_is_written(header: str) -> None:
    assert matches_etag(header, 'W/"a1"')


@pytest.mark.parametrize("header", ["", 'W/"b2"', '"a"', 'W/"a11"'])
def test_another_etag_is_not(header: str) -> None:
    assert not matches_etag(header, 'W/"a1"')
