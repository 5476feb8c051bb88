"""Private names of others that a source file touches, and names that a class takes as its own."""

from __future__ import annotations

import ast
import inspect
import warnings
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
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
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
