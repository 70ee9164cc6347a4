"""Links in the README and in docs/ lead to pages and headings that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)]
LINK = re.compile(r"\]\((?P<file>[^)#\s:]*)(?:#(?P<anchor>[^)\s]+))?\)")


def anchors_of(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = re.findall(r"^\((\S+)\)=$|\{#(\S+)\}", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | {name for pair in named for name in pair if name}


def is_dead(page: Path, file: str, anchor: str | None) -> bool:
    """Return whether a link is broken. Only ``make docs`` knows generated headings."""
    target = (page.parent / file) if file else page
    if not target.exists() or not anchor:
        return not target.exists()
    text = target.read_text(encoding="utf-8")
    return "{generated}" not in text and anchor not in anchors_of(text)


def test_every_link_leads_to_a_file_and_heading_that_exist() -> None:
    dead = [
        f"{page.relative_to(ROOT)}: {link[0]}"
        for page in PAGES
        for link in LINK.finditer(page.read_text(encoding="utf-8"))
        if is_dead(page, link["file"], link["anchor"])
    ]
    assert dead == [], "\n".join(dead)
