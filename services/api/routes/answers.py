"""How answers are encoded."""

from typing import Any

import msgspec
from starlette.responses import Response


def json_response(body: Any) -> Response:
    """200 with JSON that no cache may keep: it belongs to whoever holds the token."""
    return Response(msgspec.json.encode(body), media_type="application/json", headers={"Cache-Control": "no-store"})
