"""The project's texts, and what they name: code, commands, paths, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = ("sh", "bash")

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"((\S*python[\d.]*|make) |scripts/|\.ci/|\.venv/)")


@dataclass(frozen=True)
class Text:
    """A file of Markdown. name: from the repository's root."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """The file."""
        return ROOT / self.name

    @property
    def is_chinese(self) -> bool:
        """Whether it is a twin of an English one."""
        return self.name == "README_CN.md" or self.name.startswith("docs/zh/")

    @property
    def twin(self) -> Text:
        """The English one of a Chinese text."""
        return Text(self.name.replace("_CN", "").replace("/zh/", "/"))

    @cached_property
    def content(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[tuple[str, str]]:
        """Language and content of each block of code."""
        return _BLOCK.findall(self.content)

    @cached_property
    def prose(self) -> str:
        """What stands outside of the blocks."""
        return _BLOCK.sub("", self.content)

    @cached_property
    def spans(self) -> list[str]:
        """What stands in backticks, outside of the blocks."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    @cached_property
    def commands(self) -> list[str]:
        """Each line of the shell's blocks, and what stands in backticks and is a command."""
        lines = [
            line for language, content in self.blocks if language in SHELL
            for line in code_of(language, content)
        ]  # fmt: skip
        return [*lines, *(span for span in self.spans if _COMMAND.match(span))]

    @cached_property
    def links(self) -> list[tuple[str, str]]:
        """Address and anchor of each link within the repository."""
        found = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", self.prose)
        return [(address, anchor) for address, anchor in found if "://" not in address]

    @cached_property
    def anchors(self) -> set[str]:
        """What a link may name behind `#`: the headings, as they are shown on the web."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}

    def table(self, heading: str) -> list[list[str]]:
        """The cells of a table's rows, below its row of names, which begins with `heading`."""
        below = self.content[self.content.index(f"| {heading} |") :].split("\n\n")[0]
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in below.splitlines()[2:]]
        return [[cell.strip() for cell in row] for row in rows]


def code_of(language: str, content: str) -> list[str]:
    """A block's lines without what differs from language to language: comments, and texts."""
    if language not in (*SHELL, "python", "yaml"):
        return [language] * content.count("\n")
    lines = [re.sub(r"\s*(?<!\S)#.*", "", line) for line in content.splitlines()]
    return [re.sub(r'(--comment) "[^"]*"', r"\1", line) for line in lines]


def _texts() -> list[Text]:
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    return [Text(str(path.relative_to(ROOT))) for path in sorted(found)]


TEXTS = _texts()
CHINESE = [text for text in TEXTS if text.is_chinese]
