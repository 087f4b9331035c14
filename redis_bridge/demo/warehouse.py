# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The warehouse and its robots as plain data: two halls, and one corridor between them.

Lengths are in metres, angles in radians, times in seconds. The origin is in the middle of the
corridor, x points east and y north. All lanes are one-way, except the corridor:

    west hall, with the shelves       corridor        east hall, with the docks
    P2 ...  P1 ... <-----------------------------------------> D1 ... D2 ... D3
"""

from __future__ import annotations

from typing import NamedTuple


class RobotModel(NamedTuple):
    """What one robot is and can do: a round differential drive with a lidar all round."""

    radius: float = 0.2
    wheel_separation: float = 0.32
    wheel_radius: float = 0.06
    max_linear: float = 2.0  # metres a second
    max_angular: float = 3.0  # radians a second
    linear_acceleration: float = 3.0
    angular_acceleration: float = 12.0
    command_timeout: float = 0.6  # without a command for so long, it stops by itself
    beams: int = 240  # of the lidar, all round
    range_min: float = 0.1
    range_max: float = 7.0
    drain_per_metre: float = 0.007  # of the battery; 1.0 is full
    charge_per_second: float = 0.1


class Box(NamedTuple):
    """A solid box, seen from above."""

    west: float
    south: float
    east: float
    north: float


class Place(NamedTuple):
    """A point of the lanes where a robot has something to do."""

    kind: str  # pick | deliver | dock
    x: float
    y: float
    heading: float = 0.0


ROBOT = RobotModel()
FLOOR = Box(-8.6, -2.6, 8.6, 2.6)  # within the outer walls
CORRIDOR = Box(-1.8, -0.55, 1.8, 0.55)  # for one robot at a time
WALLS = (  # beside the corridor
    Box(CORRIDOR.west, CORRIDOR.north, CORRIDOR.east, FLOOR.north),
    Box(CORRIDOR.west, FLOOR.south, CORRIDOR.east, CORRIDOR.south),
)
SHELVES = (
    Box(-7.0, 0.25, -4.2, 0.95),
    Box(-7.0, -0.95, -4.2, -0.25),
    Box(4.0, -0.2, 7.3, 0.7),  # the chargers
)
SOLIDS = WALLS + SHELVES

_DOCKS_X = (4.2, 4.8, 5.4, 6.0, 6.6, 7.2)
PLACES = {
    'P1': Place('pick', -5.6, -1.7),
    'P2': Place('pick', -7.8, 0.0),
    'P3': Place('pick', -5.6, 1.7),
    'D1': Place('deliver', 5.0, 1.7),
    'D2': Place('deliver', 6.6, 1.7),
    'D3': Place('deliver', 7.8, 0.0),
    # One for each robot, where it charges, waits for work, and starts with its back to the wall.
    **{
        f'dock{i}': Place('dock', x, -0.75, -1.5707963267948966) for i, x in enumerate(_DOCKS_X, 1)
    },
}
MAX_ROBOTS = len(_DOCKS_X)

WAYPOINTS = {
    **{name: (place.x, place.y) for name, place in PLACES.items()},
    # East: out of the corridor, around, and back to where one waits for it.
    'out_east': (2.2, 0.1),
    'clear_east': (2.7, 0.9),
    'northeast': (3.4, 1.7),
    'corner_ne': (7.8, 1.7),
    'corner_se': (7.8, -1.7),
    **{f'lane{i}': (x, -1.7) for i, x in enumerate(_DOCKS_X, 1)},
    'southeast': (3.3, -1.7),
    'wait_east': (3.3, 0.0),
    # West: the same, turned by half a circle.
    'out_west': (-2.2, -0.1),
    'clear_west': (-2.7, -0.9),
    'southwest': (-3.4, -1.7),
    'corner_sw': (-7.8, -1.7),
    'corner_nw': (-7.8, 1.7),
    'northwest': (-3.3, 1.7),
    'wait_west': (-3.3, 0.0),
}
# Lanes as chains of waypoints, in the direction of the traffic.
_CHAINS = (
    ('wait_west', 'out_east', 'clear_east', 'northeast', 'D1', 'D2', 'corner_ne', 'D3'),
    ('D3', 'corner_se', 'lane6', 'lane5', 'lane4', 'lane3', 'lane2', 'lane1', 'southeast'),
    ('southeast', 'wait_east', 'out_west', 'clear_west', 'southwest', 'P1', 'corner_sw', 'P2'),
    ('P2', 'corner_nw', 'P3', 'northwest', 'wait_west'),
    *((f'lane{i}', f'dock{i}', f'lane{i}') for i in range(1, MAX_ROBOTS + 1)),
)
LANES = tuple(lane for chain in _CHAINS for lane in zip(chain, chain[1:]))
# The lanes through the corridor, and the waypoint at which a robot has left it for good.
CORRIDOR_LANES = {('wait_west', 'out_east'): 'clear_east', ('wait_east', 'out_west'): 'clear_west'}

START_CHARGES = (0.95, 0.6, 0.75)  # of the batteries, in turn: so one soon charges


def robot_names(robots: int) -> tuple[str, ...]:
    """Return the names of that many robots."""
    return tuple(f'robot{i}' for i in range(1, robots + 1))


def dock_of(robot: str) -> str:
    """Return the name of a robot's own dock; ValueError for a name that no robot has here."""
    dock = robot.replace('robot', 'dock')
    if dock not in PLACES or dock == robot:
        names = robot_names(MAX_ROBOTS)
        raise ValueError(f'expected a robot from {names[0]} to {names[-1]}, got {robot!r}')
    return dock


def nearest_place(x: float, y: float) -> str:
    """Return the name of the place nearest to a point."""
    return min(PLACES, key=lambda name: (PLACES[name].x - x) ** 2 + (PLACES[name].y - y) ** 2)
