"""The code blocks of docs/sdks.md."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "sdks.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

SECTIONS = dict(section.split("\n", 1) for section in re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE))


def blocks(section: str, language: str) -> list[str]:
    """The code blocks of one language in one section; there is at least one."""
    texts = [text for name, text in BLOCK.findall(SECTIONS[section]) if name == language]
    assert texts, f"docs/sdks.md has no {language} block in {section}"
    return texts
