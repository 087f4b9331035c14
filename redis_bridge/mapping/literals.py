# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Reads a value as people type it: JSON, or YAML with the scalars of YAML 1.2.

YAML 1.1, PyYAML's default, would read `on` as true, `1e-3` as text, 12:30 as 750 and a date as a
date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

from redis_bridge.errors import PayloadError

_TAG = 'tag:yaml.org,2002:'


def parse(text: str) -> Any:
    """Return the plain value of a JSON or YAML text; raises PayloadError."""
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except json.JSONDecodeError:
        pass  # then it is YAML, if anything
    except (ValueError, RecursionError) as error:
        raise _refusal(error) from None
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _refusal(error) from None


def _refusal(error: Exception) -> PayloadError:
    if isinstance(error, RecursionError):
        return PayloadError('the value is nested too deep')
    return PayloadError(f'the value is neither JSON nor YAML: {" ".join(str(error).split())}')


def _without_twins(pairs: list[tuple[Hashable, Any]]) -> dict:
    """Return the map of pairs whose keys are all texts, and different ones."""
    value: dict = {}
    for key, item in pairs:
        if not isinstance(key, str):
            raise ValueError(f'a name is a text, got {key!r}')
        if key in value:
            raise ValueError(f'the name {key!r} is written twice')
        value[key] = item
    return value


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the core schema: https://yaml.org/spec/1.2.2/#103-core-schema."""

    yaml_implicit_resolvers: dict = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        return _without_twins(
            [
                (self.construct_object(key, deep=True), self.construct_object(value, deep=True))
                for key, value in node.value
            ]
        )

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        return int(text, 0) if text[:2] in ('0o', '0x') else int(text)


_Loader.add_constructor(f'{_TAG}int', _Loader.construct_yaml_int)
for _name, _pattern, _first in (
    ('null', r'~|null|Null|NULL|', ['~', 'n', 'N', '']),
    ('bool', r'true|True|TRUE|false|False|FALSE', list('tTfF')),
    ('int', r'[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+', list('-+0123456789')),
    (
        'float',
        r'[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)'
        r'|\.(nan|NaN|NAN)',
        list('-+.0123456789'),
    ),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f'^(?:{_pattern})$'), _first)
