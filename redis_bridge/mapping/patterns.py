# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Templates of names, such as `{robot}:odom`, and their captures."""

from __future__ import annotations

import re
from collections.abc import Mapping

from redis_bridge.errors import did_you_mean

_PLACE = re.compile(r'\{\{(?P<tag>[^{}]*)\}\}|\{(?P<plain>[^{}]*)\}|(?P<stray>[{}])')
_CAPTURE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*):(\*\*?)')


def captures(template: str) -> dict[str, str]:
    """Return a pattern's captures by name, each with its `*` (one token) or `**` (several)."""
    inside = (place['tag'] or place['plain'] or '' for place in _PLACE.finditer(template))
    return {match[1]: match[2] for match in map(_CAPTURE.fullmatch, inside) if match}


def expand(template: str, variables: Mapping[str, str]) -> str:
    """Return a template with its variables: `{x}` becomes the value of x, `{{x}}` that in braces.

    Raises ValueError with the reason if something else is in braces.
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
        return variables[name] if place['tag'] is None else '{' + variables[name] + '}'

    return _PLACE.sub(value, template)
