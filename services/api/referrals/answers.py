"""The answers of referrals. Pure."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar
from urllib.parse import quote

from msgspec import Meta

from services.api.funnel.answers import Seconds, Share, share
from services.api.referrals.queries import Claims, Everybody, Person
from services.api.shared.answers import Answer, Instant, ModelName, NextCursor, instant
from services.api.shared.days import Days, OfDays, of_days
from services.api.shared.links import Links
from services.api.shared.money import OrderMoney, OrderSums, order_money
from services.api.shared.phase_names import phase_name
from services.api.shared.workspace import LiveModel
from throughline.analytics.intervals import newcombe, wilson
from throughline.analytics.referrals import (
    Arrival,
    Compared,
    Network,
    Referral,
    bins_of,
    compared,
    cycle_time,
)
from throughline.journey.model import Model
from throughline.kit.clock import rfc3339

MAX_ADVOCATES = 50
"""Number of advocates that are shown one by one."""
MAX_LISTED = 200
"""Number of referred customers of one that are shown one by one."""
RESAMPLES = 200
ADVOCATE_NUMBERS = ("referred", "reached", "ordered")
"""Numbers of one advocate that have a list."""

CustomerId = Annotated[str, Meta(examples=["user-1"])]


class Advocate(Answer):
    """A customer who brought others in the span."""

    customer: CustomerId
    referred: Annotated[int, Meta(examples=[4])]
    reached: Annotated[int, Meta(description="of these, came to the goal within the window", examples=[2])]
    orders: Annotated[int, Meta(description="orders that stand of these", examples=[3])]
    link: Annotated[str, Meta(description="of all time", examples=["/v1/customers/user-1/referrals"])]
    links: Links


class CycleTime(Answer):
    """How long it takes from the first share of the code to the first order, of all referred customers of the span."""

    p25: Seconds
    p50: Seconds
    p75: Seconds


class Followed(Answer):
    """Referred customers against others by Kaplan and Meier, so that it does not matter how long each has been seen."""

    within_seconds: Annotated[
        float, Meta(description="after the first touchpoint: the window, or as much of it as is seen")
    ]
    referred: Annotated[Share, Meta(description="came to the goal")]
    others: Share
    difference: Share
    shown: Annotated[bool, Meta(description="false: no difference shown")]


class Spread(Answer):
    """How many new customers one customer brings: k = invites a customer x conversion of an invite, in this span."""

    window: Annotated[str, Meta(description="after coming, within which the goal counts", examples=["30d"])]
    immature: Annotated[int, Meta(description="referred of whom the window has not passed yet: k may grow by them")]
    customers: Annotated[int, Meta(description="seen in the span", examples=[5000])]
    invites: Annotated[int, Meta(examples=[800])]
    invites_per_customer: float | None
    reached: Annotated[int, Meta(description="referred in the span who came to the goal in time", examples=[40])]
    reached_per_invite: Annotated[float | None, Meta(description="null: no invite was sent as an event")]
    k: Annotated[float | None, Meta(description="null: nobody was seen", examples=[0.008])]
    low: Annotated[float | None, Meta(description="bootstrap over advocates, 95 %; null: nobody came to the goal")]
    high: float | None


class Referrals(OfDays):
    """Who brought whom in the span, and what became of them."""

    TABLE: ClassVar[str] = "advocates"

    goal: Annotated[str, Meta(description="the phase that counts as success", examples=["purchase"])]
    referred: Annotated[int, Meta(description="customers who came by a code of another one", examples=[120])]
    advocate_count: Annotated[int, Meta(description="customers who brought them", examples=[80])]
    unclaimed: Annotated[int, Meta(description="of all time: came with a code that nobody shared", examples=[3])]
    self_referred: Annotated[
        int, Meta(description="of all time: came with a code of their own, which is void", examples=[1])
    ]
    rings: Annotated[int, Meta(description="of all time: were brought by those whom they brought; cut", examples=[0])]
    contested_codes: Annotated[int, Meta(description="shared by several customers; the first has it", examples=[0])]
    phases: Annotated[dict[str, int], Meta(description="phase -> referred customers that stand there now")]
    orders: list[OrderMoney]
    first_seen: Annotated[int, Meta(description="referred customers who were first seen in the span", examples=[110])]
    reached_rate: Annotated[Share | None, Meta(description="of `first_seen`, came to the goal")]
    others_rate: Annotated[Share | None, Meta(description="the same of customers whom nobody referred")]
    difference: Annotated[Share | None, Meta(description="of the two (Newcombe)")]
    shown: Annotated[bool, Meta(description="false: no difference shown, chance alone may make as large a one")]
    followed: Annotated[Followed | None, Meta(description="of those first seen; null: nobody is seen long enough")]
    spread: Spread
    cycle_time: CycleTime
    links: Links
    advocates: Annotated[list[Advocate], Meta(description=f"up to {MAX_ADVOCATES}, who brought most first")]


class ReferralItem(Answer):
    """A customer who came with a code."""

    customer: CustomerId
    advocate: Annotated[str | None, Meta(description="null: the code brought nobody", examples=["ada"])]
    code: Annotated[str, Meta(examples=["ADA10"])]
    at: Instant
    phase: Annotated[str, Meta(examples=["purchase"])]
    reached_at: Annotated[Instant | None, Meta(description="when it first came to the goal; null: not yet")]
    orders: Annotated[int, Meta(description="orders that stand", examples=[1])]
    ordered_at: Annotated[Instant | None, Meta(description="when the first of these was placed; null: none")]


class ReferralList(Answer):
    """A page of the referrals behind a number."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    number: Annotated[str, Meta(examples=["referred"])]
    items: list[ReferralItem]
    next_cursor: NextCursor


