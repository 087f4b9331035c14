# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Names: which ones ROS and Redis take, what templates make of them, which the bridge writes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from redis_bridge.errors import InterfaceError, did_you_mean

PROTOCOL = 1  # of the payloads and of the hashes below; stands in the type and robot hashes

# --- the names that the bridge itself writes ---------------------------------------------------
PREFIX = 'redis_bridge:'


def type_key(type_name: str) -> str:
    """Return the hash that describes a message type: definition, type hash, protocol."""
    return f'{PREFIX}type:{type_name}'


def meta_key(name: str) -> str:
    """Return the hash that says what stands under a name that a route writes."""
    return f'{PREFIX}meta:{name}'


def robot_key(robot: str) -> str:
    """Return the hash that is a robot's claim on its name, its heartbeat and its status."""
    return f'{PREFIX}robot:{robot}'


def dead_stream(stream: str) -> str:
    """Return the stream that keeps the entries of `stream` which were given up."""
    return f'{stream}:dead'


# --- what a name may be ------------------------------------------------------------------------
# A topic as rmw wants it: https://design.ros2.org/articles/topic_and_service_names.html, except
# that doubled underscores, which rmw lets pass, are let pass here too.
TOPIC_MAX = 247  # rmw's RMW_TOPIC_MAX_NAME_LENGTH
REDIS_NAME_MAX = 512  # Redis takes far longer ones; nobody means them
ROBOT_MAX = 100

TOKEN = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')
_ROBOT = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*')
_PACKAGE = re.compile(r'[a-z][a-z0-9_]*')
_TYPE = re.compile(r'[A-Z][A-Za-z0-9_]*')
_FIELD_PATH = re.compile(r'[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*')
_CONTROL = re.compile(r'[\x00-\x1f\x7f]')


def topic_problem(name: str) -> str | None:
    """Tell what keeps `name` from being a ROS topic name; None if nothing does.

    A name without a leading '/' is relative to the namespace of the bridge's node.
    """
    if name.startswith('~'):
        return (
            f"expected a topic name, got {name!r}: the bridge's own node has no private "
            "topics to mirror, write the name from '/' on"
        )
    if not name:
        return 'expected a topic name, got an empty one'
    if name.endswith('/'):
        return f"a topic name does not end with '/': {name!r}"
    for token in name.removeprefix('/').split('/'):
        if not token:
            return f"a topic name has no '//': {name!r}"
        if token[0].isdigit():
            return f'no part of a topic name begins with a digit: {token!r} in {name!r}'
        if not TOKEN.fullmatch(token):
            return (
                'a topic name consists of letters, digits and underscores between slashes: '
                f'{token!r} in {name!r}'
            )
    if len(name) > TOPIC_MAX:
        return f'a topic name has at most {TOPIC_MAX} characters, this one has {len(name)}'
    return None


def redis_name_problem(name: str) -> str | None:
    """Tell what keeps `name` from being a key, stream or channel of a route; None if nothing."""
    if not name.strip():
        return 'expected a name, got an empty one'
    if name.startswith('__'):
        return f"names that begin with '__' belong to Redis: {name!r}"
    if name.startswith(PREFIX):
        return f'names under {PREFIX!r} belong to the bridge itself: {name!r}'
    if _CONTROL.search(name):
        return f'a name has no control characters: {name!r}'
    if len(name) > REDIS_NAME_MAX:
        return f'a name has at most {REDIS_NAME_MAX} characters, this one has {len(name)}'
    return None


def robot_problem(robot: str) -> str | None:
    """Tell what keeps `robot` from being a robot's name; None if nothing does."""
    if not _ROBOT.fullmatch(robot):
        return (
            "a robot's name consists of letters, digits, '_', '.' and '-' and does not begin with "
            f"'.' or '-', got {robot!r}"
        )
    if len(robot) > ROBOT_MAX:
        return f"a robot's name has at most {ROBOT_MAX} characters, this one has {len(robot)}"
    return None


def field_path_problem(path: str) -> str | None:
    """Tell what keeps `path` from being a dotted path to a field; None if nothing does."""
    if _FIELD_PATH.fullmatch(path):
        return None
    return f"expected a dotted path such as 'pose.position.x', got {path!r}"


def normal_type(text: str) -> str:
    """Return 'pkg/msg/Name' for 'pkg/Name'; full names of any kind are returned as they are.

    Raises InterfaceError for what cannot be the name of an interface.
    """
    parts = text.split('/')
    if len(parts) == 2:
        parts.insert(1, 'msg')
    good = (
        len(parts) == 3
        and _PACKAGE.fullmatch(parts[0])
        and parts[1] in ('msg', 'srv', 'action')
        and _TYPE.fullmatch(parts[2])
    )
    if not good:
        raise InterfaceError(f"expected a type such as 'std_msgs/msg/String', got {text!r}")
    return '/'.join(parts)


# --- templates ---------------------------------------------------------------------------------
_PLACE = re.compile(r'\{\{(?P<tag>[^{}]*)\}\}|\{(?P<plain>[^{}]*)\}|(?P<stray>[{}])')
_CAPTURE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*):(\*\*?)')


def captures(template: str) -> dict[str, str]:
    """Return a pattern's captures by name, each with its `*` (one token) or `**` (several)."""
    inside = (place['tag'] or place['plain'] or '' for place in _PLACE.finditer(template))
    return {match[1]: match[2] for match in map(_CAPTURE.fullmatch, inside) if match}


def expand(template: str, variables: Mapping[str, str]) -> str:
    """Put the variables into a template: `{x}` becomes x's value, `{{x}}` the value in braces.

    Raises ValueError, with the reason, for anything in braces that is no variable.
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
