"""What the documents name exists (files, links, settings, metrics), and none outgrows its bound."""

import re
from pathlib import Path
from typing import get_args

import pytest

from services.ingest.dialects.registry import ROUTES, SPECS
from services.ingest.event.event import CALLS
from tests.support.anchors import FENCE, anchors
from tests.support.metrics import declared_metrics
from throughline.kit import settings
from throughline.kit.errors import ProblemCode
from throughline.kit.kafka_servers import SaslMechanism, SecurityProtocol
from throughline.store.roles import Role
from throughline.store.schema import metadata

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAX_PARAGRAPH_WORDS = 90
MAX_README_LINES = 150
MAX_TERMS = 40
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)")
NAMED = re.compile(r"`((?:throughline|services|deploy|docs|tests|proto|requirements)/[\w./-]*)`")
VARIABLE = re.compile(r"`([A-Z][A-Z_]*[A-Z])(?:=[^`]*)?`")
EXAMPLE = "docs/decisions/0009-x.md"  # of test_house_rules.py
MENTIONED = re.compile(r"(?<![\w./-])docs/[\w./-]*\w")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in LINK.findall(FENCE.sub("", path.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        file = path.parent / target if target else path
        assert file.exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text()), f"{path.name} links to {target}#{anchor}"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_named_exist(path: Path) -> None:
    for name in NAMED.findall(path.read_text()):
        assert (ROOT / name).exists(), f"{path.name} names {name}"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_metrics_named_are_declared(path: Path) -> None:
    for name in set(re.findall(r"`(throughline_[a-z_]+)`", path.read_text())) - set(Role):
        assert {name, f"{name}_bucket"} & declared_metrics().keys(), f"{path.name} names the metric {name}"


def paragraphs(markdown: str) -> list[str]:
    """The paragraphs and list items of a document, without its code and tables."""
    lines = [line for line in FENCE.sub("\n", markdown).splitlines() if not line.startswith("|")]
    return re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", "\n".join(lines))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_paragraph_is_long(path: Path) -> None:
    for paragraph in paragraphs(path.read_text()):
        words = len(paragraph.split())
        assert words <= MAX_PARAGRAPH_WORDS, f"{path.name}: {words} words in the paragraph {paragraph.strip()[:60]!r}"


def test_a_long_paragraph_is_noticed() -> None:
    assert [len(paragraph.split()) for paragraph in paragraphs("word " * 91)] == [91]
    assert max(len(paragraph.split()) for paragraph in paragraphs("a b\n- c\n  d\n- e\n\n| t | t | t |\n")) == 3


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < MAX_README_LINES


def test_the_glossary_is_short() -> None:
    terms = re.findall(r"^\| \*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert len(set(terms)) == len(terms)
    assert 30 <= len(terms) <= MAX_TERMS


def test_every_document_is_in_the_index() -> None:
    folder = ROOT / "docs"
    index = {(folder / target).resolve() for target, _ in LINK.findall((folder / "README.md").read_text())}
    missing = {path for path in DOCS if path.parent != folder / "decisions"} - index - {folder / "README.md"}
    assert not missing, f"docs/README.md does not link {sorted(path.name for path in missing)}"
    assert folder / "decisions" / "README.md" in index


def test_every_path_of_ingest_is_documented() -> None:
    text = "".join(path.read_text() for path in DOCS if "reference" in path.parts)
    documented = {route.path for route in ROUTES if route.documented}
    documented |= {route.path for spec in SPECS for route in spec.settings if route.documented}
    assert len(documented) > 20
    call = re.compile(rf"/({'|'.join(CALLS)})$")
    missing = {path for path in documented if path not in text and call.sub("/{call}", path) not in text}
    assert not missing, f"docs/reference does not have {sorted(missing)}"


def test_settings_named_in_operations_exist() -> None:
    kinds = (settings.IngestSettings, settings.StagerSettings, settings.ApiSettings)
    names = {field.upper() for kind in kinds for field in kind.model_fields}
    names |= set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    for name in VARIABLE.findall((ROOT / "docs" / "operations.md").read_text()):
        assert name in names | {"SIGTERM", *get_args(SecurityProtocol), *get_args(SaslMechanism)}, (
            f"docs/operations.md names {name}"
        )


def test_every_error_code_is_documented() -> None:
    text = "".join(file.read_text() for file in (ROOT / "docs").rglob("*.md"))
    missing = [code for code in get_args(ProblemCode) if f"`{code}`" not in text]
    assert not missing, f"no document mentions the codes {', '.join(missing)}"


def test_every_table_is_in_the_list_of_the_store() -> None:
    _, _, text = (ROOT / "docs" / "reference" / "store.md").read_text().partition("\n## The tables\n")
    listed = re.findall(r"`(\w+)`", text.partition("\n- ")[0])
    assert set(listed) == metadata.tables.keys()
    assert len(set(listed)) == len(listed)


def test_documents_named_in_the_code_exist() -> None:
    missing = [
        f"{file.relative_to(ROOT)} points to {name}"
        for folder in ("throughline", "services", "deploy", "tests")
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in (".py", ".yml", ".yaml", ".toml") and "node_modules" not in file.parts
        for name in MENTIONED.findall(file.read_text())
        if name != EXAMPLE and not list(ROOT.glob(f"{name}*"))
    ]
    assert not missing, "\n".join(missing)


def test_the_architecture_mentions_every_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    starts = [*ROOT.glob("throughline/*/__init__.py"), *ROOT.glob("services/*/__init__.py")]
    for package in sorted(start.parent.relative_to(ROOT).as_posix() for start in starts):
        assert f"`{package}`" in text, f"docs/architecture.md does not mention {package}"
