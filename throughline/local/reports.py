"""News for the person at the terminal."""

from collections.abc import Callable

Report = Callable[[str], None]
"""Called with a sentence."""


def silent(_: str) -> None:
    """A report that nobody reads."""
