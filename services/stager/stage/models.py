"""What is applied in each workspace, kept until it changes."""

from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.changes import Applied, Workspace
from throughline.kit.clock import MIN_US
from throughline.models import model_of
from throughline.store.engine.unit_of_work import reading
from throughline.store.generations import read_generations
from throughline.store.id_walk import RESTAGE


class Workspaces:
    """The models of every workspace, read again when one is asked for that is not known, or has changed."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known: dict[int, Workspace] = {}

    async def of(self, needed: set[int]) -> dict[int, Workspace]:
        """All workspaces, up to date at least in knowing these."""
        if not self._known or not needed <= self._known.keys():
            await self.refresh()
        return self._known

    async def refresh(self) -> None:
        """Read them again."""
        async with reading(self._engine) as connection:
            found = await read_generations(connection)
            filling = {slot.owner for slot in await RESTAGE.read_open(connection)}
        self._known = {
            workspace: Workspace(
                one.version,
                MIN_US if one.retention_cutoff_us is None else one.retention_cutoff_us,
                [
                    Applied(
                        g.id,
                        model_of(g.name, g.document),
                        ZoneInfo(one.zone),
                        filling=g.id in filling,
                        has_snapshots=one.retention_cutoff_us is not None,
                    )
                    for g in one.generations
                ],
            )
            for workspace, one in found.items()
        }
