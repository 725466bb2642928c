"""The parts of a Markdown page that can be wrong: code blocks, links, headings."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`]*)$")
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (?P<title>.+?)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line's number, its language, the rest of the info string, its text."""

    line: int
    language: str
    note: str
    text: str

    @property
    def reason_not_to_run(self) -> str | None:
        """Why it cannot run in a test (``bash no-run: reason``); None when it does run."""
        mark, _, reason = self.note.partition(":")
        return reason.strip() if mark == "no-run" else None

    def commands(self) -> list[tuple[list[str], str]]:
        """List the commands of a shell block, as words, each with the output written below it."""
        joined = self.text.replace("\\\n", " ")
        if self.language == "bash":
            lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
            return [(shlex.split(line, comments=True), "") for line in lines]
        parts = re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]
        pairs = [part.partition("\n") for part in parts]
        return [(shlex.split(command, comments=True), output) for command, _, output in pairs]


def blocks(text: str) -> list[Block]:
    """List the fenced blocks of a page."""
    found: list[Block] = []
    start, fence, inside = 0, None, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        match = FENCE.match(line)
        if fence is None and match:
            start, fence, inside = number, match, []
        elif fence is not None and match and match["ticks"] == fence["ticks"] and not match["info"].strip():
            language, _, note = fence["info"].strip().partition(" ")
            found.append(Block(start, language, note.strip(), "\n".join(inside) + "\n"))
            fence = None
        elif fence is not None:
            inside.append(line.removeprefix(fence["indent"]))
    if fence is not None:
        raise ValueError(f"line {start}: a block is never closed")
    return found


def prose(text: str) -> str:
    """Give the page without its fenced blocks and without code in the line."""
    kept, fence = [], None
    for line in text.splitlines():
        match = FENCE.match(line)
        if match and fence is None:
            fence = match["ticks"]
        elif match and match["ticks"] == fence:
            fence = None
        elif fence is None:
            kept.append(re.sub(r"`[^`]*`", "", line))
    return "\n".join(kept)


def anchors(text: str) -> set[str]:
    """List the anchors GitHub makes of a page's headings."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = [match["title"] for line in outside.splitlines() if (match := HEADING.match(line))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> list[str]:
    """Find links of a page to files or headings that are not there; addresses on the web are not asked."""
    found = []
    for match in LINK.finditer(prose(page.read_text(encoding="utf-8"))):
        name, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", name):
            continue
        target = page.parent / name if name else page
        if not target.exists():
            found.append(f"{page.name}: no file {name}")
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            found.append(f"{page.name}: no heading {match['target']}")
    return found
