"""Settings written into a YAML file: the wanted ones, and nothing else of it."""

from __future__ import annotations

import os

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.tune.settings_file import EditError, read_text, with_values, write_values
from settings.config import load_config
from tests.support.service import ROOT

BATCH = ("op", "ArcFace", "batch_size")
TEXT = (ROOT / "config.yml").read_text()


def test_a_value_changes_and_its_comment_stays_in_its_column():
    text = "op:\n  Detection:\n    batch_size: 2   # comment\n    model: x\n"
    assert with_values(text, {("op", "Detection", "batch_size"): 16}) == text.replace(
        "2   #", "16  #"
    )
    assert with_values("a: 16  # why\n", {("a",): 2}) == "a: 2   # why\n"
    assert with_values("a: 9 # why\n", {("a",): 100}) == "a: 100 # why\n"


def test_a_missing_setting_becomes_the_last_line_of_its_section():
    text = "op:\n  A:\n    inputs: [B]  # b\n\n  # of B\n  B:\n    inputs: []\nend: 1\n"
    wanted = text.replace("# b\n", "# b\n    batch_size: 4\n")
    assert with_values(text, {("op", "A", "batch_size"): 4}) == wanted
    wanted = text.replace("[]\n", "[]\n    batch_size: 4\n")
    assert with_values(text, {("op", "B", "batch_size"): 4}) == wanted
    assert with_values("a: 1", {("b",): 2}) == "a: 1\nb: 2\n"


def test_a_section_of_nothing_gets_its_first_line():
    assert with_values("op:\n  A:  # empty\n  B: {}\n", {("op", "A", "n"): 4}) == (
        "op:\n  A:  # empty\n    n: 4\n  B: {}\n"
    )
    assert with_values("a:   # none\n", {("a",): 4}) == "a: 4 # none\n"


@pytest.mark.parametrize(
    "text",
    [
        "op:\n  A: &one {n: 1}\n  B: *one\n",  # said once, meant twice
        "op:\n  A: {}\n  A: {n: 1}\n",  # said twice
        "op:\n  A:\n    n: [1]\n",
        "op:\n  A:\n    text: |\n      words\n",
        "op:\n  A: 1\n",
        "op:\n  B:\n    n: 1\n",
        "op: [A]\n",
        "op:\n  A: {n: 1\n",
        "op:\n  A: {m: [1, # one\n    2]}\n",  # a comment that would go
        "- op\n",
        "",
        "one: 1\n---\ntwo: 2\n",
    ],
)
def test_what_cannot_be_changed_safely_is_refused(text):
    with pytest.raises(EditError):
        with_values(text, {("op", "A", "n"): 4})


def test_a_value_in_braces_is_exchanged_or_added():
    assert with_values("op: {A: {n: 1, m: 2}} # c\n", {("op", "A", "n"): 12}) == (
        "op: {A: {n: 12, m: 2}} # c\n"
    )
    assert with_values("op: {A: {}} # c\n", {("op", "A", "n"): 1}) == "op: {A: {n: 1}} # c\n"


def test_indentation_stays_and_no_line_is_folded():
    text = f"a:\n    b: 1    # {'long ' * 50}\n    c: '{'long ' * 50}'\n    d: 0x1f\n"
    assert with_values(text, {("a", "b"): 2}) == text.replace("b: 1", "b: 2")


def test_line_ends_and_a_byte_order_mark_stay():
    assert with_values("\ufeffa:\r\n  b: 1\r\nc: 2\r\n", {("a", "x"): 3, ("c",): 44}) == (
        "\ufeffa:\r\n  b: 1\r\n  x: 3\r\nc: 44\r\n"
    )


def test_of_two_entries_of_one_name_none_is_changed():
    with pytest.raises(EditError, match="'a' stands there twice, line 2"):
        with_values("a: 1\na: 2\n", {("a",): 3})


NAMES = st.text("abcxyz_", min_size=1, max_size=6)
COMMENTS = st.one_of(st.just(""), st.text("# abcé😀:-{}[]'\"", max_size=8).map("  # {}".format))
SCALARS = st.sampled_from(["1", "0x1f", "'a: b'", '"#no"', "text", "[1, 2]", "{a: 1}", "~", "no"])


