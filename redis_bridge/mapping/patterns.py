# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Templates of names, such as `{robot}:odom`, and patterns, such as `/{name:*}/odom`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from redis_bridge.errors import did_you_mean
from redis_bridge.protocol import names

_PLACE = re.compile(r'\{\{(?P<tag>[^{}]*)\}\}|\{(?P<plain>[^{}]*)\}|(?P<stray>[{}])')
_CAPTURE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*):(\*\*?)')
SAMPLE = 'x'  # stands for what a capture may be
_GLOB_SPECIAL = re.compile(r'[*?\[\]\\]')


class Capture(NamedTuple):
    """A place of a pattern: one token of a ROS name, or several with slashes between them."""

    name: str
    is_many: bool
    is_tag: bool  # in double braces

    def __str__(self) -> str:
        return self.around(f'{{{self.name}:{"**" if self.is_many else "*"}}}')

    def around(self, value: str) -> str:
        """Return a value in its place."""
        return f'{{{value}}}' if self.is_tag else value

    def problem(self, value: str) -> str | None:
        """Return why a value is not what this captures; None if it is."""
        tokens = value.split('/') if self.is_many else [value]
        if all(map(names.TOKEN.fullmatch, tokens)):
            return None
        return (
            f'{{{self.name}}} is {value!r}, which is no part of a ROS name: it needs letters, '
            'digits and underscores, and does not begin with a digit'
        )


def captures(template: str) -> list[Capture]:
    """Return the captures of a pattern, in their order."""
    inside = [(place['tag'] or place['plain'] or '', place) for place in _PLACE.finditer(template)]
    found = [(_CAPTURE.fullmatch(text), place['tag'] is not None) for text, place in inside]
    return [Capture(match[1], match[2] == '**', is_tag) for match, is_tag in found if match]


def variables_in(template: str) -> set[str]:
    """Return what is in braces."""
    places = _PLACE.finditer(template)
    return {place['tag'] or place['plain'] or '' for place in places if not place['stray']}


def anonymous(template: str) -> str:
    """Return a template in which captures have no names, as those of another route may differ."""
    return re.sub(r'\{\w+\}', '{}', template)


def expand(template: str, variables: Mapping[str, str], *, is_topic: bool = False) -> str:
    """Return a template with its variables: `{x}` becomes the value of x, `{{x}}` that in braces.

    A capture becomes the value of its name, or stays if there is none. In topics, values that are
    names of robots become valid parts of a topic's name. Raises ValueError with the reason if
    something else is in braces.
    """
    return ''.join(map(str, _parts(template, variables, is_topic)))


def _parts(template: str, variables: Mapping[str, str], is_topic: bool) -> Iterator[str | Capture]:
    at = 0
    for place in _PLACE.finditer(template):
        yield template[at : place.start()]
        yield _value(template, place, variables, is_topic)
        at = place.end()
    yield template[at:]


def _value(
    template: str, place: re.Match[str], variables: Mapping[str, str], is_topic: bool
) -> str | Capture:
    if place['stray']:
        raise ValueError(f'unmatched {place["stray"]!r} in {template!r}')
    is_tag = place['tag'] is not None
    name = place['tag'] if is_tag else place['plain']
    if capture := _CAPTURE.fullmatch(name):
        name = capture[1]
        if name not in variables:
            return Capture(name, capture[2] == '**', is_tag)
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
    return '{' + text + '}' if is_tag else text


@dataclass(frozen=True)
class NamePattern:
    """Names in which captures stand for parts, such as `/{name:*}/odom` or `{name:*}:cmd_vel`.

    Slashes and colons separate parts: of what is between them, `*` captures all.
    """

    parts: tuple[str | Capture, ...]
    glob: str  # as PSUBSCRIBE takes it; it may match more
    _regex: re.Pattern[str]

    @classmethod
    def of(
        cls, template: str, variables: Mapping[str, str], *, is_topic: bool = False
    ) -> NamePattern:
        """Return the pattern of a template; raises ValueError as `expand` does."""
        glob = regex = ''
        parts = tuple(_parts(template, variables, is_topic))
        for part in parts:
            if isinstance(part, str):
                glob += _GLOB_SPECIAL.sub(r'\\\g<0>', part)
                regex += re.escape(part)
            else:
                value = '.+' if part.is_many else '[^/:]+'
                glob += part.around('*')
                regex += re.escape(part.around('\0')).replace(re.escape('\0'), f'({value})')
        return cls(parts, glob, re.compile(regex))

    def __str__(self) -> str:
        return ''.join(map(str, self.parts))

    @property
    def captures(self) -> list[Capture]:
        """The captures, in their order."""
        return [part for part in self.parts if isinstance(part, Capture)]

    def sample(self) -> str:
        """Return a name that matches."""
        return ''.join(
            part.around(SAMPLE) if isinstance(part, Capture) else part for part in self.parts
        )

    def may_match(self, name: str) -> bool:
        """Return whether a name matches, whatever is in the place of its captures."""
        return self._regex.fullmatch(name) is not None

    def match(self, name: str) -> dict[str, str] | None:
        """Return what a name has in the place of each capture; None if it does not match."""
        match = self._regex.fullmatch(name)
        if match is None:
            return None
        return {capture.name: value for capture, value in zip(self.captures, match.groups())}

    def check(self, captured: Mapping[str, str]) -> None:
        """Raise ValueError if what was captured is no part of a ROS name."""
        for capture in self.captures:
            if problem := capture.problem(captured[capture.name]):
                raise ValueError(problem)
