"""The house rules hold for the tree, and each of them can fail."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.project.house_rules import (
    MAX_DOCSTRING_LINES,
    a_transaction_begins_in_the_unit_of_work_only,
    circles,
    decisions_are_in_their_index,
    docstrings_end_sentences,
    every_package_is_a_layer,
    generated_messages_are_touched_by_the_codec_only,
    journey_imports_only_the_standard_library,
    kafka_is_reached_as_its_settings_say,
    layers_import_only_what_lies_below,
    literals_are_not_unpacked,
    local_and_demo_are_imported_by_the_cli_only,
    metrics_are_declared_in_one_registry,
    modules,
    names_say_what_they_hold,
    no_imports_go_in_a_circle,
    no_module_imports_a_test_module,
    only_dialects_know_dialects,
    packages_say_what_they_are,
    services_never_import_each_other,
    sql_lives_in_the_store_and_the_apis_queries,
    the_environment_is_read_in_settings_only,
    the_wall_clock_is_read_in_one_place,
)

ROOT = Path(__file__).parents[2]
Rule = Callable[[Path], Iterator[str]]

BAD: list[tuple[Rule, str, str]] = [
    (journey_imports_only_the_standard_library, "throughline/journey/fold.py", "import msgspec"),
    (journey_imports_only_the_standard_library, "throughline/journey/fold.py", "from throughline.kit import clock"),
    (services_never_import_each_other, "services/api/main.py", "def f():\n    from services.stager import plan"),
    (services_never_import_each_other, "services/api/main.py", "from ..stager.plan import plan"),
    (layers_import_only_what_lies_below, "throughline/kit/kafka.py", "from throughline.wire import codec"),
    (layers_import_only_what_lies_below, "throughline/wire/codec.py", "from throughline.journey.fold import fold"),
    (layers_import_only_what_lies_below, "throughline/store/facts.py", "from throughline.wire.codec import decode"),
    (layers_import_only_what_lies_below, "throughline/cli/__init__.py", "from services.api import main"),
    (
        layers_import_only_what_lies_below,
        "services/ingest/main.py",
        "from throughline.store.schema.journeys import journeys",
    ),
    (layers_import_only_what_lies_below, "services/ingest/main.py", "from throughline import models"),
    (layers_import_only_what_lies_below, "services/api/main.py", "import throughline.local.kafka"),
    (every_package_is_a_layer, "throughline/common/__init__.py", ""),
    (local_and_demo_are_imported_by_the_cli_only, "services/api/main.py", "from throughline.local import LocalKafka"),
    (local_and_demo_are_imported_by_the_cli_only, "throughline/local/kafka.py", "from throughline import demo"),
    (sql_lives_in_the_store_and_the_apis_queries, "services/stager/main.py", "import sqlalchemy as sa"),
    (
        sql_lives_in_the_store_and_the_apis_queries,
        "services/stager/main.py",
        "from sqlalchemy.ext.asyncio import create_async_engine",
    ),
    (sql_lives_in_the_store_and_the_apis_queries, "services/api/phases/routes.py", "q = 'select id\\nfrom journeys'"),
    (sql_lives_in_the_store_and_the_apis_queries, "services/api/phases/queries_of_old.py", "import sqlalchemy as sa"),
    (the_environment_is_read_in_settings_only, "services/api/main.py", "import os\nos.environ['PORT']"),
    (the_environment_is_read_in_settings_only, "services/api/main.py", "from os import getenv"),
    (
        generated_messages_are_touched_by_the_codec_only,
        "services/api/x.py",
        "from throughline.wire.v1 import touchpoint_pb2",
    ),
    (a_transaction_begins_in_the_unit_of_work_only, "throughline/store/access/sources.py", "def f(e):\n    e.begin()"),
    (a_transaction_begins_in_the_unit_of_work_only, "throughline/store/access/sources.py", "def f(c):\n    c.commit()"),
    (kafka_is_reached_as_its_settings_say, "services/api/main.py", "create_producer(settings.kafka)"),
    (the_wall_clock_is_read_in_one_place, "services/api/main.py", "import time\ntime.time()"),
    (the_wall_clock_is_read_in_one_place, "services/api/main.py", "import datetime\ndatetime.datetime.now()"),
    (the_wall_clock_is_read_in_one_place, "services/api/main.py", "from time import time_ns"),
    (metrics_are_declared_in_one_registry, "services/api/main.py", "from prometheus_client import Counter"),
    (
        metrics_are_declared_in_one_registry,
        "services/api/main.py",
        "import prometheus_client\nprometheus_client.Gauge('x', 'x')",
    ),
    (no_imports_go_in_a_circle, "throughline/models/b.py", "def f():\n    from throughline.models import c"),
    (no_imports_go_in_a_circle, "throughline/models/b.py", "if TYPE_CHECKING:\n    import throughline.models.c"),
    (no_module_imports_a_test_module, "tests/unit/test_b.py", "from tests.unit.test_a import f"),
    (no_module_imports_a_test_module, "tests/unit/test_b.py", "from . import test_a"),
    (only_dialects_know_dialects, "services/ingest/http/x.py", "KEYS = {'ga4': ('api_secret',)}"),
    (only_dialects_know_dialects, "services/ingest/http/x.py", "from services.ingest.dialects import posthog_answers"),
    (only_dialects_know_dialects, "services/ingest/http/x.py", "def f(event): return event.snowplow_context"),
    (only_dialects_know_dialects, "proto/v1/x.proto", "string library = 3;  // the header posthog-sdk-info"),
    (literals_are_not_unpacked, "services/api/main.py", "x = f(*(1, 2), *y)"),
    (literals_are_not_unpacked, "tests/unit/test_b.py", "x = [*('a', 'b'), 'c']"),
    (names_say_what_they_hold, "services/api/main.py", "found = 1\nfor one in (1, 2): x = one"),
    (names_say_what_they_hold, "tests/unit/test_b.py", "def f(told): x = told"),
    (docstrings_end_sentences, "services/api/main.py", 'def f():\n    """Gives something"""'),
    (docstrings_end_sentences, "bench/load.py", '"""The load"""'),
    (packages_say_what_they_are, "services/api/__init__.py", ""),
    (packages_say_what_they_are, "services/api/__init__.py", '"""' + "line\n" * (MAX_DOCSTRING_LINES + 1) + '"""'),
    (decisions_are_in_their_index, "docs/decisions/0009-x.md", "# X"),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in BAD))
TREE = {
    "throughline/demo/a.py": "",
    "throughline/kit/clock.py": "",
    "throughline/models/a.py": "",
    "throughline/models/c.py": "from throughline.models import b",
    "throughline/wire/codec.py": "",
    "services/stager/stage/changes.py": "",
    "tests/unit/test_a.py": "",
}
"""Enough of a tree for `from a import b` to be read as the module a.b. No rule is broken in it."""


def plant(root: Path, files: dict[str, str]) -> None:
    """Write files (path -> source) and the `__init__.py` of every package they need."""
    for path, source in files.items():
        file = root / path
        for folder in file.relative_to(root).parents:
            (root / folder).mkdir(parents=True, exist_ok=True)
            if folder.name and folder.parts[0] != "docs":
                (root / folder / "__init__.py").write_text('"""A package."""')
        file.write_text(source)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_is_kept(rule: Rule) -> None:
    broken = list(rule(ROOT))
    assert not broken, "\n".join([rule.__name__.replace("_", " "), *broken])


@pytest.mark.parametrize(("rule", "path", "source"), BAD, ids=[f"{i}-{bad[0].__name__}" for i, bad in enumerate(BAD)])
def test_rule_can_fail(rule: Rule, path: str, source: str, tmp_path: Path) -> None:
    plant(tmp_path, TREE)
    before = list(rule(tmp_path))
    plant(tmp_path, {path: source})
    broken = [line for line in rule(tmp_path) if line not in before]
    assert any(path.split("/")[-2] in line for line in broken), f"{rule.__name__} lets {source!r} in {path} pass"


def test_every_rule_looks_at_the_real_tree() -> None:
    assert len(list(modules(ROOT))) > 20


@pytest.mark.parametrize(
    ("arrows", "groups"),
    [
        ({"a": {"b"}, "b": set()}, []),
        ({"a": {"a"}}, []),
        ({"a": {"b", "d"}, "b": {"c"}, "c": {"a"}, "d": {"c"}}, [["a", "b", "c", "d"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": {"d"}}, [["b", "c"], ["d", "e"]]),
    ],
)
def test_circles(arrows: dict[str, set[str]], groups: list[list[str]]) -> None:
    assert sorted(circles(arrows)) == groups
