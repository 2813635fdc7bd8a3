"""The page of results: every script's tables have their place in README.md."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).with_name("README.md")


def put(name: str, text: str) -> None:
    """Put a script's tables between `<!-- name -->` and `<!-- /name -->`, in the place of earlier ones."""
    page = PAGE.read_text()
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, after = page[: page.index(start) + len(start)], page[page.index(end) :]
    PAGE.write_text(f"{before}\n{text}\n{after}")
