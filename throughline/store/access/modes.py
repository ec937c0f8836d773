"""What a source's owner chooses for addresses and for events without consent. Values stand in the table `sources`."""

from enum import StrEnum


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
