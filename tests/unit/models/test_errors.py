"""Wrong model files: each fault is told with its file, its line, its field and the fix."""

import re
import tomllib
from typing import Any

import pytest

from throughline.models import ModelError, define, parse_model, shipped_text
from throughline.models.document import MAX_BYTES, VOCABULARY, Document
from throughline.models.lines import lines_of

GOOD = """\
name = "club"
label = "A club"

[[phases]]
name = "guest"
label = "Guest"
window_days = 30

[[phases]]
name = "member"
label = "Member"
window_days = 365
emptied_window = "guest"

[kinds.trial_evening]
names = ["Trial Evening"]

[kinds.order]
names = ["Membership Bought"]

[rules]
page = [{ phase = "guest" }]
trial_evening = [{ when = ["before member"], phase = "guest" }]
order = [
  { when = ["live_order"], phase = "member" },
]
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ModelError) as caught:
        parse_model(text, "club.toml")
    return str(caught.value).splitlines()


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_a_good_file() -> None:
    definition = define(GOOD, "club.toml")
    assert definition.label == "A club"
    assert [phase.label for phase in definition.model.phases] == ["Guest", "Member"]
    evening = definition.model.kind("track", "trial_evening")
    assert evening is not None
    assert [(rule.name, rule.phase) for rule in evening.rules] == [("trial_evening when before member", 1)]
    bought = definition.model.kind("track", "Membership Bought")
    assert bought == definition.model.kind("track", "Order Completed")
    assert bought is not None
    assert bought.order == "place"


def test_the_models_own_meaning_of_a_name_goes_before_the_shipped_one() -> None:
    model = parse_model(changed('names = ["Trial Evening"]', 'names = ["demo"]\ncalls = ["screen"]'), "club.toml")
    for call, name in (("track", "Demo"), ("screen", "")):
        kind = model.kind(call, name)
        assert kind is not None
        assert kind.name == "trial_evening"
    page = model.kind("page", "")
    assert page is not None
    assert page.name == "page"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (changed('name = "club"\n', ""), "club.toml:1: name: is missing; add it"),
        (changed('name = "club"', 'name = "My Club"'), "club.toml:1: name: 'My Club': a name has a-z"),
        (changed('label = "A club"', 'label = " "'), "club.toml:2: label: ' ' is blank"),
        (changed('label = "A club"', "label = 5"), "club.toml:2: label: has to be a text, not 5"),
        (changed('label = "A club"', 'title = "x"'), "club.toml:2: title: no field 'title'; there are: name, label"),
        (changed("window_days = 30\n", "window_dayz = 30\n"), "7: phases[1].window_dayz: no field 'window_dayz'; did "),
        (changed("window_days = 30\n", ""), "club.toml:4: phases[1].window_days: is missing; add it"),
        (changed("window_days = 30\n", "window_days = 0\n"), "club.toml:7: phases[1].window_days: has to be greater"),
        (changed("window_days = 365", 'window_days = "a year"'), "club.toml:12: phases[2].window_days: has to be a v"),
        (changed("window_days = 365", "window_days = 40_000"), "club.toml:12: phases[2].window_days: has to be less"),
        (changed('emptied_window = "guest"', 'emptied_window = "gast"'), "13: phases[2].emptied_window: no phase 'ga"),
        (changed('name = "member"', 'name = "guest"'), "club.toml:10: phases[2].name: 'guest' stands twice"),
        (
            changed('{ when = ["live_order"], phase = "member" }', '{ phase = "membre" }'),
            "club.toml:25: rules.order[1].phase: no phase 'membre'; did you mean 'member'? there are: guest, member",
        ),
        (
            changed('"live_order"', '"live_oder"'),
            "club.toml:25: rules.order[1].when[1]: no guard 'live_oder'; did you mean 'live_order'? there are: first_p",
        ),
        (
            changed("before member", "before breakfast"),
            "club.toml:23: rules.trial_evening[1].when[1]: no guard 'before breakfast'; ",
        ),
        (changed("\npage = ", "\npages = "), "club.toml:22: rules.pages: no kind 'pages'; did you mean 'page'? there"),
        (changed('[{ phase = "guest" }]', '{ phase = "guest" }'), "club.toml:22: rules.page: has to be a list"),
        (changed('[{ phase = "guest" }]', "[{ phase = 1 }]"), "club.toml:22: rules.page[1].phase: has to be a text"),
        (
            changed('[{ phase = "guest" }]', '[{ phase = "guest" }, { phase = "member" }]'),
            "club.toml:22: rules.page[2]: is never reached: the rule before it always holds",
        ),
        (
            changed('{ when = ["live_order"], phase = "member" }', '{ when = ["live_order"], phase = "guest" }'),
            "club.toml:9: phases[2]: no rule leads to 'member'",
        ),
        (
            changed('["Trial Evening"]', '["x"]\norder = "buy"'),
            "club.toml:17: kinds.trial_evening.order: 'buy' is not one of 'place', 'pay', 'edit', 'cancel' or 'refund'",
        ),
        (
            changed('["Trial Evening"]', '["x"]\ncalls = ["track"]'),
            "club.toml:17: kinds.trial_evening.calls[1]: 'track' is not one of 'page', 'screen'",
        ),
        (
            changed('["Trial Evening"]', '["x"]\ncart = "add"\nby_customer = false'),
            "club.toml:17: kinds.trial_evening.cart: only what the customer does has this effect",
        ),
        (
            changed('["Membership Bought"]', '["x"]\nby_customer = false'),
            "club.toml:20: kinds.order.by_customer: 'order' is a shipped kind and keeps its effects",
        ),
        (
            changed('["Membership Bought"]', '["y",\n  "trial-evening"]'),
            "club.toml:20: kinds.order.names[2]: 'trial-evening' already means 'trial_evening'; choose one",
        ),
        (
            changed("[kinds.trial_evening]", "[kinds.TrialEvening]"),
            "club.toml:15: kinds.TrialEvening: ",
        ),
        (changed('["Membership Bought"]', '[" "]'), "club.toml:19: kinds.order.names[1]: ' ' is blank"),
        (changed('label = "Guest"', 'label = "Guest'), "club.toml:6: not TOML: Illegal character"),
        (changed("[rules]", "[rules]\npage = []"), "club.toml:23: not TOML: Cannot overwrite a value"),
        (GOOD + '\n"', "not TOML: "),
        ("", "club.toml:1: name: is missing; add it"),
        (".".join("a" * 17) + " = 1", "club.toml:1: a key has more than 16 parts; write a shorter one"),
        ("x = 1\n" + "a." * (MAX_BYTES // 2 - 8) + "a = 1", "club.toml:2: a key has more than 16 parts"),
        ("x = " + "[" * 9_999 + "]" * 9_999, "club.toml: arrays or tables are nested too deeply"),
        ("#" * (MAX_BYTES + 1), "club.toml: has 65,537 characters, at most 65,536 are read"),
    ],
)
def test_faults(text: str, fault: str) -> None:
    assert any(fault in line for line in faults(text)), faults(text)


def test_all_faults_are_told_at_once_by_line() -> None:
    text = GOOD.replace("live_order", "dead_order").replace('emptied_window = "guest"', 'emptied_window = "x"')
    assert [line.split(": ")[0] for line in faults(text)] == ["club.toml:13", "club.toml:25"]
    text = GOOD.replace("window_days = 30", "days = 30").replace('label = "Member"', "label = 1")
    assert [line.split(": ")[0] for line in faults(text)] == ["club.toml:4", "club.toml:7", "club.toml:11"]


def test_a_vocabulary_is_checked_too() -> None:
    with pytest.raises(ModelError, match=re.escape("v.toml:3: page.nam: no field 'nam'; did you mean 'names'?")):
        Document('[page]\npage = true\nnam = ["x"]\n', "v.toml").read(VOCABULARY)


# --- lines ------------------------------------------------------------------------------------------------------------

TRICKY = '''\
# a comment with [brackets] and = signs
"quoted key" = 1
a.b."c.d" = "text # no comment"
long = """
several
lines with ""quotes"" and \\\\ and \\""" \t
"""
literal = \'\'\'
[not a table]
\'\'\'
when = 1979-05-27 07:32:00  # a date with a space
list = [
  1, [2, 3],  # nested
  "a, b]",

  { x = 1, y = [ { z = "}" } ] },
]
empty = []
nothing = {}

