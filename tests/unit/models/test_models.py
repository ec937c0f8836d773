"""The shipped models: every known event name means something, and what the models disagree about is said in data."""

import pytest

from tests.support.event_names import KNOWN, KNOWN_AND_MOVING_NOBODY
from throughline.journey.fold import fold
from throughline.journey.model import Model, normalise
from throughline.journey.state import LAPSE, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.models import ModelError, define, load_model, model_of, shipped_models, shipped_text, vocabulary

MODELS = ("five_stage", "need_to_review", "seven_phase", "six_stage")
DAY_US = 86_400_000_000

PHASES = {
    "seven_phase": ["discovery", "consideration", "decision", "purchase", "experience", "loyalty", "advocacy"],
    "six_stage": ["awareness", "consideration", "decision", "purchase", "post_purchase", "loyalty_advocacy"],
    "need_to_review": [
        "need_recognised",
        "solutions_investigated",
        "options_evaluated",
        "purchase_decision",
        "purchase_evaluation",
        "conclusion_shared",
    ],
    "five_stage": ["awareness", "interest", "consideration", "decision", "post_sales"],
}


class Customer:
    """Somebody who does one thing a minute, unless told otherwise."""

    def __init__(self, model: str) -> None:
        self.model = load_model(model)
        self.done: list[Touchpoint] = []

    def does(self, name: str, *, call: str = "track", after_us: int = 60_000_000, **fields: object) -> "Customer":
        at_us = (self.done[-1].occurred_us if self.done else 0) + after_us
        fact = Touchpoint(at_us, 0, f"m{len(self.done)}", "ada", call, name, **fields)  # type: ignore[arg-type]
        self.done.append(fact)
        return self

    @property
    def transitions(self) -> list[Transition]:
        return fold(self.model, None, self.done).transitions

    @property
    def phase(self) -> str:
        journey = fold(self.model, None, self.done).journey
        assert journey is not None
        return _name(self.model, journey.phase)

    @property
    def path(self) -> list[str]:
        """Each transition as the phase it leads to; a lapse as what it is called."""
        return [t.rule if t.kind == LAPSE else _name(self.model, t.to_phase) for t in self.transitions]


def _name(model: Model, phase: int) -> str:
    return model.phases[phase - 1].name if phase else ""


def test_these_are_shipped() -> None:
    assert tuple(shipped_models()) == MODELS


@pytest.mark.parametrize("name", MODELS)
def test_phases_in_rank_order(name: str) -> None:
    model = load_model(name)
    assert [phase.name for phase in model.phases] == PHASES[name]
    assert [phase.number for phase in model.phases] == list(range(1, len(PHASES[name]) + 1))
    assert define(shipped_text(name), name).label


