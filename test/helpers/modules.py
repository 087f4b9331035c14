# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The modules of the package, and what each of them imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import redis_bridge

ROOT = Path(redis_bridge.__file__).parent
NAME = ROOT.name


class Import(NamedTuple):
    """One name that a module imports, in full, and the outermost function in which it does so.

    A method is named with its class: `Run.run`.
    """

    name: str
    function: str
    line: int
    for_types: bool  # under `if TYPE_CHECKING`


def modules() -> list[Path]:
    """Return all modules of the package."""
    return sorted(ROOT.rglob('*.py'))


def module_name(path: Path) -> str:
    """Return the dotted name of a module of this package."""
    parts = (NAME, *path.relative_to(ROOT).with_suffix('').parts)
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(path: Path) -> Iterator[Import]:
    """Yield all that a module imports, whether at its top, in a function or for type checks."""

    def visit(node: ast.AST, owner: str, function: str, for_types: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, function, node.lineno, for_types)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: a relative import'
            for alias in node.names:
                name = f'{node.module}.{alias.name}' if is_module(node, alias) else node.module
                yield Import(name or '', function, node.lineno, for_types)
        if isinstance(node, ast.ClassDef):
            owner = f'{node.name}.'
        if isinstance(node, ast.FunctionDef):
            function = function or f'{owner}{node.name}'
        if isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test):
            for_types = True
        for child in ast.iter_child_nodes(node):
            yield from visit(child, owner, function, for_types)

    yield from visit(ast.parse(path.read_text(encoding='utf-8')), '', '', False)


def is_module(node: ast.ImportFrom, alias: ast.alias) -> bool:
    """Whether `from redis_bridge import x` names a module of ours."""
    folder = ROOT.parent.joinpath(*(node.module or '').split('.'))
    return (folder / f'{alias.name}.py').is_file() or (folder / alias.name).is_dir()
