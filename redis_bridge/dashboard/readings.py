# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Takes from messages what the page draws; without I/O.

Values come from Redis, so that any field may be missing or of another type: then these functions
raise Unfit. None is returned for a message of the right shape that says nothing now, such as one
with NaN.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

ODOMETRY = 'nav_msgs/msg/Odometry'
POSE = 'geometry_msgs/msg/PoseStamped'
POSE_COVARIANCE = 'geometry_msgs/msg/PoseWithCovarianceStamped'
SCAN = 'sensor_msgs/msg/LaserScan'
BATTERY = 'sensor_msgs/msg/BatteryState'
GRID = 'nav_msgs/msg/OccupancyGrid'
TWIST = 'geometry_msgs/msg/Twist'
TWIST_STAMPED = 'geometry_msgs/msg/TwistStamped'

MOST_POINTS = 1500  # of a scan; of more, some are left out evenly
MOST_CELLS = 1 << 24  # of a grid; larger ones are not drawn
FARTHEST_CM = 20_000
FARTHEST_M = 1e7  # of a pose from the origin; beyond, it is no place


class Unfit(ValueError):
    """A value is no message of the expected type."""


class Grid(NamedTuple):
    """An occupancy grid: where it is, and its cells."""

    place: dict[str, Any]  # what the page needs to draw it
    cells: bytes  # zlib; a byte per cell, row by row from the origin: 0-100, or 255 for unknown


def pose(value: Any) -> dict[str, Any] | None:
    """Return `x`, `y` (m), `yaw` (rad) and `frame` of an Odometry or a stamped pose."""
    try:
        place = value['pose'].get('pose', value['pose'])
        x, y = (float(place['position'][axis]) for axis in 'xy')
        yaw = _yaw(place['orientation'])
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise Unfit(f'no pose: {error!r}') from None
    if not (abs(x) < FARTHEST_M and abs(y) < FARTHEST_M and math.isfinite(yaw)):
        return None
    return {'x': round(x, 3), 'y': round(y, 3), 'yaw': round(yaw, 4), 'frame': _frame(value)}


def scan(value: Any) -> dict[str, Any] | None:
    """Return `start` and `step` (rad) and `cm`: the distance of each point in cm, 0 for none."""
    try:
        start, step = float(value['angle_min']), float(value['angle_increment'])
        nearest, farthest = float(value['range_min']), float(value['range_max'])
        every = max(1, math.ceil(len(value['ranges']) / MOST_POINTS))
        ranges = [float(r) for r in value['ranges'][::every]]
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise Unfit(f'no laser scan: {error!r}') from None
    if not (math.isfinite(start) and math.isfinite(step)):
        return None
    cm = [_cm(r) if nearest <= r <= farthest else 0 for r in ranges]
    return {'start': round(start, 5), 'step': round(step * every, 7), 'cm': cm}


def battery(value: Any) -> dict[str, Any] | None:
    """Return `charge`, from 0 to 1, of a BatteryState, or of its field `percentage`."""
    try:
        charge = float(value['percentage'] if isinstance(value, dict) else value)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise Unfit(f'no state of a battery: {error!r}') from None
    return {'charge': round(charge, 3)} if math.isfinite(charge) else None


def grid(value: Any) -> Grid | None:
    """Return an OccupancyGrid."""
    try:
        info = value['info']
        width, height = int(info['width']), int(info['height'])
        resolution = float(info['resolution'])
        x, y = (float(info['origin']['position'][axis]) for axis in 'xy')
        yaw = _yaw(info['origin']['orientation'])
        is_drawn = 0 < width * height <= MOST_CELLS and width > 0 and 0 < resolution < FARTHEST_M
        cells = _bytes(value['data']) if is_drawn else b''
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise Unfit(f'no occupancy grid: {error!r}') from None
    if not is_drawn or len(cells) != width * height or not math.isfinite(x + y + yaw):
        return None
    place = {
        'width': width, 'height': height, 'resolution': resolution,
        'x': x, 'y': y, 'yaw': yaw, 'frame': _frame(value),
    }  # fmt: skip
    return Grid(place, zlib.compress(cells, 1))


# By the type of the message: the section of the page, and what takes it from a message.
TAKEN: dict[str, tuple[str, Callable[[Any], dict[str, Any] | Grid | None]]] = {
    POSE_COVARIANCE: ('pose', pose),
    POSE: ('pose', pose),
    ODOMETRY: ('pose', pose),
    SCAN: ('scan', scan),
    BATTERY: ('battery', battery),
    GRID: ('grid', grid),
}
# By the type of a command: the message that stops a robot.
_ZERO = {'linear': {'x': 0.0, 'y': 0.0, 'z': 0.0}, 'angular': {'x': 0.0, 'y': 0.0, 'z': 0.0}}
STOP = {TWIST: _ZERO, TWIST_STAMPED: {'twist': _ZERO}}


def goal(x: float, y: float, yaw: float, frame: str) -> dict[str, Any]:
    """Return a PoseStamped with the stamp 0, which is the latest transform for its reader."""
    return {
        'header': {'stamp': {'sec': 0, 'nanosec': 0}, 'frame_id': frame},
        'pose': {
            'position': {'x': x, 'y': y, 'z': 0.0},
            'orientation': {'x': 0.0, 'y': 0.0, 'z': math.sin(yaw / 2), 'w': math.cos(yaw / 2)},
        },
    }


def _yaw(q: Any) -> float:
    x, y, z, w = (float(q[part]) for part in 'xyzw')
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def _cm(meters: float) -> int:
    return min(int(meters * 100), FARTHEST_CM)


def _frame(value: Any) -> str:
    header = value.get('header')
    frame = header.get('frame_id') if isinstance(header, dict) else None
    return frame[:100] if isinstance(frame, str) else ''


def _bytes(cells: Sequence[int] | bytes) -> bytes:
    if isinstance(cells, (bytes, bytearray, memoryview)):
        return bytes(cells)
    return bytes([int(cell) & 255 for cell in cells])