class ReferredCustomer(Answer):
    """A customer whom this one brought."""

    customer: CustomerId
    code: Annotated[str, Meta(examples=["ADA10"])]
    at: Instant
    phase: Annotated[str, Meta(examples=["purchase"])]
    orders: Annotated[int, Meta(examples=[1])]


class ReferredBy(Answer):
    """The customer who brought this one."""

    customer: CustomerId
    code: Annotated[str, Meta(examples=["ADA10"])]
    at: Instant


class CustomerReferrals(Answer):
    """Who brought a customer, and whom it brought."""

    TABLE: ClassVar[str] = "referred"

    model: ModelName
    customer: CustomerId
    codes: Annotated[list[str], Meta(description="that the customer shared", examples=[["ADA10"]])]
    referred_by: Annotated[ReferredBy | None, Meta(description="null: nobody")]
    total: Annotated[int, Meta(examples=[4])]
    referred: Annotated[list[ReferredCustomer], Meta(description=f"the first {MAX_LISTED}")]


def referrals_answer(
    live: LiveModel,
    days: Days,
    goal: int,
    all_time: Network,
    claims: Claims,
    in_span: Sequence[Referral],
    people: Mapping[bytes, Person],
    money: Sequence[OrderSums],
    everybody: Everybody,
    window: tuple[str, int | None],
    now_us: int,
    links: Callable[[str | None], Mapping[str, str]],
) -> Referrals:
    """The whole answer.

    Args:
        live: the model.
        days: of the referrals.
        goal: the number of the phase by which a referral has succeeded.
        all_time: all referrals.
        claims: of codes.
        in_span: the referrals of the days.
        people: all that these name.
        money: orders of the referred.
        everybody: all customers of the days.
        window: name and length of the time after coming within which the goal counts; None: without an end.
        now_us: the applied watermark.
        links: returns those to the lists, of one advocate or of all.
    """
    model = live.model
    window_us = now_us if window[1] is None else window[1]
    of_advocate: dict[bytes, list[Person]] = {}
    for referral in in_span:
        of_advocate.setdefault(referral.advocate, []).append(people[referral.customer])
    first_seen = [person for brought in of_advocate.values() for person in brought if person.first_us >= days.from_us]
    successes = sum(person.highest_phase >= goal for person in first_seen)
    others = (max(0, everybody.first_seen - len(first_seen)), max(0, everybody.reached - successes))
    in_time: dict[bytes, int] = dict.fromkeys(of_advocate, 0)
    immature = 0
    for referral in in_span:
        is_in_time = is_reached(referral, people[referral.customer], window_us)
        in_time[referral.advocate] += is_in_time
        immature += not is_in_time and now_us <= referral.at_us + window_us
    spells = [
        (min(claims.since_us.get(each.code, each.at_us), each.at_us), people[each.customer].ordered_us)
        for each in in_span
    ]
    spells_of_referred = bins_of(((person.first_us, person.reached_us) for person in first_seen), now_us)
    others_spells = {
        key: number - spells_of_referred.get(key, 0)
        for key, number in everybody.spells.items()
        if number > spells_of_referred.get(key, 0)
    }
    difference = newcombe(successes, len(first_seen), others[1], others[0])
    ranked = sorted(of_advocate, key=lambda advocate: (-len(of_advocate[advocate]), people[advocate].id))
    standing = Counter(people[referral.customer].phase for referral in in_span)
    return Referrals(
        **of_days(live, days),
        goal=model.phases[goal - 1].name,
        referred=len(in_span),
        advocate_count=len(of_advocate),
        unclaimed=len(all_time.unclaimed),
        self_referred=len(all_time.self_referred),
        rings=len(all_time.rings),
        contested_codes=len(claims.contested),
        phases={phase_name(model, phase): number for phase, number in sorted(standing.items())},
        orders=[order_money(sums) for sums in money],
        first_seen=len(first_seen),
        reached_rate=share(wilson(successes, len(first_seen))),
        others_rate=share(wilson(others[1], others[0])),
        difference=share(difference),
        shown=difference is not None and not difference.low <= 0 <= difference.high,
        followed=_followed(compared(spells_of_referred, others_spells, window[1])),
        spread=_spread(everybody, list(in_time.values()), window[0], immature if window[1] is not None else 0),
        cycle_time=CycleTime(*(None if us is None else us / 1e6 for us in cycle_time(spells, now_us))),
        links={**links(None)},
        advocates=[
            Advocate(
                people[advocate].id,
                len(of_advocate[advocate]),
                in_time[advocate],
                sum(person.orders for person in of_advocate[advocate]),
                f"/v1/customers/{quote(people[advocate].id, safe='')}/referrals",
                {name: path for name, path in links(people[advocate].id).items() if name in ADVOCATE_NUMBERS},
            )
            for advocate in ranked[:MAX_ADVOCATES]
        ],
    )


