"""Private names of others that a source file touches, and names that a class takes as its own."""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Iterable
from pathlib import Path


def touched(file: Path) -> set[str]:
    """Private names that a module reads or writes on anything but `self` and `cls`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            match node.value:
                case ast.Name(id="self" | "cls"):
                    pass
                case _:
                    found.add(node.attr)
    return found


def own_names(kind: type) -> set[str]:
    """Names that a class's body gives to the class or to its instances; no parent's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of old escapes in strings
        (tree,) = ast.parse(inspect.getsource(kind)).body
    return _names_of(tree)


def _names_of(tree: ast.ClassDef) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), ctx=ast.Store()):
                found.add(node.attr)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(one.id for one in targets if isinstance(one, ast.Name))
    return found


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


class Inherited:
    """Private names that classes use on themselves and have from parents that are not ours."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._classes: dict[str, list[ast.ClassDef]] = {}
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    self._classes.setdefault(node.name, []).append(node)

    def found(self) -> set[tuple[str, str]]:
        """Of each such name the class that uses it, and the name."""
        ours = {kind: self._ours(kind) for kind in self._classes}
        return {
            (kind, node.attr)
            for kind, several in self._classes.items()
            for one in several
            for node in ast.walk(one)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "cls")
            and _is_private(node.attr)
            and node.attr not in ours[kind]
        }

    def _ours(self, kind: str, seen: frozenset[str] = frozenset()) -> set[str]:
        names: set[str] = set()
        for one in self._classes.get(kind, ()):
            names |= _names_of(one)
            for base in one.bases:
                plain = base.value if isinstance(base, ast.Subscript) else base
                parent = plain.attr if isinstance(plain, ast.Attribute) else plain.id
                if parent not in seen:
                    names |= self._ours(parent, seen | {kind})
        return names
