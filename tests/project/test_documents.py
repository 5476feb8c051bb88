"""What the texts name is there: files, links, commands, options, settings, metrics, errors."""

from __future__ import annotations

import ast
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import click
import pytest

from gateway.__main__ import program as gateway_program
from gateway.errors import ErrorCode
from library.__main__ import program as library_program
from ops.errors import ErrorKind, error_table
from terminal.options import run_program
from tests.support import errors_document, metrics_document, settings_document
from tests.support.command_helps import helps
from tests.support.texts import CHINESE, ROOT, SHELL, TEXTS, Text

EACH = pytest.mark.parametrize("text", TEXTS, ids=str)
ARCHITECTURE = Text("ARCHITECTURE.md")
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = set(PROJECT["tool"]["importlinter"]["root_packages"])
FOLDERS = PACKAGES | {"docs", "scripts", "tests", ".ci"}
# It names files that its reader makes.
RECIPES = "docs/adding-things.md"
PYTHON = ".venv/bin/python"
# Of a command, how many words after the module say what it does.
_SUBCOMMANDS = {"bench": 1, "library": 1, "gateway": 2, "deploy": 2}
_FOR_A_TENANT = ["-m", "deploy", "tenants", "exec"]
_EVERYWHERE = {"__init__.py"}
_ROOT_FILE = re.compile(r"\.?[\w-]+\.(py|md|toml|lock)")
_PATH = re.compile(r"\.?\w[\w.-]*(/[\w.*-]+)+/?|\.?\w[\w.-]*/")


def words_of(command: str) -> list[str]:
    """A command's words, those in brackets as well; for whom it is run is left out."""
    words = shlex.split(command.replace("[", "").replace("]", ""))
    if words[:2] == ["sudo", "-u"]:
        words = words[3:]
    words = words[1:] if words[:1] == ["sudo"] else words
    # What is run for a tenant is a command of its own.
    return [*words[:2], *words[6:]] if words[1:5] == _FOR_A_TENANT else words


def named_paths(text: Text) -> set[str]:
    """What stands for a file or a folder of the repository."""
    said = [*text.spans, *text.commands]
    words = {word for one in said for word in re.split(r"[\s\"'=]+", one)}
    inside = {w for w in words if _PATH.fullmatch(w) and w.partition("/")[0] in FOLDERS}
    return inside | {word for word in text.spans if _ROOT_FILE.fullmatch(word)} - _EVERYWHERE


@EACH
def test_every_link_leads_somewhere(text):
    for address, anchor in text.links:
        path = (text.path.parent / address).resolve() if address else text.path
        assert path.exists(), address
        if anchor:
            assert anchor in Text(str(path.relative_to(ROOT))).anchors, f"{address}#{anchor}"
    if text.is_chinese or text.twin in CHINESE:
        assert text.links


@EACH
def test_every_path_is_there(text):
    for path in named_paths(text):
        place = ROOT / path
        there = place.exists() or (text.name == RECIPES and place.parent.is_dir())
        assert there, path


def test_paths_are_found_in_texts():
    found = named_paths(ARCHITECTURE)
    assert {"vision/geometry.py", "library/index/milvus/", "pyproject.toml"} <= found
    assert "tests/vision" in named_paths(Text("CONTRIBUTING.md"))


@EACH
def test_commands_that_need_the_projects_interpreter_say_so(text):
    said = [one for one in text.commands if re.search(r"(?<![\w/])python3? ", one)]
    assert said == []


@EACH
def test_every_command_is_there(text):
    for command in text.commands:
        words = words_of(command)
        if words[:1] == ["make"]:
            assert re.search(rf"^{re.escape(words[1])}:", MAKEFILE, re.MULTILINE), command
            for name in (word.partition("=")[0] for word in words[2:] if "=" in word):
                assert re.search(rf"\b{name}\b", MAKEFILE), command
        elif words[:2] == [PYTHON, "-m"]:
            assert find_spec(words[2]) is not None, command
            if words[2] == "bench" and len(words) > 3:
                assert find_spec(f"bench.{words[3]}") is not None, command
        elif words[:1] == [PYTHON]:
            assert (ROOT / words[1]).is_file(), command
        elif words[:1] and re.match(r"scripts/|\.ci/|deploy/", words[0]):
            assert os.access(ROOT / words[0], os.X_OK), command


def test_the_texts_show_every_package_that_has_commands():
    for chinese in (False, True):
        commands = [c for text in TEXTS if text.is_chinese == chinese for c in text.commands]
        seen = {words_of(one)[2] for one in commands if one.startswith(f"{PYTHON} -m ")}
        assert seen >= {"bench", "convert", "gateway", "library", "tracer"}


def commands_of(program: click.Command) -> Iterator[click.Command]:
    """The commands of a command line; itself where it has none."""
    if not isinstance(program, click.Group):
        yield program
        return
    for command in program.commands.values():
        yield from commands_of(command)


@pytest.mark.parametrize(
    ("package", "program"), [("library", library_program), ("gateway", gateway_program)]
)
@pytest.mark.parametrize("chinese", [False, True], ids=["English", "Chinese"])
def test_commands_are_taken_as_they_are_written(chinese, package, program, monkeypatch):
    for command in commands_of(program):
        monkeypatch.setattr(command, "callback", lambda **_: 0)
    start = f"{PYTHON} -m {package} "
    written = [
        line for text in TEXTS if text.is_chinese == chinese
        for language, content in text.blocks if language in SHELL
        for line in content.splitlines() if line.startswith(start)
    ]  # fmt: skip
    assert len(written) > 2
    for line in written:
        words = shlex.split(line.replace("[", "").replace("]", ""), comments=True)
        assert run_program(program, words[3:], package) == 0


