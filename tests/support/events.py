"""Events as SDKs send them."""

from typing import Any


def event(number: int, **fields: Any) -> dict[str, Any]:
    """Segment's track event with this number; `fields` replace its own. Twenty users take turns."""
    return {
        "type": "track",
        "event": "Product Viewed",
        "userId": f"user-{number % 20}",
        "messageId": f"message-{number}",
        "timestamp": "2026-11-01T12:00:00Z",
        **fields,
    }
