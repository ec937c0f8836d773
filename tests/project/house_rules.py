"""The rules that hold for the whole tree: each is a function from its root to the places that break it.

`test_house_rules.py` runs every rule, and shows for each of them that it can fail.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path
from typing import NamedTuple

CODE = ("throughline", "services")
EVERYTHING = (*CODE, "tests", "bench", "tools")
MAX_DOCSTRING_LINES = 6
NO_NAMES = {
    "found", "said", "one", "own", "told", "kept", "known", "made", "asked", "wanted", "here", "there", "met", "gone",
    "given",
}  # fmt: skip
"""Words that do not say what a variable, a loop's target or a parameter holds."""
MAX_NO_NAMES_PER_1000 = 2
GENERATED = "throughline/wire/v1"
SERVICES = ("services.ingest", "services.stager", "services.api")

SHARED_BY_SERVICES = ("throughline.journey", "throughline.models", "throughline.store", "throughline.kit")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "throughline.journey": (),
    "throughline.analytics": ("throughline.journey",),
    "throughline.kit": (),
    "throughline.wire": ("throughline.journey.touchpoint", "throughline.kit.clock", "throughline.kit.compiled"),
    "throughline.models": ("throughline.journey",),
    "throughline.store": ("throughline.journey", "throughline.models", "throughline.kit"),
    "throughline.local": ("throughline.store", "throughline.kit"),
    "throughline.demo": ("throughline.kit",),
    "throughline.cli": ("throughline",),
    # ingest reads keys and their settings: engine is how any reader connects; the touchpoint is the value that wire
    # encodes; hints say what a misspelt name was meant to be.
    "services.ingest": (
        "throughline.wire",
        "throughline.kit",
        "throughline.journey.touchpoint",
        "throughline.models.hints",
        "throughline.store.access.keys",
        "throughline.store.access.modes",
        "throughline.store.access.suppressions",
        "throughline.store.digest",
        "throughline.store.engine",
    ),
    "services.stager": ("throughline.wire", *SHARED_BY_SERVICES),
    "services.api": ("throughline.analytics", "throughline.wire", *SHARED_BY_SERVICES),
}
"""Layer -> the packages and modules of ours that it may import, beside itself."""

