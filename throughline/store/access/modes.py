"""The choices of owners: what a token may do, and what a source keeps of addresses and of events without consent.

Values stand in the tables `read_tokens` and `sources`.
"""

from enum import StrEnum


class Scope(StrEnum):
    """What a token may do in its workspace."""

    READ = "read"
    EDIT = "edit"
    """It also shares views and annotates."""
    ADMIN = "admin"
    """It also administers, such as erasing a person."""


class IpMode(StrEnum):
    """What is kept of an IP address."""

    SHORTEN = "shorten"
    """The network: the last byte of an IPv4 address, the last 80 bits of an IPv6 address are 0."""
    DROP = "drop"
    KEEP = "keep"


class ConsentMode(StrEnum):
    """What becomes of events without consent for analytics."""

    OFF = "off"
    """They are taken."""
    DROP = "drop"
    AGGREGATE = "aggregate"
    """They are dropped, and counted by name."""