def test_windows_of_the_seven_phases() -> None:
    days = {phase.name: phase.window_us // DAY_US for phase in load_model("seven_phase").phases}
    assert list(days.values()) == [30, 30, 7, 90, 90, 180, 180]
    emptied = {phase.name: phase.emptied_window_us // DAY_US for phase in load_model("seven_phase").phases}
    assert emptied == {**days, "decision": 30}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("whose", KNOWN)
def test_every_known_name_means_something(whose: str, model: str) -> None:
    kind_of = load_model(model).kind
    assert not [name for name in KNOWN[whose] if kind_of("track", name) is None]
    moving_nobody = {kind_of("track", name) for name in KNOWN_AND_MOVING_NOBODY}
    for name in KNOWN[whose]:
        kind = kind_of("track", name)
        assert kind is not None
        assert kind.rules or kind in moving_nobody, f"{name} ({kind.name}) moves nobody"


@pytest.mark.parametrize("name", KNOWN_AND_MOVING_NOBODY)
def test_what_moves_nobody_is_known(name: str) -> None:
    kind = load_model("seven_phase").kind("track", name)
    assert kind is not None
    assert not kind.rules


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("call", ["page", "screen"])
def test_page_and_screen_calls_need_no_name(call: str, model: str) -> None:
    kind = load_model(model).kind(call, "Anything at all")
    assert kind is not None
    assert kind.is_page


def test_names_are_compared_without_case_spaces_and_dashes() -> None:
    kind = load_model("seven_phase").kind
    assert kind("track", "Product Added") is kind("track", "productAdded") is kind("track", "product-ADDED")
    assert kind("track", "Product Adder") is None
    assert kind("identify", "Product Added") is None


EFFECTS = {
    "Product Added": ("", "add", True),
    "Wishlist Product Added to Cart": ("", "add", True),
    "Product Removed": ("", "remove", True),
    "Cart Viewed": ("", "", True),
    "Order Completed": ("place", "", True),
    "close_convert_lead": ("place", "", True),
    "Order Cancelled": ("cancel", "", True),
    "Order Refunded": ("refund", "", True),
    "Return": ("", "", True),
    "Order Fulfilled": ("", "", False),
    "order_picked_up": ("", "", True),
    "Email Delivered": ("", "", False),
    "Email Opened": ("", "", True),
    "Push Notification Received": ("", "", False),
    "Push Notification Tapped": ("", "", True),
    "ad_impression": ("", "", False),
    "ad_click": ("", "", True),
    "Order Updated": ("edit", "", False),
    "Live Chat Message Received": ("", "", False),
    "Live Chat Message Sent": ("", "", True),
    "disqualify_lead": ("", "", False),
    "Trial Ended": ("", "", False),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_effects(name: str) -> None:
    kind = load_model("seven_phase").kind("track", name)
    assert kind is not None
    assert (kind.order, kind.cart, kind.by_customer) == EFFECTS[name]


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        (["session_start", "first_visit", "page_view"], "discovery"),
        (["page_view", "page_view"], "consideration"),
        (["page_view", "page_ping", "page_ping"], "discovery"),
        (["ad_impression"], "discovery"),
        (["Product Viewed"], "consideration"),
        (["Live Chat Conversation Started"], "consideration"),
        (["Order Completed", "Live Chat Conversation Started"], "experience"),
        (["Product Added"], "decision"),
        (["trns_error"], "decision"),
        (["pos_sale"], "purchase"),
        (["pos_sale", "Order Fulfilled"], "experience"),
        (["pos_sale", "Order Completed"], "loyalty"),
        (["pos_sale", "store_visit"], "loyalty"),
        (["store_visit"], "discovery"),
        (["Product Shared"], "consideration"),
        (["pos_sale", "Product Shared"], "advocacy"),
        (["pos_sale", "Order Cancelled"], "purchase"),
    ],
)
def test_seven_phases(events: list[str], phase: str) -> None:
    customer = Customer("seven_phase")
    for event in events:
        customer.does(event)
    assert customer.phase == phase


def test_reviews_and_scores_tell_advocates() -> None:
    assert Customer("seven_phase").does("Product Reviewed", rating=5.0).phase == "consideration"
    assert Customer("seven_phase").does("pos_sale").does("Product Reviewed", rating=4.0).phase == "advocacy"
    assert Customer("seven_phase").does("pos_sale").does("Product Reviewed", rating=3.5).phase == "experience"
    assert Customer("seven_phase").does("pos_sale").does("survey_answered", score=9.0).phase == "advocacy"
    assert Customer("seven_phase").does("pos_sale").does("survey_answered", score=8.0).phase == "experience"
    assert Customer("seven_phase").does("survey_answered", score=10.0).phase == "consideration"


# --- what the models disagree about -----------------------------------------------------------------------------------


def test_a_transaction_is_a_purchase_in_six_stages() -> None:
    assert Customer("six_stage").does("Checkout Started").does("transaction", order_id="1").path == [
        "decision",
        "purchase",
    ]
    assert Customer("six_stage").does("transaction", order_id="1").path == ["purchase"]


def test_loyalty_and_advocacy_are_one_phase_in_six_stages() -> None:
    twice = Customer("six_stage").does("transaction", order_id="1").does("transaction", order_id="2")
    assert twice.path == ["purchase", "loyalty_advocacy"]
    assert twice.does("Product Reviewed", rating=5.0).path == ["purchase", "loyalty_advocacy"]


def test_to_decide_and_to_buy_is_one_phase_from_need_to_review() -> None:
    customer = Customer("need_to_review").does("Product Added").does("Checkout Started").does("transaction")
    assert customer.path == ["purchase_decision"]


def test_buying_again_is_the_last_phase_from_need_to_review() -> None:
    customer = Customer("need_to_review").does("transaction", order_id="1").does("transaction", order_id="1")
    assert customer.path == ["purchase_decision"]
    assert customer.does("transaction", order_id="2").path == ["purchase_decision", "conclusion_shared"]


def test_an_order_is_post_sales_in_five_stages() -> None:
    assert Customer("five_stage").does("Product Added").does("Order Completed").path == ["decision", "post_sales"]
    assert Customer("five_stage").does("close_convert_lead").path == ["post_sales"]


@pytest.mark.parametrize("no", ["disqualify_lead", "close_unconvert_lead", "refusal", "proposal_declined"])
def test_a_decision_may_end_in_no_in_five_stages(no: str) -> None:
    customer = Customer("five_stage").does("generate_lead").does("proposal_sent").does(no)
    assert customer.path == ["interest", "decision", "abandoned"]
    lapse = customer.transitions[-1]
    assert (lapse.name, lapse.at_us) == (no, customer.done[-1].occurred_us)
    assert customer.does("Product Viewed").path == ["interest", "decision", "abandoned", "interest"]


def test_a_no_before_any_decision_is_one_in_five_stages() -> None:
    assert Customer("five_stage").does("generate_lead").does("disqualify_lead").path == [
        "interest",
        "decision",
        "abandoned",
    ]


def test_a_no_after_the_sale_or_a_second_no_changes_nothing_in_five_stages() -> None:
    assert Customer("five_stage").does("Order Completed").does("disqualify_lead").path == ["post_sales"]
    twice = Customer("five_stage").does("generate_lead").does("disqualify_lead").does("disqualify_lead")
    assert twice.path == ["interest", "decision", "abandoned"]


@pytest.mark.parametrize("model", [name for name in MODELS if name != "five_stage"])
def test_a_no_ends_nothing_elsewhere(model: str) -> None:
    assert len(Customer(model).does("Checkout Started").does("disqualify_lead").path) == 1


def test_reading_a_review_is_interest_first_then_consideration_in_five_stages() -> None:
    customer = Customer("five_stage").does("page_view").does("Reviews Viewed")
    assert customer.path == ["awareness", "interest"]
    assert customer.does("Reviews Viewed").path == ["awareness", "interest", "consideration"]
    assert [t.rule for t in customer.transitions][1:] == ["review_read when before interest", "review_read"]


@pytest.mark.parametrize(
    ("model", "kept_days"), [("seven_phase", 30), ("six_stage", 30), ("need_to_review", 30), ("five_stage", 30)]
)
def test_an_emptied_cart_changes_the_window(model: str, kept_days: int) -> None:
    def lapses_after(days: int, *events: str) -> bool:
        customer = Customer(model)
        for event in events:
            customer.does(event)
        customer.does("Product Viewed", after_us=days * DAY_US)
        return "abandoned" in customer.path

    full_days = next(p.window_us // DAY_US for p in load_model(model).phases if p.window_us != p.emptied_window_us)
    assert lapses_after(full_days, "Product Added") is True
    assert lapses_after(full_days - 1, "Product Added") is False
    assert lapses_after(kept_days, "Product Added", "Product Removed") is True
    assert lapses_after(kept_days - 1, "Product Added", "Product Removed") is False


# --- loading ----------------------------------------------------------------------------------------------------------


def test_an_unknown_model_says_which_there_are() -> None:
    with pytest.raises(ModelError, match="no model named 'eight' is shipped; there are: five_stage, need_to_review"):
        load_model("eight")
    with pytest.raises(ModelError):
        load_model("vocabulary")


def test_the_model_of_a_generation_is_parsed_once() -> None:
    document = shipped_text("six_stage").replace('"six_stage"', '"ours"')
    assert model_of("ours", document) is model_of("ours", document)
    assert model_of("six_stage", None) is load_model("six_stage")


def test_a_name_stands_once_in_the_vocabulary() -> None:
    names = [normalise(name) for kind in vocabulary().values() for name in kind.names]
    assert len(names) == len(set(names)) > 250
