"""Answers that a workspace with a `min_cell` does not give at all: theirs are too many numbers of too few customers."""

from fastapi import Depends

from services.api.auth import Token
from services.api.shared.context import Context
from services.api.shared.workspace import min_cell_of
from throughline.kit.errors import ServiceError


async def _require_no_min_cell(context: Context, token: Token) -> None:
    min_cell = await min_cell_of(context, token.workspace, None)
    if min_cell is not None:
        raise ServiceError(
            403,
            "withheld",
            f"the workspace withholds counts of under {min_cell} customers, and so lists of customers, funnels, flows "
            "and variants",
        )


REQUIRE_NO_MIN_CELL = Depends(_require_no_min_cell)
"""A dependency of routers: 403 `withheld` for a workspace that withholds small cells."""
