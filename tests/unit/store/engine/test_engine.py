"""What a database url may look like, and what of it people see."""

import hashlib

import pytest

from throughline.store.access.keys import key_digest
from throughline.store.engine.pool import create_engine, without_password


@pytest.mark.parametrize("url", ["mysql://x/y", "localhost:5432", "", "postgresql+asyncpg://x/y"])
def test_another_scheme_is_refused_with_the_fix(url: str) -> None:
    with pytest.raises(ValueError, match="starts with postgresql://"):
        create_engine(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:secret@db:5432/shop", "postgresql://ada@db:5432/shop"),
        ("postgresql://ada:se%40cret@db/shop?password=secret", "postgresql://ada@db/shop"),
        ("postgres://db/shop", "postgres://db/shop"),
        ("postgresql://ada:secret@[::1]:5432/shop", "postgresql://ada@[::1]:5432/shop"),
        ("postgresql://ada:secret@a:1,b:2/shop", "postgresql://ada@a:1,b:2/shop"),
    ],
)
def test_the_password_is_never_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_an_engine_shows_no_password() -> None:
    assert "secret" not in repr(create_engine("postgresql://ada:secret@db/shop"))


def test_keys_are_kept_as_sha_256() -> None:
    assert key_digest("tlw_abc") == hashlib.sha256(b"tlw_abc").digest()


@pytest.mark.parametrize("key", ["", "\ud800", "\x00", "x" * 100_000])
def test_any_string_has_a_digest(key: str) -> None:
    assert len(key_digest(key)) == 32
