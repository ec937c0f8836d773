"""Orders and their money, by currency. Pure."""

from typing import Annotated, NamedTuple

from msgspec import Meta

from services.api.shared.answers import Answer
from throughline.journey.money import digits_of


class OrderSums(NamedTuple):
    """Orders that stand of one currency, and what they are worth in its minor units."""

    currency: str
    """"" for none."""
    orders: int
    gross: int
    net: int


class OrderMoney(Answer):
    """Orders that stand of one currency."""

    currency: Annotated[str | None, Meta(description="null: the orders name none", examples=["EUR"])]
    digits: Annotated[int, Meta(description="decimals of the currency", examples=[2])]
    orders: Annotated[int, Meta(examples=[12])]
    gross: Annotated[int, Meta(description="in minor units of the currency", examples=[118000])]
    net: Annotated[int, Meta(description="less refunds", examples=[112000])]


def order_money(sums: OrderSums) -> OrderMoney:
    """Returns the sums of one currency as they are answered."""
    return OrderMoney(sums.currency or None, digits_of(sums.currency), sums.orders, sums.gross, sums.net)
