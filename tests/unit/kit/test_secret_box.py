"""Secrets encrypted with keys of the environment, and the change of a key."""

from collections.abc import Callable

import pytest

from throughline.kit.secret_box import PREFIX, SecretBox, SecretBoxError, new_key

OLD, NEW = new_key(), new_key()


def test_what_was_sealed_is_opened_and_never_shown() -> None:
    box = SecretBox((OLD,))
    sealed = box.seal("s3cret")
    assert sealed.startswith(PREFIX)
    assert "s3cret" not in sealed
    assert sealed != box.seal("s3cret"), "equal secrets look different"
    assert box.open(sealed) == "s3cret"


def test_a_key_is_changed_in_three_steps() -> None:
    sealed = SecretBox((OLD,)).seal("s3cret")
    both = SecretBox((NEW, OLD))
    assert both.open(sealed) == "s3cret"
    again = both.seal(both.open(sealed))
    assert SecretBox((NEW,)).open(again) == "s3cret"
    with pytest.raises(SecretBoxError, match="none of ENCRYPTION_KEYS"):
        SecretBox((NEW,)).open(sealed)


def test_without_a_key_only_what_is_not_encrypted_is_read() -> None:
    box = SecretBox()
    assert box.open("as it was stored before") == "as it was stored before"
    with pytest.raises(SecretBoxError, match="ENCRYPTION_KEYS is not set"):
        box.open(SecretBox((OLD,)).seal("s3cret"))
    with pytest.raises(SecretBoxError, match="set ENCRYPTION_KEYS"):
        box.seal("s3cret")


@pytest.mark.parametrize("damage", [lambda sealed: sealed[:-1], lambda sealed: sealed[:-3] + "AAA", lambda _: PREFIX])
def test_a_damaged_one_is_refused(damage: Callable[[str], str]) -> None:
    box = SecretBox((OLD,))
    with pytest.raises(SecretBoxError):
        box.open(damage(box.seal("s3cret")))