def asks_for_help(command: str) -> tuple[str, ...] | None:
    """The command that tells what a command takes; None for one that is not the product's."""
    words = words_of(command)
    if words[:1] == ["deploy/install"]:
        return ("-m", "deploy.installation", "--help")
    if words[:2] == [PYTHON, "-m"]:
        if words[2].partition(".")[0] not in PACKAGES:
            return None
        count = 3 + _SUBCOMMANDS.get(words[2], 0)
        return (*(word for word in words[1:count] if not word.startswith("--")), "--help")
    if words[:1] == [PYTHON] and words[1].endswith(".py"):
        return (words[1], "--help")
    return None


@pytest.fixture(scope="module")
def told() -> dict[tuple[str, ...], str]:
    """What each command that the texts name tells of itself."""
    asked = {asks_for_help(command) for text in TEXTS for command in text.commands} - {None}
    found = dict(zip(asked, helps(list(asked))))
    assert {line: text for line, (status, text) in found.items() if status} == {}
    return {line: text for line, (_, text) in found.items()}


def has_option(text: str, option: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text) is not None


@EACH
def test_every_option_is_taken(text, told):
    for command in text.commands:
        asked = asks_for_help(command)
        if asked is not None:
            for word in words_of(command):
                option = word.partition("=")[0]
                assert not word.startswith("--") or has_option(told[asked], option), command
    everything = "\n".join(told.values())
    for span in text.spans:
        for option in re.findall(r"(?<!\S)--[a-z][\w-]*", span if span[0] == "-" else ""):
            assert has_option(everything, option), span


@EACH
def test_imports_that_a_text_shows_can_be_made(text):
    for language, content in text.blocks:
        for node in ast.walk(ast.parse(content)) if language == "python" else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
                module = import_module(node.module)
                assert [one.name for one in node.names if not hasattr(module, one.name)] == []


@EACH
def test_every_setting_is_there(text):
    known = {row[0].strip("`") for row in Text("docs/settings.md").table("setting")}
    known |= {"op.STAGE.model"}
    sections = {name.rpartition(".")[0] for name in known}
    for span in text.spans:
        found = re.match(r"(gateway|library|limits|dag|log|op)\.[A-Za-z_.]+", span)
        if found and not found[0].endswith(".log") and "(" not in span:
            name = re.sub(r"^op\.[A-Z]\w*", "op.STAGE", found[0])
            assert name in known | sections, span


@EACH
def test_every_metric_is_there(text):
    known = {row[0].strip("`") for row in Text("docs/metrics.md").table("metric")}
    for span in text.spans:
        found = re.match(r"face_(gateway|library|pipeline)_\w+", span)
        assert not found or re.sub("_(total|bucket|sum|count)$", "", found[0]) in known, span


@EACH
def test_every_error_number_is_there(text):
    known = {kind.code for kind in ErrorKind} | {int(code.value[0]) for code in ErrorCode}
    prose = re.sub(r"`\d+`", "", text.prose)  # settings' values
    numbers = re.findall(r"(?<![\d.,])(22\d{4}|3000|500\d|510\d)(?![\d,.]?\d)", prose)
    assert [number for number in numbers if int(number) not in known] == []


def test_the_errors_are_those_of_the_code():
    assert errors_document.FILE.read_text(encoding="utf-8") == errors_document.errors_document(), (
        "python -m tests.support.errors_document"
    )


def test_the_settings_are_those_of_the_code():
    written = settings_document.FILE.read_text(encoding="utf-8")
    assert written == settings_document.settings_document(), (
        "python -m tests.support.settings_document"
    )


def test_the_metrics_are_those_of_the_code():
    written = metrics_document.FILE.read_text(encoding="utf-8")
    assert written == metrics_document.metrics_document(), (
        "python -m tests.support.metrics_document"
    )


def test_the_table_of_the_pipelines_errors_is_the_codes():
    assert error_table() in Text("docs/wire-format.md").content


def test_the_picture_of_the_floors_is_that_of_the_lint():
    (contract,) = (
        one for one in PROJECT["tool"]["importlinter"]["contracts"] if one["type"] == "layers"
    )
    pictures = [re.findall(r"^(\S+(?: [|:] \S+)*)  ", content, re.MULTILINE)
                for language, content in ARCHITECTURE.blocks if not language]  # fmt: skip
    assert contract["layers"] in pictures


def test_five_questions_are_answered_from_the_tree_alone():
    rows = ARCHITECTURE.table("question")
    assert len(rows) == 5
    for question, where, what in rows:
        assert question.endswith("?")
        assert (ROOT / where.strip("`")).exists(), where
        for name, path in re.findall(r"`(\w+)` in `([\w/]+\.py)`", what):
            source = (ROOT / path).read_text()
            assert re.search(rf"^(def|class) {name}\b", source, re.MULTILINE), what


def test_private_names_that_the_architecture_lists_are_used():
    sources = [*ROOT.glob("ops/serving/*.py"), *ROOT.glob("paddle_fence/*.py")]
    code = "\n".join(path.read_text() for path in sources)
    for names, *_ in ARCHITECTURE.table("name"):
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b", code), name
