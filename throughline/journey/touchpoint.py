"""The touchpoint: one event of one actor, the fact that everything else is derived from."""

from typing import NamedTuple

OrderKey = tuple[int, int, str, str]
"""(occurred_us, place, message_id, actor): the order of a customer's touchpoints (docs/decisions/0016)."""


class Touchpoint(NamedTuple):
    """One event of one actor. Instants are microseconds since the epoch; "" means not given.

    The first four fields are the order within a customer, so touchpoints sort as they are. This list is the only one:
    the message of the wire and the table of facts have these fields by name (docs/decisions/0011).
    """

    occurred_us: int
    place: int
    """The position in its request, from 0: events of one instant are in the order of their list."""
    message_id: str
    actor: str
    call: str
    """track, page, screen, identify, group or alias; of an operator's ruling unlink or relink."""
    name: str
    """The event's name as sent; a model maps it to a kind when folding."""
    workspace: int = 0
    source: int = 0
    channel: str = ""
    received_us: int = 0
    client_us: int = 0
    user_id: str = ""
    anonymous_id: str = ""
    previous_id: str = ""
    order_id: str = ""
    value: float | None = None
    currency: str = ""
    rating: float | None = None
    score: float | None = None
    """An answer on the 0-10 scale of the net promoter score."""
    product_id: str = ""
    quantity: float | None = None
    total: float | None = None
    """What an order costs in all, or a refund pays back in all; `value` may leave out tax and shipping."""
    items: str = ""
    """The lines of an order, refund or cart: a JSON array of [product id, quantity, price or null]; "" for none."""
    test: bool = False
    """Whether it is about a test order: kept as a fact, left out of every journey."""
    warnings: tuple[str, ...] = ()
    rest: str = "{}"
    """Everything else of the event as sent: one JSON object."""
    bot: bool = False
    """Whether a crawler sent it: kept as a fact, left out of every journey."""
    attribution: str = ""
    """Where the visit came from and with what device: one JSON object; "" when nothing is known."""

    @property
    def order_key(self) -> OrderKey:
        """The place among the customer's touchpoints."""
        return (self.occurred_us, self.place, self.message_id, self.actor)
