"""Command lines in one style."""

from __future__ import annotations

import click
import pytest

from convert.__main__ import program as convert
from gateway.__main__ import program as gateway
from library.__main__ import program as library
from terminal.options import SETTINGS, everywhere, run_program
from tracer.__main__ import program as tracer
from web_service import program as web_service

PROGRAMS = {
    "web_service.py": web_service, "convert": convert, "tracer": tracer,
    "gateway": gateway, "library": library,
}  # fmt: skip


def lines_of(program, *arguments):
    """Each command of a program, by the words that call it."""
    yield program, arguments
    if isinstance(program, click.Group):
        for name, command in program.commands.items():
            yield from lines_of(command, *arguments, name)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_help_of_every_command_is_whole_at_80_columns(name, capsys):
    for _, words in lines_of(PROGRAMS[name]):
        with pytest.raises(SystemExit) as ended:
            run_program(PROGRAMS[name], [*words, "--help"], name)
        assert ended.value.code == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(" ".join(["Usage:", name, *words]))
        assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_command_of_a_group_has_one_line_that_is_not_cut(name, capsys):
    for program, words in lines_of(PROGRAMS[name]):
        if not isinstance(program, click.Group):
            continue
        with pytest.raises(SystemExit):
            run_program(PROGRAMS[name], [*words, "--help"], name)
        listed = capsys.readouterr().out.partition("Commands:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in listed.splitlines()] == sorted(program.commands)
        assert all(line.endswith(".") and not line.endswith("...") for line in listed.splitlines())


def test_the_same_option_has_the_same_words():
    said = {}
    for program in PROGRAMS.values():
        for command, _ in lines_of(program):
            for option in command.params:
                if option.opts[0] in ("--json", "--config", "--no-progress", "--app"):
                    said.setdefault(option.opts[0], set()).add(option.help)
    said["--app"].discard("The app that the key is for; every role but admin needs one.")
    assert all(len(words) == 1 for words in said.values()), said


IN_FRONT, BEHIND = everywhere("--place", "home")


@click.group(context_settings=SETTINGS)
@IN_FRONT
def travel() -> None:
    """A program."""


@travel.command()
@BEHIND
def go() -> None:
    """Go somewhere."""
    click.echo(click.get_current_context().meta["place"])


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["go"], "home"),
        (["--place", "sea", "go"], "sea"),
        (["go", "--place", "hills"], "hills"),
        (["--place", "sea", "go", "--place", "hills"], "hills"),
    ],
)
def test_an_option_may_stand_in_front_of_the_command_and_behind(words, place, capsys):
    assert run_program(travel, words, "travel") == 0
    assert capsys.readouterr().out == f"{place}\n"
