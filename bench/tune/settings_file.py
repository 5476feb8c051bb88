"""Whole numbers set in a YAML file, with everything else in it left as it stands.

ruamel.yaml reads the file with its comments and writes it again, each comment in its column. Two
things are asked of the new text before it is used: read as the service reads it, it has to be the
old content with nothing but the wanted values changed; and no comment of it may be missing.
Indentation and the spaces within brackets become even where they were not.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.scalarstring import FoldedScalarString, LiteralScalarString
from ruamel.yaml.tokens import CommentToken

from settings.config import ConfigError, load_config
from settings.yaml_file import YamlError, parse_yaml

Key = tuple[str, ...]
_ENDLESS = 1_000_000  # no line is folded
_BYTE_ORDER_MARK = "\ufeff"


class EditError(ValueError):
    """The file cannot be changed safely; the text says why, and the file is as it was."""


def write_values(path: Path, values: Mapping[Key, int], was: str) -> None:
    """Set the values in the file, if its text still is `was`.

    The new file is checked as the service checks it, and takes the old one's place in one step.
    Raises EditError.
    """
    path = path.resolve()  # a link stays one
    try:
        if read_text(path) != was:
            raise EditError(f"{path} was changed meanwhile")
        _replace(path, with_values(was, values))
    except OSError as error:
        raise EditError(f"{path} cannot be written: {error.strerror}") from None


def read_text(path: Path) -> str:
    """The file's text with its line ends as they are.

    Raises EditError when it is not UTF-8, OSError when it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise EditError(f"{path} is not UTF-8") from None


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, name)
        load_config(name)
        os.replace(name, path)
    except ConfigError as error:
        said = str(error).replace(str(Path(name).resolve()), str(path)).replace(name, str(path))
        raise EditError(f"the service would not take it: {said}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def with_values(text: str, values: Mapping[Key, int]) -> str:
    """The text with these values in it. key: the names from the outermost mapping inwards.

    A missing key is added at the end of its section. Raises EditError where that would change
    anything else.
    """
    wanted = _content(text)
    for key, value in values.items():
        _set(wanted, key, value)
    after = _round_trip(text, values)
    try:
        done = _content(after)
    except EditError:
        done = None
    if done != wanted or _comments(after) != _comments(text):
        names = ", ".join(".".join(key) for key in values)
        raise EditError(f"{names} cannot be changed without changing other parts of the file")
    return after


def _content(text: str) -> Any:
    """What the text means to the service, without anything shared between its parts."""
    try:
        return _unshared(parse_yaml(text))
    except YamlError as error:
        raise EditError(f"it is not YAML: {error}") from None


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unshared(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_unshared(part) for part in value]
    return value


def _set(content: Any, key: Key, value: int) -> None:
    for depth, name in enumerate(key[:-1]):
        inner = content.get(name) if isinstance(content, dict) else None
        if inner is None and isinstance(content, dict) and name in content:
            inner = content[name] = {}
        if not isinstance(inner, dict):
            raise EditError(f"there is no section {'.'.join(key[: depth + 1])}")
        content = inner
    if not isinstance(content, dict):
        raise EditError("there are no settings in it")
    if not isinstance(content.get(key[-1], 0), (int, float, type(None))):
        raise EditError(f"{'.'.join(key)} is not a number now")
    content[key[-1]] = value


def _comments(text: str) -> list[str]:
    """What stands behind the first # of each line; mostly comments."""
    return [line.partition("#")[2].rstrip() for line in text.split("\n") if "#" in line]


def _round_trip(text: str, values: Mapping[Key, int]) -> str:
    """The text read and written with the values in it. Raises EditError where it cannot be."""
    ends = "\r\n" if "\r\n" in text else "\n"
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    plain = text.removeprefix(mark).replace("\r\n", "\n")
    empty = "\n" * (len(plain) - len(plain.lstrip("\n")))  # ruamel.yaml leaves these lines out
    ruamel = YAML()
    ruamel.preserve_quotes = True
    ruamel.width = _ENDLESS
    out = io.StringIO()
    try:
        settings = ruamel.load(plain)
        for key, value in values.items():
            _put(settings, key, value)
        _indent_as(ruamel, settings)
        ruamel.dump(settings, out)
    except (YAMLError, RecursionError) as error:
        said = getattr(error, "problem", None) or str(error)
        raise EditError(f"it cannot be edited: {' '.join(said.split())}") from None
    return mark + (empty + out.getvalue()).replace("\n", ends)


def _indent_as(ruamel: YAML, settings: CommentedMap) -> None:
    """The file's own indentation, which its first section shows."""
    for section in settings.values():
        if isinstance(section, CommentedMap) and not section.fa.flow_style() and section.lc.col:
            ruamel.indent(mapping=section.lc.col)
            return


def _put(section: CommentedMap, key: Key, value: int) -> None:
    below = None
    for name in key[:-1]:
        if section[name] is None:
            below = _cut(section.ca.items.get(name), 2)
            section[name] = CommentedMap()
        section = section[name]
    name = key[-1]
    if name not in section:
        below = below or _following(section)
        if below:
            section.ca.items[name] = [None, None, below, None]
    section[name] = value


def _following(section: CommentedMap) -> CommentToken | None:
    """Take off the comments below the section's last line: they belong to what comes next.

    ruamel.yaml hangs all that stands between two settings on the upper one.
    """
    place: Any = None
    index = 2
    part: Any = section
    while isinstance(part, (CommentedMap, CommentedSeq)) and part and not part.fa.flow_style():
        last = len(part) - 1 if isinstance(part, CommentedSeq) else next(reversed(part))
        place, index = part.ca.items.get(last), 0 if isinstance(part, CommentedSeq) else 2
        part = part[last]
    if isinstance(part, (LiteralScalarString, FoldedScalarString)):
        raise EditError("a section that ends with a block of text cannot be added to")
    return _cut(place, index)


def _cut(place: list[Any] | None, index: int) -> CommentToken | None:
    """A comment's lines after its first, which stays where it is."""
    token = place[index] if place and len(place) > index else None
    if not place or not isinstance(token, CommentToken):
        return None
    first, _, below = token.value.partition("\n")
    if not below:
        return None
    if first:
        token.value = f"{first}\n"
    else:
        place[index] = None
    return CommentToken(f"\n{below}", CommentMark(0), None)
