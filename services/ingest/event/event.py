"""One event in the terms that every dialect is translated into. Pure."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

NO_RAW = Raw()
"""A member that was not sent: every such member of an `Event` is this object."""
CALLS = ("identify", "track", "page", "screen", "group", "alias")
"""Every value of `Event.type`."""


class Event(Struct, forbid_unknown_fields=True, gc=False):
    """An event with text, times and objects in their places; `Raw` members are kept as they were sent.

    The names are those of Segment's JSON, so that its usual event is decoded straight into this. They stand in about
    the order in which libraries send them: the decoder looks for a member after the one before it.
    """

    integrations: Raw = NO_RAW
    timestamp: datetime | None = None
    originalTimestamp: datetime | None = None  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    userId: str | None = None  # noqa: N815
    type: str | None = None
    properties: Raw = NO_RAW
    event: str | None = None
    context: Raw = NO_RAW
    name: str | None = None
    traits: Raw = NO_RAW
    messageId: str | None = None  # noqa: N815
    category: Raw = NO_RAW
    groupId: Raw = NO_RAW  # noqa: N815
    previousId: str | None = None  # noqa: N815
    sentAt: datetime | None = None  # noqa: N815
    writeKey: Any = None  # noqa: N815
    channel: Raw = NO_RAW
    rudderId: Raw = NO_RAW  # noqa: N815
    receivedAt: Raw = NO_RAW  # noqa: N815
    """Of an archive: when the event was received first, by the server that archived it."""
    metadata: Raw = msgspec.field(default=NO_RAW, name="_metadata")
