"""Secrets that have to be read again, encrypted with keys of the environment (Fernet: AES-128-CBC, HMAC-SHA256).

Several keys make a rotation: the first one encrypts, any of them decrypts.
"""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

PREFIX = "fernet:"
"""Before every encrypted secret: one without it was stored before there was encryption."""


class SecretBoxError(ValueError):
    """A secret cannot be encrypted or decrypted; the message names what is missing."""


class SecretBox:
    """Encrypts and decrypts with `keys`; without any it only passes on what is not encrypted."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None

    @property
    def has_keys(self) -> bool:
        """Whether it can encrypt."""
        return self._fernet is not None

    def seal(self, secret: str) -> str:
        """Returns the secret encrypted with the first key.

        Raises:
            SecretBoxError: there is no key.
        """
        if self._fernet is None:
            raise SecretBoxError(
                "no key to encrypt it with; set ENCRYPTION_KEYS, here and for ingest (`throughline secrets key`)"
            )
        return PREFIX + self._fernet.encrypt(secret.encode()).decode()

    def open(self, stored: str) -> str:
        """Returns the secret.

        Raises:
            SecretBoxError: none of the keys has encrypted it.
        """
        if not stored.startswith(PREFIX):
            return stored
        if self._fernet is None:
            raise SecretBoxError("it is encrypted, and ENCRYPTION_KEYS is not set")
        try:
            return self._fernet.decrypt(stored.removeprefix(PREFIX)).decode()
        except InvalidToken:
            raise SecretBoxError("none of ENCRYPTION_KEYS has encrypted it; add the key that did") from None


def new_key() -> str:
    """Returns a new random key."""
    return Fernet.generate_key().decode()
