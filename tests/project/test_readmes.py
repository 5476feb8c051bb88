"""The texts that there are in English and in Chinese say the same; the READMEs are short."""

from __future__ import annotations

import re
import unicodedata

import pytest

from tests.support.texts import CHINESE, TEXTS, Text, code_of

README = Text("README.md")
TWINS = pytest.mark.parametrize("chinese", CHINESE, ids=str)
# What is as a table of the code's is, in one language.
ENGLISH_ONLY = {"adding-things.md", "clients.md", "errors.md", "metrics.md", "settings.md"}
# Pages that an alert names by its own name.
RUNBOOKS = "docs/runbooks/"
# Columns of a terminal; a Chinese character takes two.
_MOST_COLUMNS = {False: 108, True: 128}
_MOST_LINES = 200
# The order that a newcomer asks in.
_SECTIONS = [
    "Two commands",
    "What you see",
    "From your code",
    "How fast",
    "How accurate",
    "Operating it",
    "Limits",
    "Working on it",
]


@TWINS
def test_the_readmes_have_the_same_code(chinese):
    english = [code_of(*block) for block in chinese.twin.blocks]
    assert english == [code_of(*block) for block in chinese.blocks]


@TWINS
def test_the_readmes_have_the_same_sections_and_rows(chinese):
    for pattern in (r"^#+(?= )", r"^\|(?=[^\n]*\|$)", r"^- |^$(?=\n- )"):
        english, other = (
            re.findall(pattern, text.content, re.MULTILINE) for text in (chinese.twin, chinese)
        )
        assert english == other, pattern


@TWINS
def test_the_readmes_name_the_same_settings_and_commands(chinese):
    def named(text: Text) -> set[str]:
        start = re.compile(r"(\.venv|make|gateway\.|library\.|op\.|limits\.|--)")
        return {span for span in text.spans if start.match(span)}

    assert named(chinese.twin) == named(chinese)


@TWINS
def test_the_readmes_have_the_same_links(chinese):
    """To the Chinese text where there is one."""

    def targets(text: Text) -> list[str]:
        found = [(text.path.parent / address).resolve() for address, _ in text.links if address]
        others = {path.name.replace("_CN", "") for path in found}
        return sorted(others)

    assert targets(chinese.twin) == targets(chinese)


def test_every_text_has_a_twin_or_is_named_here():
    english = {
        text.path.name for text in TEXTS
        if text.name.startswith("docs/") and not text.name.startswith(RUNBOOKS)
    }  # fmt: skip
    twins = {text.path.name for text in CHINESE if text.name.startswith("docs/")}
    assert english - twins <= ENGLISH_ONLY
    assert all(text.twin.path.is_file() for text in CHINESE)


@pytest.mark.parametrize("text", TEXTS, ids=str)
def test_lines_are_as_long_as_the_others(text):
    def columns(line: str) -> int:
        return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in line)

    prose = [one for one in text.prose.splitlines() if not one.startswith("|")]
    most = _MOST_COLUMNS[text.is_chinese]
    assert [line for line in prose if columns(line) > most] == []


@pytest.mark.parametrize("name", ["README.md", "README_CN.md"])
def test_a_readme_is_read_in_a_few_minutes_and_has_the_picture(name):
    text = Text(name)
    assert len(text.content.splitlines()) <= _MOST_LINES
    assert "](docs/sample.jpg)" in text.content


def test_the_readme_answers_in_the_order_that_a_newcomer_asks():
    assert re.findall(r"^## (.+)$", README.prose, re.MULTILINE) == _SECTIONS


@pytest.mark.parametrize("name", ["README.md", "README_CN.md"])
def test_the_figures_of_a_readme_are_those_of_the_document_that_it_names(name):
    text = Text(name)
    folder = "docs/zh" if text.is_chinese else "docs"
    rows = [line for line in text.content.splitlines() if re.match(r"\|.*\d\.\d", line)]
    there: list[str] = []
    for where in ("benchmarks.md", "accuracy.md"):
        lines = Text(f"{folder}/{where}").content.splitlines()
        assert any(row in lines for row in rows), where
        there += lines
    assert [row for row in rows if row not in there] == []
