# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Full names of topics, as ROS makes them of a namespace and remappings.

See https://design.ros2.org/articles/static_remapping.html; the bridge itself asks rcl.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Resolve = Callable[[str], str]  # a topic's name in the mapping to its full name


def resolver(namespace: str = '/', remaps: Iterable[tuple[str, str]] = ()) -> Resolve:
    """Return what makes full names; the first remapping of a topic holds, as in ROS.

    :param remaps: the names before and after, each relative to the namespace or full.
    """
    prefix = '/' + namespace.strip('/')

    def full(name: str) -> str:
        return name if name.startswith('/') else f'{prefix.rstrip("/")}/{name}'

    renamed: dict[str, str] = {}
    for before, after in remaps:
        renamed.setdefault(full(before), full(after))
    return lambda topic: renamed.get(full(topic), full(topic))
