"""The house rules hold for the tree, and each of them can fail."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.project.house_rules import (
    MAX_DOCSTRING_LINES,
    MAX_LINES,
    a_transaction_begins_in_the_unit_of_work_only,
    decisions_are_in_their_index,
    every_package_is_a_layer,
    generated_messages_are_touched_by_the_codec_only,
    journey_imports_only_the_standard_library,
    layers_import_only_what_lies_below,
    local_and_demo_are_imported_by_the_cli_only,
    metrics_are_declared_in_one_registry,
    modules,
    modules_stay_short,
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
    (layers_import_only_what_lies_below, "services/ingest/main.py", "from throughline.store.tables import journeys"),
    (layers_import_only_what_lies_below, "services/ingest/main.py", "from throughline import models"),
    (layers_import_only_what_lies_below, "services/api/main.py", "import throughline.wire.codec"),
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
    (a_transaction_begins_in_the_unit_of_work_only, "throughline/store/admin.py", "def f(e):\n    e.begin()"),
    (a_transaction_begins_in_the_unit_of_work_only, "throughline/store/admin.py", "def f(c):\n    c.commit()"),
    (the_wall_clock_is_read_in_one_place, "services/api/main.py", "import time\ntime.time()"),
    (the_wall_clock_is_read_in_one_place, "services/api/main.py", "import datetime\ndatetime.datetime.now()"),
    (the_wall_clock_is_read_in_one_place, "services/api/main.py", "from time import time_ns"),
    (metrics_are_declared_in_one_registry, "services/api/main.py", "from prometheus_client import Counter"),
    (
        metrics_are_declared_in_one_registry,
        "services/api/main.py",
        "import prometheus_client\nprometheus_client.Gauge('x', 'x')",
    ),
    (modules_stay_short, "tests/unit/test_x.py", "x = 1\n" * (MAX_LINES + 1)),
    (packages_say_what_they_are, "services/api/main.py", ""),
    (packages_say_what_they_are, "services/api/__init__.py", '"""' + "line\n" * (MAX_DOCSTRING_LINES + 1) + '"""'),
    (decisions_are_in_their_index, "docs/decisions/0009-x.md", "# X"),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in BAD))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_is_kept(rule: Rule) -> None:
    broken = list(rule(ROOT))
    assert not broken, "\n".join([rule.__name__.replace("_", " "), *broken])


@pytest.mark.parametrize(("rule", "path", "source"), BAD, ids=[f"{i}-{bad[0].__name__}" for i, bad in enumerate(BAD)])
def test_rule_can_fail(rule: Rule, path: str, source: str, tmp_path: Path) -> None:
    # Enough of the tree for `from a import b` to be read as the module a.b.
    for name in (
        "throughline/models/a.py",
        "throughline/demo/a.py",
        "services/stager/stage/changes.py",
        "throughline/kit/clock.py",
    ):
        for folder in ((tmp_path / name).parent, (tmp_path / path).parent):
            folder.mkdir(parents=True, exist_ok=True)
            if "docs" not in folder.parts and rule is not packages_say_what_they_are:
                (folder / "__init__.py").touch()
        (tmp_path / name).touch()
    (tmp_path / "throughline/wire/codec.py").parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(source)
    broken = list(rule(tmp_path))
    assert any(path.split("/")[-2] in line for line in broken), f"{rule.__name__} lets {source!r} in {path} pass"


def test_every_rule_looks_at_the_real_tree() -> None:
    assert len(list(modules(ROOT))) > 20