def _followed(both: Compared | None) -> Followed | None:
    if both is None:
        return None
    return Followed(
        both.within_us / 1e6,
        Share(*both.first),
        Share(*both.other),
        Share(*both.difference),
        not both.difference.low <= 0 <= both.difference.high,
    )


def is_reached(referral: Referral, person: Person, window_us: int) -> bool:
    """Whether the referred customer came to the goal after it came, within a time."""
    return person.reached_us is not None and 0 <= person.reached_us - referral.at_us <= window_us


def list_answer(
    live: LiveModel,
    number: str,
    page: Sequence[Arrival | Referral],
    people: Mapping[bytes, Person],
    next_cursor: str | None,
) -> ReferralList:
    """One page. `people`: all that it names."""
    items = []
    for each in page:
        person = people[each.customer]
        items.append(
            ReferralItem(
                customer=person.id,
                advocate=people[each.advocate].id if isinstance(each, Referral) else None,
                code=each.code,
                at=rfc3339(each.at_us),
                phase=phase_name(live.model, person.phase),
                reached_at=instant(person.reached_us),
                orders=person.orders,
                ordered_at=instant(person.ordered_us),
            )
        )
    return ReferralList(live.model.name, number, items, next_cursor)


def customer_answer(
    model: Model, customer: bytes, codes: list[str], network: Network, people: Mapping[bytes, Person]
) -> CustomerReferrals:
    """One customer's answer. `people`: the customer, who brought it, and the first whom it brought."""
    by = next((each for each in network.referrals if each.customer == customer and each.advocate in people), None)
    brought = [referral for referral in network.referrals if referral.advocate == customer]
    return CustomerReferrals(
        model=model.name,
        customer=people[customer].id,
        codes=codes,
        referred_by=None if by is None else ReferredBy(people[by.advocate].id, by.code, rfc3339(by.at_us)),
        total=len(brought),
        referred=[
            ReferredCustomer(
                people[referral.customer].id,
                referral.code,
                rfc3339(referral.at_us),
                phase_name(model, people[referral.customer].phase),
                people[referral.customer].orders,
            )
            for referral in brought[:MAX_LISTED]
            if referral.customer in people
        ],
    )


def _spread(everybody: Everybody, reached: Sequence[int], window: str, immature: int) -> Spread:
    customers, invites, successes = everybody.seen, everybody.invites, sum(reached)
    low = high = None
    if customers and successes:
        dice = random.Random(1)  # the same question has the same answer
        sums = sorted(sum(dice.choices(reached, k=len(reached))) / customers for _ in range(RESAMPLES))
        low, high = sums[round(0.025 * (RESAMPLES - 1))], sums[round(0.975 * (RESAMPLES - 1))]
    return Spread(
        window=window,
        immature=immature,
        customers=customers,
        invites=invites,
        invites_per_customer=invites / customers if customers else None,
        reached=successes,
        reached_per_invite=successes / invites if invites else None,
        k=successes / customers if customers else None,
        low=low,
        high=high,
    )
