# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds out which Redis names belong to which robot, from what bridges describe; without I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from redis_bridge.dashboard.readings import ODOMETRY, POSE, POSE_COVARIANCE, STOP, TAKEN
from redis_bridge.protocol.descriptions import NameInfo

Pair = tuple[str, str]  # a name and its kind

# Of several names with a pose, the first type counts: in a map rather than where wheels turned.
_BEST_POSE = (POSE_COVARIANCE, POSE, ODOMETRY)
# A channel brings each message without a further question; a key has what was sent once.
_EVENTS_FIRST = ('channel', 'key', 'hash', 'stream')
_STORED_FIRST = ('key', 'hash', 'channel', 'stream')
_PARTS = re.compile(r'[:/{}]+')


class Reading(NamedTuple):
    """A name to follow: what it tells, and of which robot."""

    section: str  # of TAKEN
    robot: str
    type: str


class Target(NamedTuple):
    """A name that takes commands for a robot."""

    name: str
    kind: str
    type: str


@dataclass
class Names:
    """All names that matter to the page."""

    readings: dict[Pair, Reading] = field(default_factory=dict)
    bridges: dict[str, str] = field(default_factory=dict)  # by robot
    goals: dict[str, Target] = field(default_factory=dict)  # by robot
    stops: dict[str, Target] = field(default_factory=dict)  # by robot


class _Candidate(NamedTuple):
    """One name as one kind; of several with one purpose the smallest is followed."""

    rank: int
    name: str
    kind: str
    type: str


def robot_of(name: str, bridge: str) -> str:
    """Return the robot that a name belongs to.

    It is the bridge, if its name is a part of this one or there are no parts. Else one bridge
    carries several robots, and the first part says which.
    """
    parts = [part for part in _PARTS.split(name) if part]
    is_named = re.search(f'(^|[:/{{]){re.escape(bridge)}($|[:/}}])', name)
    return bridge if is_named or len(parts) < 2 else parts[0]


def find_names(
    described: Mapping[str, Mapping[str, NameInfo]], unfit: Collection[Pair] = ()
) -> Names:
    """Return which names matter.

    :param described: what bridges say of their names, by bridge.
    :param unfit: names that turned out not to hold what they should.
    """
    found = Names()
    candidates: dict[tuple[str, ...], list[_Candidate]] = {}
    for bridge, infos in sorted(described.items()):
        for name, info in sorted(infos.items()):
            robot = robot_of(name, bridge)
            found.bridges.setdefault(robot, bridge)
            for section, candidate in _readable(name, info):
                if (name, candidate.kind) not in unfit:
                    grid = [name] if section == 'grid' else []  # all grids are followed
                    candidates.setdefault((section, robot, *grid), []).append(candidate)
            for kind, read in sorted(info.read_as.items()):
                target = Target(name, kind, read.type or '')
                if read.field is not None:
                    continue
                if read.type == POSE:
                    _choose(found.goals, robot, target, 'goal')
                elif read.type in STOP:
                    _choose(found.stops, robot, target, 'cmd_vel')
    for (section, robot, *_), several in candidates.items():
        best = min(several)
        found.readings[best.name, best.kind] = Reading(section, robot, best.type)
    return found


def _readable(name: str, info: NameInfo) -> Iterator[tuple[str, _Candidate]]:
    for kind, written in info.written_as.items():
        if written.type not in TAKEN:
            continue
        section, _ = TAKEN[written.type]
        if written.field is not None and (section, written.field) != ('battery', 'percentage'):
            continue
        kinds = _EVENTS_FIRST if section in ('pose', 'scan') else _STORED_FIRST
        rank = kinds.index(kind)
        if section == 'pose':
            is_goal = written.type == POSE and 'goal' in name
            rank += 10 * (len(_BEST_POSE) if is_goal else _BEST_POSE.index(written.type))
        yield section, _Candidate(rank, name, kind, written.type)


def _choose(chosen: dict[str, Target], robot: str, target: Target, usual: str) -> None:
    """Note a target of a robot; of several, the one with the usual name counts."""
    known = chosen.get(robot)
    if known is None or (usual in target.name and usual not in known.name):
        chosen[robot] = target
