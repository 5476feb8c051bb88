"""Whole numbers set in a YAML file, with everything else in it left as it stands.

The file is never written anew from its content: PyYAML tells where in the text a value stands,
and only that piece of text is exchanged, or a line added. The result is read again and has to be
the old content with nothing but the wanted values changed, or it is not used.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ops.config import ConfigError, load_config
from ops.yaml_file import YamlError, parse_yaml

Key = tuple[str, ...]
_COMMENT = re.compile(r"( +)#")


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

    A missing key is added at the end of its section. Raises EditError where that would need more
    than an exchanged value or an added line.
    """
    for key, value in values.items():
        wanted = _content(text)
        _set(wanted, key, value)
        text = _with_value(text, key, value)
        try:
            done = _content(text)
        except EditError:
            done = None
        if done != wanted:
            raise EditError(f"{'.'.join(key)} cannot be changed without changing other settings")
    return text


def _content(text: str) -> Any:
    """What the text means, without anything shared between its parts."""
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
    content[key[-1]] = value


def _with_value(text: str, key: Key, value: int) -> str:
    section: yaml.Node = yaml.compose(text, Loader=yaml.SafeLoader)
    column = 0
    for name in key[:-1]:
        name_node, inner = _entry(section, name, key)
        column = name_node.start_mark.column
        if _is_empty(inner):
            return _with_line(text, inner.end_mark.index, column + 2, key[-1], value)
        section = inner
    if not isinstance(section, yaml.MappingNode):
        raise EditError(f"{'.'.join(key[:-1])} is no section")
    for name_node, old in section.value:
        if name_node.value == key[-1]:
            return _exchanged(text, old, value)
    if section.flow_style or not section.value:
        raise EditError(f"{'.'.join(key[:-1])} is written in braces: add {key[-1]} to it first")
    first, _ = section.value[0]
    return _with_line(text, _end(section), first.start_mark.column, key[-1], value)


def _entry(section: yaml.Node, name: str, key: Key) -> tuple[yaml.Node, yaml.Node]:
    if isinstance(section, yaml.MappingNode):
        for name_node, inner in section.value:
            if name_node.value == name:
                return name_node, inner
    raise EditError(f"{'.'.join(key)}: {name} is not written out")


def _is_empty(node: yaml.Node) -> bool:
    """Whether nothing stands after the colon."""
    return node.start_mark.index == node.end_mark.index


def _exchanged(text: str, old: yaml.Node, value: int) -> str:
    if not isinstance(old, yaml.ScalarNode) or old.start_mark.line != old.end_mark.line:
        raise EditError("the present value is not a number in one line")
    start, end, new = old.start_mark.index, old.end_mark.index, str(value)
    if start == end:
        new = f" {new}"
    after = text[end:]
    comment = _COMMENT.match(after)
    if comment:
        # The comment stays in its column where the spaces before it allow that.
        spaces = max(len(comment[1]) - (len(new) - (end - start)), 1)
        after = " " * spaces + after[len(comment[1]) :]
    return text[:start] + new + after


def _end(node: yaml.Node) -> int:
    """Where the last thing of a node ends; a block's own mark is at what follows it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        raise EditError("a section that ends with a block of text cannot be added to")
    index: int = node.end_mark.index
    return index


def _with_line(text: str, index: int, column: int, name: str, value: int) -> str:
    """A line after the one that has the character `index - 1`."""
    stop = text.find("\n", index)
    head, tail = (text, "") if stop < 0 else (text[: stop + 1], text[stop + 1 :])
    end = "\r\n" if "\r\n" in text else "\n"
    if not head.endswith("\n"):
        head += end
    return f"{head}{' ' * column}{name}: {value}{end}{tail}"
