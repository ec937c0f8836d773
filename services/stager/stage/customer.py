"""A customer within one transaction: its ids, what is new of it, and from where its journeys are recomputed."""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from services.stager.stage.models import ActiveModel
from throughline.journey.lapse import EVER, NEVER
from throughline.journey.touchpoint import OrderKey, Touchpoint
from throughline.store.journeys import JourneyKey

BEGINNING: OrderKey = (EVER, 0, "", "")
"""Before every touchpoint."""
END: OrderKey = (NEVER, 0, "", "")
"""After every touchpoint."""

Members = Mapping[bytes, str]
"""All ids of a customer, the customer's own included: digest -> id."""


class Customer(NamedTuple):
    """A customer and the models its journeys are folded with."""

    workspace: int
    digest: bytes
    id: str
    models: Sequence[ActiveModel]


class CustomerUpdate:
    """What one transaction changes of a customer, and why and from where its journeys must be recomputed.

    `changed_from` decides. None: the new touchpoints follow everything folded so far, and are folded onto the stored
    journeys. A place in the history: a touchpoint came late, or ids joined or left the customer; whatever was folded
    from there on is computed again.
    """

    __slots__ = (
        "changed_from",
        "changed_until",
        "customer",
        "is_of_unknown_size",
        "members",
        "previous_owner",
        "touchpoints",
    )

    def __init__(self, customer: Customer) -> None:
        self.customer = customer
        self.members: Members = {customer.digest: customer.id}
        self.touchpoints: list[Touchpoint] = []
        """New touchpoints."""
        self.changed_from: OrderKey | None = None
        """Place of the first touchpoint that came or went."""
        self.changed_until = END
        """Place of the last touchpoint that came or went; END when unknown."""
        self.previous_owner: dict[bytes, bytes] = {}
        """Digest of an id that joined the customer -> digest of the customer it belonged to before."""
        self.is_of_unknown_size = False
        """Whether ids joined from a customer whose journeys do not tell how many touchpoints there are."""

    def add_members(self, members: Members) -> None:
        """Add ids that belong to the customer."""
        self.members = {**self.members, **members}

    def change_from(self, place: OrderKey) -> None:
        """Recompute from `place` on, or from an earlier place that is noted already."""
        self.changed_from = place if self.changed_from is None else min(self.changed_from, place)

    def owner_before(self, actor: bytes) -> bytes:
        """Returns the digest of the customer that an id belonged to before the transaction."""
        return self.previous_owner.get(actor, self.customer.digest)

    def uncounted_ids(self, active: ActiveModel, counted: Container[JourneyKey]) -> list[bytes]:
        """Returns the ids whose unmapped events a model that is being backfilled has not counted yet.

        Args:
            active: the model.
            counted: the journeys and marks there were before the transaction: of their customers all is counted.
        """
        if not active.backfilling:
            return []
        return [digest for digest in self.members if (self.owner_before(digest), active.id) not in counted]
