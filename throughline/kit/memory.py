"""The bytes that a process holds for its clients: one sum, whoever holds them."""


class Memory:
    """Counts what is held. Of one event loop."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.held = 0
        """Bytes of requests under way and, in ingest, of events that wait for Kafka."""
        self.limit = limit

    def is_full(self, more: int = 0) -> bool:
        """Whether `more` bytes are too many."""
        return self.held + more > self.limit
