# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Valid names of topics, Redis names, robots, fields and message types."""

from __future__ import annotations

import re

from redis_bridge.errors import InterfaceError
from redis_bridge.protocol.keys import PREFIX

# Topics follow https://design.ros2.org/articles/topic_and_service_names.html, except that two
# underscores in a row are valid, because rmw accepts them.
TOPIC_MAX = 247  # rmw's RMW_TOPIC_MAX_NAME_LENGTH
REDIS_NAME_MAX = 512  # Redis takes far longer names, but nobody needs them
ROBOT_MAX = 100

TOKEN = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')
_ROBOT = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*')
_PACKAGE = re.compile(r'[a-z][a-z0-9_]*')
_TYPE = re.compile(r'[A-Z][A-Za-z0-9_]*')
_FIELD_PATH = re.compile(r'[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*')
_CONTROL = re.compile(r'[\x00-\x1f\x7f]')


def topic_problem(name: str) -> str | None:
    """Return why `name` is not a ROS topic name; None if it is one.

    A name without a leading '/' is relative to the namespace of the bridge's node.
    """
    if name.startswith('~'):
        return (
            f"expected a topic name, got {name!r}: the bridge's own node has no private "
            "topics, write the full name, from '/' on"
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


def hash_tag(name: str) -> str:
    """Return the part of a name that decides on its slot in a Redis Cluster."""
    _, opened, rest = name.partition('{')
    tag, closed, _ = rest.partition('}')
    return tag if opened and closed and tag else name


def slot_problem(name: str, other: str) -> str | None:
    """Return why a Redis Cluster cannot change two names at once; None if it can."""
    if hash_tag(name) == hash_tag(other):
        return None
    return (
        f'in a cluster, {name!r} and {other!r} must be in one slot: give the name a hash tag, '
        f'such as {{{name}}}; in a mapping, that is a variable in double braces'
    )


def redis_name_problem(name: str) -> str | None:
    """Return why `name` is not a valid key, stream or channel; None if it is."""
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


def redis_name(name: bytes) -> str | None:
    """Return a name that was found in Redis; None if no route may have it."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return None
    return text if redis_name_problem(text) is None else None


def robot_problem(robot: str) -> str | None:
    """Return why `robot` is not a robot's name; None if it is."""
    if not _ROBOT.fullmatch(robot):
        return (
            "a robot's name consists of letters, digits, '_', '.' and '-' and does not begin with "
            f"'.' or '-', got {robot!r}"
        )
    if len(robot) > ROBOT_MAX:
        return f"a robot's name has at most {ROBOT_MAX} characters, this one has {len(robot)}"
    return None


def topic_token(robot: str) -> str:
    """Return a robot's name as a token of topics: `tb3-1` is `tb3_1`, `4wd` is `_4wd`."""
    token = re.sub('[.-]', '_', robot)
    return f'_{token}' if token[:1].isdigit() else token


def frame_prefix_problem(prefix: str) -> str | None:
    """Return why `prefix` cannot be before the names of coordinate frames; None if it can."""
    if prefix.startswith('/'):
        return f"names of frames do not begin with '/', got {prefix!r}"
    if prefix[-1:].isalnum():
        return (
            f"expected a prefix that ends with '/' or '_', got {prefix!r}: else the frames of "
            'robot1 and robot10 could be taken for one another'
        )
    if _CONTROL.search(prefix):
        return f'the name of a frame has no control characters: {prefix!r}'
    return None


def field_path_problem(path: str) -> str | None:
    """Return why `path` is not a dotted path to a field; None if it is."""
    if _FIELD_PATH.fullmatch(path):
        return None
    return f"expected a dotted path such as 'pose.position.x', got {path!r}"


def normal_type(text: str) -> str:
    """Return 'pkg/msg/Name' for 'pkg/Name'; full names of any kind are returned as they are.

    Raises InterfaceError if `text` is not the name of an interface.
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