[table . sub]
here = true
[[array]]
first = 1
[array.inner]
deep = 'it''s'
[[array]]
first = 2
[[array.more]]
last = inf
[[array.more]]
last = 0x_f
'''.replace("'it''s'", "'its'").replace("0x_f", "0xf")


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    paths = {path} if path else set()
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            paths |= leaves(inner, (*path, key))
    return paths


@pytest.mark.parametrize("text", [TRICKY, TRICKY.replace("\n", "\r\n"), GOOD, "", "x=1", 'x = "\\""'])
def test_every_field_has_a_line(text: str) -> None:
    assert set(lines_of(text)) == leaves(tomllib.loads(text))


@pytest.mark.parametrize("name", ["seven_phase", "six_stage", "need_to_review", "five_stage"])
def test_every_field_of_a_shipped_model_has_a_line(name: str) -> None:
    text = shipped_text(name)
    lines = lines_of(text)
    assert set(lines) == leaves(tomllib.loads(text))
    rows = text.splitlines()
    for path, line in lines.items():
        if isinstance(path[-1], str):
            assert path[-1] in rows[line - 1]


def test_lines() -> None:
    lines = lines_of(TRICKY)
    rows = TRICKY.splitlines()
    for path, row in {
        ("quoted key",): '"quoted key" = 1',
        ("a", "b", "c.d"): 'a.b."c.d" = "text # no comment"',
        ("literal",): "literal = '''",
        ("list", 2): '  "a, b]",',
        ("list", 3, "y", 0, "z"): '  { x = 1, y = [ { z = "}" } ] },',
        ("table", "sub", "here"): "here = true",
        ("array", 0, "inner", "deep"): "deep = 'its'",
        ("array", 1, "first"): "first = 2",
        ("array", 1, "more", 1, "last"): "last = 0xf",
    }.items():
        assert rows[lines[path] - 1] == row
