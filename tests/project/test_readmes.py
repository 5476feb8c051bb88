"""The two READMEs say the same, and what they name is there."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from gateway.__main__ import program as gateway_program
from library.__main__ import program as library_program
from terminal.options import run_program
from tests.support.errors_document import FILE, errors_document

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README_CN.md").read_text(encoding="utf-8")
BOTH = pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["README.md", "README_CN.md"])

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = ("sh", "bash")
# Columns of a terminal; a Chinese character takes two.
_MOST_COLUMNS = {ENGLISH: 108, CHINESE: 128}


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of each block of code."""
    return _BLOCK.findall(text)


def code_of(language: str, content: str) -> list[str]:
    """The block's lines without what differs from language to language: comments, and texts."""
    if language not in (*_SHELL, "python", "yaml"):
        return [language] * content.count("\n")
    lines = [re.sub(r"\s*(?<!\S)#.*", "", line) for line in content.splitlines()]
    return [re.sub(r'(--comment) "[^"]*"', r"\1", line) for line in lines]


def commands(text: str) -> list[str]:
    """Each line of the shell's blocks, and what stands in backticks and is a command."""
    found = [line for language, content in blocks(text) if language in _SHELL
             for line in code_of(language, content)]  # fmt: skip
    prose = _BLOCK.sub("", text)
    spans = re.findall(r"`([^`]+)`", prose)
    return [*found, *(one for one in spans if re.match(r"(\S*python|make) ", one))]


def test_the_readmes_have_the_same_code():
    english = [code_of(*block) for block in blocks(ENGLISH)]
    chinese = [code_of(*block) for block in blocks(CHINESE)]
    assert english == chinese


def test_the_readmes_have_the_same_sections_and_rows():
    for pattern in (r"^#+(?= )", r"^\|(?=[^\n]*\|$)", r"^- |^$(?=\n- )"):
        english, chinese = (re.findall(pattern, text, re.MULTILINE) for text in (ENGLISH, CHINESE))
        assert english == chinese, pattern


def test_the_readmes_name_the_same_settings_and_commands():
    def named(text: str) -> set[str]:
        spans = re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))
        return {one for one in spans if re.match(r"(\.venv|make|gateway\.|library\.|op\.)", one)}

    assert named(ENGLISH) == named(CHINESE)


@BOTH
def test_every_link_leads_somewhere(text):
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@BOTH
def test_lines_are_as_long_as_the_others(text):
    def columns(line: str) -> int:
        return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in line)

    prose = [one for one in _BLOCK.sub("", text).splitlines() if not one.startswith("|")]
    assert [line for line in prose if columns(line) > _MOST_COLUMNS[text]] == []


@BOTH
def test_commands_that_need_the_projects_interpreter_say_so(text):
    said = [one for one in commands(text) if re.search(r"(?<![\w/])python3? ", one)]
    assert said == []


@BOTH
def test_every_command_is_there(text):
    makefile = (ROOT / "Makefile").read_text()
    seen = set()
    for command in commands(text):
        words = shlex.split(command.replace("[", "").replace("]", ""))
        if words[:1] == ["make"]:
            assert f"\n{words[1]}:" in makefile, command
        elif words[:2] == [".venv/bin/python", "-m"]:
            assert find_spec(words[2]) is not None, command
            seen.add(words[2])
            if words[2] == "bench" and len(words) > 3:
                assert find_spec(f"bench.{words[3]}") is not None, command
        elif words[:1] == [".venv/bin/python"]:
            assert (ROOT / words[1]).is_file(), command
    assert seen >= {"bench", "convert", "gateway", "library", "tracer"}


def commands_of(program: click.Command) -> Iterator[click.Command]:
    """The commands of a command line; itself where it has none."""
    if not isinstance(program, click.Group):
        yield program
        return
    for command in program.commands.values():
        yield from commands_of(command)


@BOTH
@pytest.mark.parametrize(
    ("package", "program"), [("library", library_program), ("gateway", gateway_program)]
)
def test_commands_are_taken_as_they_are_written(text, package, program, monkeypatch):
    for command in commands_of(program):
        monkeypatch.setattr(command, "callback", lambda **_: 0)
    start = f".venv/bin/python -m {package} "
    written = [
        line for language, content in blocks(text) if language in _SHELL
        for line in content.splitlines() if line.startswith(start)
    ]  # fmt: skip
    assert len(written) > 2
    for line in written:
        words = shlex.split(line.replace("[", "").replace("]", ""), comments=True)
        assert run_program(program, words[3:], package) == 0


def test_the_errors_are_those_of_the_code():
    assert FILE.read_text(encoding="utf-8") == errors_document(), (
        "python -m tests.support.errors_document"
    )