@st.composite
def files(draw):
    """Lines of a YAML file: settings, sections of settings, comments, empty lines."""
    lines = []
    indent = " " * draw(st.integers(1, 4))
    for name in draw(st.lists(NAMES, min_size=1, max_size=5, unique=True)):
        lines += draw(st.lists(st.sampled_from(["", "# about it", "   # a: 1"]), max_size=2))
        inner = draw(st.lists(NAMES, max_size=3, unique=True))
        if not inner:
            lines.append(f"{name}: {draw(SCALARS)}{draw(COMMENTS)}")
            continue
        lines.append(f"{name}:{draw(COMMENTS)}")
        lines += [f"{indent}{key}: {draw(SCALARS)}{draw(COMMENTS)}" for key in inner]
    return draw(st.sampled_from(["\n", "\r\n"])).join(
        [*lines, draw(st.sampled_from(["", "# end"]))]
    )


def comments(text):
    """(what stands before it, its words) of all comments in lines that `files` writes."""
    parts = [line.replace('"#no"', "'..'").partition("#") for line in text.splitlines()]
    return [(before, words.rstrip()) for before, mark, words in parts if mark]


@given(files(), NAMES, NAMES, st.integers(0, 10**6), st.booleans())
@example("__: 1\n_: 1  # #\n", "_", "_", 0, False)
def test_nothing_but_the_wanted_value_changes_in_any_file(text, section, name, value, nested):
    key = (section, name) if nested else (name,)
    wanted = yaml.safe_load(text)
    inner = wanted
    if nested:
        inner = wanted.get(section, 0)
        if inner is None:
            inner = wanted[section] = {}
    if not isinstance(inner, dict) or isinstance(inner.get(name), (dict, list, str)):
        with pytest.raises(EditError):
            with_values(text, {key: value})
        return
    inner[name] = value
    after = with_values(text, {key: value})
    assert yaml.safe_load(after) == wanted
    assert [words for _, words in comments(after)] == [words for _, words in comments(text)]
    for (new, _), (old, _) in zip(comments(after), comments(text)):
        # A comment leaves its column only where the number has become too long for it.
        pushed = len(new) > len(old) and new[:-1].rstrip("}").endswith(str(value))
        assert len(new) == len(old) or pushed
    assert after.count("\r\n") == (after.count("\n") if "\r\n" in text else 0)


KEYS = [
    ("op", op, name) for op in yaml.safe_load(TEXT)["op"] for name in ("concurrency", "threads")
]


@settings(max_examples=20)
@given(st.dictionaries(st.sampled_from([*KEYS, BATCH]), st.integers(1, 64), min_size=1))
def test_the_projects_own_file_takes_every_setting_and_keeps_its_comments(values):
    after = with_values(TEXT, values)
    assert [line.partition("#")[2] for line in after.splitlines() if "#" in line] == [
        line.partition("#")[2] for line in TEXT.splitlines() if "#" in line
    ]
    content = yaml.safe_load(after)
    assert all(content["op"][op][name] == value for (_, op, name), value in values.items())


@pytest.fixture
def config(tmp_path):
    """A copy of the configuration that can be written to."""
    path = tmp_path / "config.yml"
    path.write_text(TEXT)
    return path


def test_a_file_is_replaced_with_its_permissions_and_through_a_link(config, tmp_path):
    config.chmod(0o640)
    link = tmp_path / "link.yml"
    link.symlink_to(config)
    write_values(link, {BATCH: 16, ("cores",): 2}, TEXT)
    assert link.is_symlink()
    assert config.stat().st_mode & 0o777 == 0o640
    written = load_config(config)
    assert (written.op["ArcFace"].batch_size, written.cores) == (16, 2)
    assert sorted(os.listdir(tmp_path)) == ["config.yml", "link.yml"]


@pytest.mark.parametrize(
    ("value", "text", "said"),
    [(0, TEXT, "op.ArcFace.batch_size"), (8, TEXT + "\n# mine\n", "changed meanwhile")],
    ids=["wrong", "changed"],
)
def test_a_file_that_would_be_wrong_or_has_changed_is_left_alone(config, value, text, said):
    config.write_text(text)
    with pytest.raises(EditError, match=said) as failure:
        write_values(config, {BATCH: value}, TEXT)
    assert config.read_text() == text
    assert str(config) in str(failure.value)
    assert os.listdir(config.parent) == ["config.yml"]


def test_a_file_that_is_no_text_is_refused(config):
    config.write_bytes(b"a: \xff\n")
    with pytest.raises(EditError, match="UTF-8"):
        read_text(config)
