# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Mappings written in tests, and what their load returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_bridge.errors import MappingError
from redis_bridge.mapping import load as loading
from redis_bridge.mapping import schema
from redis_bridge.mapping.model import Mapping
from redis_bridge.mapping.plan import Plan, plan

CONFIG = Path(__file__).parents[2] / 'config'
INBOUND = 'channel: c, topic: /a, type: std_msgs/String'


def load(
    tmp_path: Path,
    text: str,
    *,
    robot: str | None = 'r1',
    environ: dict[str, str] | None = None,
    **options: Any,
) -> Mapping:
    """Return the mapping in a text."""
    file = tmp_path / 'm.yaml'
    file.write_text(text, encoding='utf-8')
    return loading.load(file, robot=robot, environ=environ or {}, **options)


def errors(tmp_path: Path, text: str, **options: Any) -> list[str]:
    """Return the errors of a mapping, without the folder of the file."""
    with pytest.raises(MappingError) as error:
        load(tmp_path, text, **options)
    assert str(error.value) == '\n'.join(map(str, error.value.errors))
    return [str(problem).replace(f'{tmp_path}/', '') for problem in error.value.errors]


def planned(tmp_path: Path, text: str, distro: str = 'kilted', **options: Any) -> Plan:
    """Return the plan of a mapping, whose version is left out of the text."""
    return plan(load(tmp_path, f'version: 1\n{text}', **options), distro)


def outbound(route: str, more: str = '') -> str:
    """Return a mapping of one outbound route, in flow style; the route is on line 3."""
    return f'version: 1\nros_to_redis:\n- {{{route}}}\n{more}'


def inbound(route: str, more: str = '') -> str:
    """Return a mapping of one inbound route, in flow style; the route is on line 3."""
    return f'version: 1\nredis_to_ros:\n- {{{route}}}\n{more}'


def properties(
    node: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield (path, schema) of all properties in the schema."""
    if '$ref' in node:
        node = schema.schema()['definitions'][node['$ref'].rsplit('/', 1)[1]]
    for name, inner in node.get('properties', {}).items():
        yield (*path, name), inner
        yield from properties(inner, (*path, name))
    if isinstance(node.get('items'), dict):
        yield from properties(node['items'], path)
