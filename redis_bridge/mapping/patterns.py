# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Templates of names, such as `{robot}:odom`, and their captures."""

from __future__ import annotations

import re
from collections.abc import Mapping

from redis_bridge.errors import did_you_mean
from redis_bridge.protocol import names

_PLACE = re.compile(r'\{\{(?P<tag>[^{}]*)\}\}|\{(?P<plain>[^{}]*)\}|(?P<stray>[{}])')
_CAPTURE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*):(\*\*?)')


def captures(template: str) -> dict[str, str]:
    """Return a pattern's captures by name, each with its `*` (one token) or `**` (several)."""
    inside = (place['tag'] or place['plain'] or '' for place in _PLACE.finditer(template))
    return {match[1]: match[2] for match in map(_CAPTURE.fullmatch, inside) if match}


def variables_in(template: str) -> set[str]:
    """Return what is in braces."""
    places = _PLACE.finditer(template)
    return {place['tag'] or place['plain'] or '' for place in places if not place['stray']}


def expand(template: str, variables: Mapping[str, str], *, is_topic: bool = False) -> str:
    """Return a template with its variables: `{x}` becomes the value of x, `{{x}}` that in braces.

    In topics, values that are names of robots become valid parts of a topic's name. Raises
    ValueError with the reason if something else is in braces.
    """

    def value(place: re.Match[str]) -> str:
        if place['stray']:
            raise ValueError(f'unmatched {place["stray"]!r} in {template!r}')
        name = place['plain'] if place['tag'] is None else place['tag']
        if name not in variables:
            known = ', '.join(sorted(variables)) or 'none'
            raise ValueError(
                f'unknown variable {{{name}}} in {template!r}'
                f'{did_you_mean(name, variables)} (known: {known})'
            )
        text = variables[name]
        if is_topic and names.robot_problem(text) is None:
            begins_token = template[: place.start()][-1:] in ('', '/')
            text = names.topic_token(text) if begins_token else names.topic_token(f'x{text}')[1:]
        return text if place['tag'] is None else '{' + text + '}'

    return _PLACE.sub(value, template)
