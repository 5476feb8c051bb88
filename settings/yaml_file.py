"""YAML within limits: whatever a file holds, it is read, or refused in one line.

PyYAML has none. A file may nest deeper than Python calls, a few lines of aliases may stand for
more than fits into memory, and values that only look like dates or numbers raise any exception.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

# Of a file, of a line of parents, and of everything that the aliases stand for. What is read here
# has some hundred values in five levels.
MOST_BYTES = 256 * 1024
MOST_DEPTH = 50
MOST_VALUES = 20_000
# Characters of a text without line breaks that stands for a number.
_MOST_DIGITS = 64

# By PyYAML's C parser where it has one: each start of the service reads several files.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class YamlError(ValueError):
    """What is wrong with a document, in one line."""


def read_yaml(path: Path) -> Any:
    """The document in a file. Raises OSError and YamlError."""
    return parse_yaml(read_content(path))


def read_content(path: Path) -> bytes:
    """What a file holds, for `parse_yaml`; of a longer one no more than shows that it is longer."""
    with path.open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


def parse_yaml(content: bytes | str) -> Any:
    """The document in a text; None for an empty one. Raises YamlError.

    Of several entries of one name in a mapping none is right, so that is refused as well.
    """
    if len(content) > MOST_BYTES:
        raise YamlError(f"it has more than {MOST_BYTES} bytes")
    try:
        _check_events(content)
        loader = _Loader(content)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except YamlError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise YamlError(f"{' '.join(str(error.problem).split())}{where}") from None
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from None
    # Of values with a tag that does not fit, a date without such a day, text that is no UTF-8.
    except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as error:
        raise YamlError(f"a value cannot be read: {' '.join(str(error).split())}") from None


def parse_as_written(content: bytes | str) -> Any:
    """A document that `parse_yaml` has taken, with each value as the text that stands there."""
    return yaml.load(content, Loader=yaml.BaseLoader)  # noqa: S506 - it makes nothing but text


def _check_events(content: bytes | str) -> None:
    """Raise YamlError where it nests too deep, which the C parser's next step dies of.

    And for too many values, before they take their time.
    """
    depth = 0
    for count, event in enumerate(yaml.parse(content, Loader=_Loader)):
        if count > 2 * MOST_VALUES:
            raise YamlError(f"it has more than {MOST_VALUES} values{_line(event)}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                raise YamlError(f"it nests deeper than {MOST_DEPTH} levels{_line(event)}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check(root: yaml.Node) -> None:
    """Count what a document stands for, each node once, without recursion. Raises YamlError."""
    sizes: dict[int, int] = {}
    heights: dict[int, int] = {}
    begun: set[int] = set()
    stack = [root]
    while stack:
        node = stack[-1]
        key = id(node)
        if key in sizes:
            stack.pop()
            continue
        inner = _inner(node)
        if key not in begun:
            begun.add(key)
            _check_node(node)
            waiting = [child for child in inner if id(child) not in sizes]
            if any(id(child) in begun for child in waiting):
                raise YamlError(f"an alias stands within what it stands for{_line(node)}")
            stack += waiting
            continue
        sizes[key] = 1 + sum(sizes[id(child)] for child in inner)
        heights[key] = 1 + max((heights[id(child)] for child in inner), default=0)
        if sizes[key] > MOST_VALUES:
            raise YamlError(f"it stands for more than {MOST_VALUES} values{_line(node)}")
        if heights[key] > MOST_DEPTH:
            raise YamlError(f"it nests deeper than {MOST_DEPTH} levels{_line(node)}")
        stack.pop()


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_node(node: yaml.Node) -> None:
    if isinstance(node, yaml.ScalarNode):
        # Python takes the square of their length for these.
        if node.tag in _NUMBERS and len(node.value) > _MOST_DIGITS:
            raise YamlError(f"a number of more than {_MOST_DIGITS} digits{_line(node)}")
        return
    if not isinstance(node, yaml.MappingNode):
        return
    names: set[tuple[str, str]] = set()
    for name, _ in node.value:
        if not isinstance(name, yaml.ScalarNode) or name.tag == _MERGE:
            continue
        if (name.tag, name.value) in names:
            raise YamlError(f"{name.value[:100]!r} stands there twice{_line(name)}")
        names.add((name.tag, name.value))


def _line(place: yaml.Node | yaml.Event) -> str:
    mark = place.start_mark
    return "" if mark is None else f", line {mark.line + 1}"