SQL_HOMES = re.compile(
    r"throughline/store/.*"
    r"|services/api/\w+/queries\.py"
    r"|throughline/local/postgres\.py"  # makes the database itself, before there is a store
)
HANDLES = {"AsyncEngine", "AsyncConnection"}
"""Types that any module may name, to pass them on; SQLAlchemy's errors may be named, too."""
SQL_TEXT = re.compile(
    r"^\s*(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|WITH\s+(RECURSIVE\s+)?\w+\s.*AS\s*\(|"
    r"(CREATE|ALTER|DROP|TRUNCATE)\s+(TABLE|INDEX|UNIQUE|SCHEMA|SEQUENCE|VIEW))\b",
    re.IGNORECASE | re.DOTALL,
)
DIALECT = re.compile(
    "|".join(
        package.parent.name.removesuffix("stack").removesuffix("s")
        for package in sorted((Path(__file__).parents[2] / "services/ingest/dialects").glob("*/__init__.py"))
        if package.parent.name != "pos"
    ),
    re.IGNORECASE,
)
"""Names of dialects; `pos` is left out, as other words contain it."""
EVENT_FIELDS = {"rudderId"}
"""Fields of the common event that contain the name of a dialect."""
METRIC_CLASSES = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
WALL_CLOCK = {
    "time": {"time", "time_ns"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}


class Module(NamedTuple):
    """One parsed file. `imports` are (line, dotted name of the module)."""

    path: str
    name: str
    tree: ast.Module
    imports: tuple[tuple[int, str], ...]

    def at(self, line: int, fault: str) -> str:
        """A place and what is wrong with it, for the message of a failure."""
        return f"{self.path}:{line} {fault}"


def modules(root: Path, *folders: str) -> Iterator[Module]:
    """Every module in the folders (`throughline` and `services` unless others are named), generated ones left out."""
    for folder in folders or CODE:
        for file in sorted((root / folder).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            if path.startswith(GENERATED) or "node_modules" in path:
                continue
            tree = _parse(file.read_text(), path)
            name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            yield Module(path, name, tree, tuple(_imports(tree, package, root)))


@cache
def _parse(source: str, path: str) -> ast.Module:
    return ast.parse(source, path)


def _imports(tree: ast.Module, package: str, root: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                inner = root.joinpath(*base.split("."), alias.name)
                yield (
                    node.lineno,
                    f"{base}.{alias.name}" if inner.with_suffix(".py").exists() or inner.is_dir() else base,
                )


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def ours(name: str) -> bool:
    return within(name, "throughline") or within(name, "services")


# --- imports ----------------------------------------------------------------------------------------------------------


def journey_imports_only_the_standard_library(root: Path) -> Iterator[str]:
    for module in modules(root, "throughline/journey"):
        for line, name in module.imports:
            if name.split(".")[0] not in sys.stdlib_module_names and not within(name, "throughline.journey"):
                yield module.at(line, f"imports {name}: the journey rules stay pure, hand it the value instead")


def services_never_import_each_other(root: Path) -> Iterator[str]:
    for module in modules(root, "services"):
        for line, name in module.imports:
            for service in SERVICES:
                if within(name, service) and not within(module.name, service):
                    yield module.at(line, f"imports {name}: services meet in Kafka and in throughline.store only")


def layers_import_only_what_lies_below(root: Path) -> Iterator[str]:
    for module in modules(root):
        layer = next((layer for layer in MAY_IMPORT if within(module.name, layer)), None)
        if layer is None:
            continue
        for line, name in module.imports:
            if ours(name) and not any(within(name, allowed) for allowed in (layer, *MAY_IMPORT[layer])):
                allowed = ", ".join(MAY_IMPORT[layer]) or "nothing of ours"
                yield module.at(line, f"imports {name}: {layer} may import {allowed}")


def every_package_is_a_layer(root: Path) -> Iterator[str]:
    for folder in CODE:
        for package in sorted(p.parent for p in (root / folder).glob("*/*.py")):
            name = f"{folder}.{package.name}"
            if name not in MAY_IMPORT:
                yield f"{folder}/{package.name} is no layer: say in MAY_IMPORT what it may import"


def local_and_demo_are_imported_by_the_cli_only(root: Path) -> Iterator[str]:
    for module in modules(root):
        for line, name in module.imports:
            for package in ("throughline.local", "throughline.demo"):
                if within(name, package) and not any(within(module.name, p) for p in (package, "throughline.cli")):
                    yield module.at(line, f"imports {name}: only the command line starts a local stack or a demo")


def no_imports_go_in_a_circle(root: Path) -> Iterator[str]:
    """Imports inside functions and for types only count like any other."""
    tree = {module.name: module for module in modules(root)}
    imports = {name: {target for _, target in module.imports if target in tree} for name, module in tree.items()}
    for circle in circles(imports):
        yield f"{tree[circle[0]].path} imports itself by way of {', '.join(circle[1:])}"


def circles(arrows: Mapping[str, Set[str]]) -> Iterator[list[str]]:
    """The groups of two or more names that reach each other by the arrows, each group sorted.

    Tarjan's strongly connected components.
    """
    order: dict[str, int] = {}
    earliest: dict[str, int] = {}
    path: list[str] = []

    def visit(name: str) -> Iterator[list[str]]:
        order[name] = earliest[name] = len(order)
        path.append(name)
        for target in arrows[name]:
            if target not in order:
                yield from visit(target)
                earliest[name] = min(earliest[name], earliest[target])
            elif target in path:
                earliest[name] = min(earliest[name], order[target])
        if earliest[name] == order[name]:
            start = path.index(name)
            group = sorted(path[start:])
            del path[start:]
            if len(group) > 1:
                yield group

    for name in sorted(arrows):
        if name not in order:
            yield from visit(name)


def no_module_imports_a_test_module(root: Path) -> Iterator[str]:
    for module in modules(root, "tests", "bench", "tools"):
        for line, name in module.imports:
            if any(part.startswith("test_") for part in name.split(".")):
                yield module.at(line, f"imports {name}: what tests share is in tests/support or tests/strategies")


def only_dialects_know_dialects(root: Path) -> Iterator[str]:
    """Names and keys: sentences may name a dialect, the contract in `proto/` may not even in its comments."""
    for module in modules(root, "services/ingest"):
        if within(module.name, "services.ingest.dialects"):
            continue
        for node in ast.walk(module.tree):
            for text in _texts(node):
                if (name := DIALECT.search(text)) and " " not in text and text not in EVENT_FIELDS:
                    line = getattr(node, "lineno", 0)
                    yield module.at(line, f"knows {name[0]}: what is a dialect's own is in services/ingest/dialects")
    for file in sorted((root / "proto").rglob("*.proto")):
        for number, text in enumerate(file.read_text().splitlines(), start=1):
            if name := DIALECT.search(text):
                yield f"{file.relative_to(root)}:{number} knows {name[0]}: the contract is every dialect's"


def _texts(node: ast.AST) -> Iterator[str]:
    """The identifiers and texts of one node, without those of its parts."""
    for field in ("id", "attr", "arg", "name", "asname", "module", "value"):
        value = getattr(node, field, None)
        if isinstance(value, str | bytes):
            yield value if isinstance(value, str) else value.decode("latin-1")


# --- what is done in one place only -----------------------------------------------------------------------------------


def sql_lives_in_the_store_and_the_apis_queries(root: Path) -> Iterator[str]:
    for module in modules(root):
        if SQL_HOMES.fullmatch(module.path):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL_TEXT.search(node.value):
                yield module.at(node.lineno, "holds SQL: statements live in throughline/store and the api's queries.py")
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name in _database_names(node):
                    yield module.at(node.lineno, f"imports {name}: the database is reached through throughline.store")


def _database_names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        name = alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"
        harmless = alias.name in HANDLES or name.startswith("sqlalchemy.exc.")
        if name.split(".")[0] in ("sqlalchemy", "asyncpg", "alembic") and not harmless:
            yield name


def the_environment_is_read_in_settings_only(root: Path) -> Iterator[str]:
    for module in modules(root):
        if module.path == "throughline/kit/settings.py":
            continue
        for node in ast.walk(module.tree):
            if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv")) or (
                isinstance(node, ast.ImportFrom) and node.module == "os" and any("env" in a.name for a in node.names)
            ):
                yield module.at(node.lineno, "touches the environment: that is throughline/kit/settings.py")


def generated_messages_are_touched_by_the_codec_only(root: Path) -> Iterator[str]:
    for module in modules(root):
        if module.path not in ("throughline/wire/codec.py", "throughline/wire/fast.py"):
            for line, name in module.imports:
                if within(name, "throughline.wire.v1") or name.startswith("google.protobuf"):
                    yield module.at(line, f"imports {name}: messages are made and read in throughline/wire/codec.py")


def a_transaction_begins_in_the_unit_of_work_only(root: Path) -> Iterator[str]:
    for module in modules(root):
        if module.path == "throughline/store/engine/unit_of_work.py":
            continue
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("begin", "begin_nested", "commit")
                and not _is_consumer_commit(node)
            ):
                yield module.at(
                    node.lineno, f".{node.func.attr}( : transactions begin in throughline/store/engine/unit_of_work.py"
                )


def _is_consumer_commit(node: ast.Call) -> bool:
    """Kafka's `consumer.commit(offsets)` takes what it commits, a database's `commit()` nothing."""
    return isinstance(node.func, ast.Attribute) and node.func.attr == "commit" and bool(node.args or node.keywords)


def the_wall_clock_is_read_in_one_place(root: Path) -> Iterator[str]:
    for module in modules(root):
        if module.path == "throughline/kit/clock.py":
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                for alias in node.names:
                    if alias.name in WALL_CLOCK["time"]:
                        yield module.at(node.lineno, f"time.{alias.name}: use throughline.kit.clock")
            if isinstance(node, ast.Attribute):
                holder = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
                if node.attr in WALL_CLOCK.get(holder, ()):
                    yield module.at(node.lineno, f"{holder}.{node.attr}: use throughline.kit.clock")


def kafka_is_reached_as_its_settings_say(root: Path) -> Iterator[str]:
    """A bare address would reach Kafka without TLS and password, whatever the settings ask for."""
    for module in modules(root, "services"):
        passed_on = {
            id(argument)
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "kafka_servers"
            for argument in node.args
        }
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "settings.kafka" and id(node) not in passed_on:
                yield module.at(node.lineno, "settings.kafka: use settings.kafka_servers(settings.kafka)")


def metrics_are_declared_in_one_registry(root: Path) -> Iterator[str]:
    for module in modules(root):
        if module.path == "throughline/kit/metrics.py":
            continue
        for node in ast.walk(module.tree):
            used: list[tuple[int, str]] = []
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client"):
                used = [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "prometheus_client":
                used = [(node.lineno, node.attr)]
            for line, name in used:
                if name in METRIC_CLASSES:
                    yield module.at(line, f"makes a {name}: declare it in throughline/kit/metrics.py")


# --- words ------------------------------------------------------------------------------------------------------------


def names_say_what_they_hold(root: Path) -> Iterator[str]:
    """Nothing as long as such names are few: on a short walk `found` is as good as any."""
    assignments, places = 0, list[str]()
    for module in modules(root, *EVERYTHING):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                assignments += 1
                name = node.id
            elif isinstance(node, ast.arg):
                name = node.arg
            else:
                continue
            if name in NO_NAMES:
                places.append(module.at(node.lineno, f"names something {name!r}, which does not say what it holds"))
    if len(places) * 1000 > MAX_NO_NAMES_PER_1000 * assignments:
        yield from places
        yield f"{len(places)} such names in {assignments} assignments, at most {MAX_NO_NAMES_PER_1000} in 1,000"


def docstrings_end_sentences(root: Path) -> Iterator[str]:
    for module in modules(root, *EVERYTHING):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                summary = (ast.get_docstring(node) or "A.").split("\n\n")[0]
                if not summary.endswith((".", ":")):
                    line = 1 if isinstance(node, ast.Module) else node.lineno
                    yield module.at(line, "has a docstring that does not end a sentence")


def literals_are_not_unpacked(root: Path) -> Iterator[str]:
    for module in modules(root, *EVERYTHING):
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Starred) or not isinstance(node.value, ast.Tuple | ast.List):
                continue
            if len(node.value.elts) > 1 and isinstance(node.ctx, ast.Load):
                yield module.at(node.lineno, "unpacks a literal in place: write its elements without `*(...)`")


def packages_say_what_they_are(root: Path) -> Iterator[str]:
    for folder in CODE:
        for package in sorted({file.parent for file in (root / folder).rglob("*.py")}):
            path = package.relative_to(root).as_posix()
            if path.startswith((GENERATED, "throughline/store/migrations")):
                continue
            start = package / "__init__.py"
            doc = ast.get_docstring(ast.parse(start.read_text())) if start.exists() else None
            if not doc:
                yield f"{path}/__init__.py has no docstring: what it receives, guarantees, gives; what to read next"
            elif len(doc.splitlines()) > MAX_DOCSTRING_LINES:
                yield f"{path}/__init__.py: a docstring of {len(doc.splitlines())} lines, at most {MAX_DOCSTRING_LINES}"


def decisions_are_in_their_index(root: Path) -> Iterator[str]:
    folder = root / "docs" / "decisions"
    index = (folder / "README.md").read_text() if (folder / "README.md").exists() else ""
    for file in sorted(folder.glob("*.md")):
        if file.name != "README.md" and f"({file.name})" not in index:
            yield f"docs/decisions/{file.name} is not linked from docs/decisions/README.md"
