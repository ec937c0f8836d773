"""Every statement of the store keeps the rules of `docs/reference/store.md`, and each rule can fail."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import Select

import throughline.store
from tests.support.statement_rules import broken_rules
from throughline.store.engine.driver import DriverStatement
from throughline.store.engine.pool import create_engine
from throughline.store.id_walk import IdWalk

STORE = Path(throughline.store.__file__).parent
CALLS_NEVER_MADE = {"with_for_update": "FOR UPDATE", "merge": "MERGE", "using": "DELETE ... USING"}
VOLATILE_FUNCTIONS = {"now", "current_timestamp", "clock_timestamp", "random", "gen_random_uuid", "localtimestamp"}


def statements() -> Iterator[tuple[str, str]]:
    """Every statement that is built when its module is imported and run later: all those of the staging path."""
    dialect = create_engine("postgresql://").dialect
    for module_name in module_names():
        module = importlib.import_module(module_name)
        values = dict(vars(module))
        for walk_name, walk in vars(module).items():
            if isinstance(walk, IdWalk):
                values |= {f"{walk_name}{name}": value for name, value in vars(walk).items()}
        short_name = module_name.removeprefix("throughline.store.")
        for name, value in values.items():
            if isinstance(value, DriverStatement):
                yield f"{short_name}.{name}", value.sql
            elif isinstance(value, UpdateBase | Select) and not name.endswith("_insert"):  # those are parts of others
                yield f"{short_name}.{name}", str(value.compile(dialect=dialect))


def module_names() -> Iterator[str]:
    for file in sorted(STORE.rglob("*.py")):
        parts = file.relative_to(STORE).with_suffix("").parts
        if "migrations" not in parts:
            yield ".".join(("throughline.store", *parts))


STATEMENTS = dict(statements())


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_keeps_the_rules(name: str) -> None:
    assert not broken_rules(STATEMENTS[name]), STATEMENTS[name]


def test_the_staging_statements_are_seen() -> None:
    seen = {name.partition(".")[0] for name in STATEMENTS}
    assert {
        "offsets",
        "facts",
        "identity",
        "journeys",
        "counts",
        "generations",
        "id_walk",
        "retention",
        "snapshots",
    } <= seen
    assert len(STATEMENTS) > 30


def faults(source: str) -> Iterator[str]:
    """What a module's source says that no statement of the store may."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            if not node.value.strip().count(" "):
                continue  # the name of a privilege
            yield from (f"line {node.lineno}: {fault}" for fault in broken_rules(node.value))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            holder = getattr(node.func.value, "id", "")
            if node.func.attr in CALLS_NEVER_MADE and not _takes_a_share(node):
                yield f"line {node.lineno}: {CALLS_NEVER_MADE[node.func.attr]}"
            if holder in ("func", "sa") and node.func.attr in VOLATILE_FUNCTIONS:
                yield f"line {node.lineno}: {node.func.attr}(): pass the time in"


def _takes_a_share(call: ast.Call) -> bool:
    """Whether it is `with_for_update(read=True)`; of which table, the statement's text tells."""
    return any(keyword.arg == "read" for keyword in call.keywords)


@pytest.mark.parametrize("file", sorted(STORE.rglob("*.py")), ids=lambda file: str(file.relative_to(STORE)))
def test_source_keeps_the_rules(file: Path) -> None:
    assert not list(faults(file.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "select(t).with_for_update()",
        "insert(t).values(at=func.now())",
        "text('SELECT 1 FROM t FOR NO KEY UPDATE')",
        "text('SELECT id FROM journeys WHERE model = 1 FOR SHARE')",
        "text('SELECT id FROM workspaces WHERE id = 1 FOR UPDATE')",
        "text('''UPDATE journeys SET phase = u.phase\nFROM unnest($1) AS u''')",
        "text('MERGE INTO journeys USING x ON true WHEN MATCHED THEN DELETE')",
        "text('INSERT INTO t SELECT * FROM unnest($1) ORDER BY 1')",
        "text('INSERT INTO t SELECT * FROM unnest($1) ON CONFLICT DO NOTHING')",
        "text('INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET at = now()')",
        "text('INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET at = CURRENT_TIMESTAMP')",
        "text('DELETE FROM t USING u WHERE t.a = u.a')",
        "text('TRUNCATE t')",
        "text('LOCK TABLE t')",
        "text('INSERT INTO journeys VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = CASE WHEN true THEN $2 END')",
        "text('INSERT INTO ids VALUES (:a) ON CONFLICT (id) DO UPDATE SET name = :name RETURNING id')",
        "text('SELECT t.a FROM touchpoints t JOIN unnest($1::bytea[], $2::int[]) AS x(a, b) ON x.a = t.actor')",
    ],
)
def test_rules_can_fail(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT * FROM unnest($1) ORDER BY 1 ON CONFLICT (a) DO UPDATE SET n = t.n + excluded.n",
        "INSERT INTO t VALUES (1) RETURNING id",
        "UPDATE sources SET enabled = true WHERE id = 1",
        "SELECT now()",
        "INSERT INTO journeys VALUES ($1) ON CONFLICT (id) DO UPDATE SET n = excluded.n::int RETURNING id",
        "INSERT INTO offsets VALUES ($1) ON CONFLICT (topic) DO UPDATE SET digest = $1",
        "SELECT a FROM touchpoints t JOIN (SELECT unnest($1::int[]) AS a, unnest($2::int[]) AS b) AS x ON a = actor",
        "SELECT a FROM touchpoints JOIN unnest($1::bytea[]) AS x(a) ON a = actor",
        "WITH k AS MATERIALIZED (SELECT * FROM unnest($1, $2) AS k (a, b)) SELECT a FROM ids JOIN k ON a = id",
        "SELECT id, version FROM workspaces WHERE id = ANY ($1) ORDER BY id FOR SHARE",
    ],
)
def test_rules_let_good_statements_pass(sql: str) -> None:
    assert not broken_rules(sql)
