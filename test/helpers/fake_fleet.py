# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A fleet that exists in Redis alone, as bridges would write it: for tests, and by hand.

python test/helpers/fake_fleet.py redis://localhost:6379/0 50 20
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import redis

from redis_bridge.messages.definition import definition_text, parse_definition, type_hash
from redis_bridge.messages.types import Message
from redis_bridge.payloads import CODECS
from redis_bridge.protocol import keys
from redis_bridge.protocol.descriptions import (
    NameDescription,
    TypeDescription,
    marks_to_json,
)
from redis_bridge.protocol.fleet import LOST, ONLINE, RobotEvent
from redis_bridge.protocol.meta import Meta
from redis_bridge.protocol.robot_status import claim_fields, status_fields

LINE = '=' * 80
STAMP = f'{LINE}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n'
HEADER = f'{LINE}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n{STAMP}'
POSE = f"""{LINE}
MSG: geometry_msgs/Pose
geometry_msgs/Point position
geometry_msgs/Quaternion orientation
{LINE}
MSG: geometry_msgs/Point
float64 x
float64 y
float64 z
{LINE}
MSG: geometry_msgs/Quaternion
float64 x 0
float64 y 0
float64 z 0
float64 w 1
"""
TWIST = f"""{LINE}
MSG: geometry_msgs/Twist
geometry_msgs/Vector3 linear
geometry_msgs/Vector3 angular
{LINE}
MSG: geometry_msgs/Vector3
float64 x
float64 y
float64 z
"""
ODOMETRY = parse_definition(
    'nav_msgs/msg/Odometry',
    f"""std_msgs/Header header
string child_frame_id
geometry_msgs/PoseWithCovariance pose
geometry_msgs/TwistWithCovariance twist
{LINE}
MSG: geometry_msgs/PoseWithCovariance
geometry_msgs/Pose pose
float64[36] covariance
{LINE}
MSG: geometry_msgs/TwistWithCovariance
geometry_msgs/Twist twist
float64[36] covariance
{POSE}{TWIST}{HEADER}""",
)
POSE_STAMPED = parse_definition(
    'geometry_msgs/msg/PoseStamped',
    f'std_msgs/Header header\ngeometry_msgs/Pose pose\n{POSE}{HEADER}',
)
COMMAND = parse_definition(
    'geometry_msgs/msg/Twist',
    'geometry_msgs/Vector3 linear\ngeometry_msgs/Vector3 angular\n'
    f'{LINE}\nMSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n',
)
SCAN = parse_definition(
    'sensor_msgs/msg/LaserScan',
    f"""std_msgs/Header header
float32 angle_min
float32 angle_max
float32 angle_increment
float32 time_increment
float32 scan_time
float32 range_min
float32 range_max
float32[] ranges
float32[] intensities
{HEADER}""",
)
BATTERY = parse_definition(
    'sensor_msgs/msg/BatteryState', f'std_msgs/Header header\nfloat32 percentage\n{HEADER}'
)
GRID = parse_definition(
    'nav_msgs/msg/OccupancyGrid',
    f"""std_msgs/Header header
nav_msgs/MapMetaData info
int8[] data
{LINE}
MSG: nav_msgs/MapMetaData
builtin_interfaces/Time map_load_time
float32 resolution
uint32 width
uint32 height
geometry_msgs/Pose origin
{POSE}{HEADER}""",
)
# What each robot writes and reads: suffix, kind, whether it is read, type.
NAMES = (
    ('odom', 'channel', False, ODOMETRY),
    ('scan', 'channel', False, SCAN),
    ('battery', 'key', False, BATTERY),
    ('goal', 'channel', True, POSE_STAMPED),
    ('cmd_vel', 'channel', True, COMMAND),
)
TTL_MS = 6000
SPACE_M = 5.0  # between the circles of robots
SCAN_POINTS = 360
RADIUS_M = 3.0  # of the round wall that each robot sees, around the middle of its circle


class FakeFleet:
    """Robots that drive in circles; `beat` and `move` write what bridges would write now."""

    def __init__(self, client: redis.Redis, names: list[str], encoding: str = 'msgpack') -> None:
        self.names = names
        self.scans = True
        self._client = client
        self._encoding = encoding
        self._seq = 0
        self._since = time.time()
        self._columns = math.ceil(math.sqrt(len(names)))
        self._encode: dict[str, Callable[[Any, Meta | None], bytes]] = {
            message.name: CODECS[encoding].pack for *_, message in NAMES
        }

    def describe(self) -> None:
        """Describe all names, as bridges do at their start, and put the robots into the roster."""
        pipe = self._client.pipeline(transaction=False)
        for robot in self.names:
            marks: dict[str, list[str]] = {}
            for suffix, kind, is_read, message in NAMES:
                description = NameDescription(
                    f'{robot}:{suffix}', kind, is_read, self._encoding, None, described(message)
                )
                marks[description.name] = [description.mark()]
                self._write(pipe, description, robot)
            pipe.hset(keys.described_key(robot), 'names', marks_to_json(marks))
        pipe.execute()
        self.change(ONLINE, self.names)

    def map(self, name: str = 'map', size: int = 200) -> None:
        """Write an occupancy grid of a room with walls, as the first robot's bridge would."""
        robot = self.names[0]
        description = NameDescription(name, 'key', False, self._encoding, None, described(GRID))
        pipe = self._client.pipeline(transaction=False)
        self._write(pipe, description, robot)
        marks = {
            f'{robot}:{suffix}': [kind if not r else f'from_{kind}']
            for suffix, kind, r, _ in NAMES
        }
        pipe.hset(keys.described_key(robot), 'names', marks_to_json({**marks, name: ['key']}))
        side = self._columns * SPACE_M + 4
        cells = [room(column / size, row / size) for row in range(size) for column in range(size)]
        value = {
            'header': {'frame_id': 'map', 'stamp': {'sec': 0, 'nanosec': 0}},
            'info': {
                'map_load_time': {'sec': 0, 'nanosec': 0}, 'resolution': side / size,
                'width': size, 'height': size,
                'origin': pose(-SPACE_M / 2 - 2, -SPACE_M / 2 - 2, 0.0),
            },
            'data': cells,
        }  # fmt: skip
        pipe.set(name, CODECS[self._encoding].pack(value, None))
        pipe.execute()

    def change(self, event: str, robots: list[str]) -> None:
        """Write a change of the roster of each of these."""
        now = time.time()
        for robot in robots:
            text = RobotEvent(event, robot, 'fake', 'b007', round(now, 3)).to_json()
            self._client.hset(keys.FLEET, robot, text)
            self._client.publish(keys.FLEET, text)

    def lose(self, robot: str) -> None:
        """Have a robot's bridge die: its claim is gone, and another one has reported it."""
        self.names = [name for name in self.names if name != robot]
        self._client.delete(keys.robot_key(robot))
        self.change(LOST, [robot])

    def beat(self) -> None:
        """Write the heartbeat of each robot."""
        now = time.time()
        pipe = self._client.pipeline(transaction=False)
        for i, robot in enumerate(self.names):
            report = {'state': 'open', 'carried': self._seq, 'dropped': {}, 'rate_hz': 20.0}
            routes = {
                f'/{suffix} {"<-" if is_read else "->"} {kind} {robot}:{suffix}': json.dumps(
                    {
                        **report,
                        'route': f'/{suffix} {"<-" if is_read else "->"} {kind} {robot}:{suffix}',
                        'direction': 'redis_to_ros' if is_read else 'ros_to_redis',
                        'latency_ms': 0.4 + 0.1 * (i % 7),
                        'rate_hz': 0.0 if is_read else 20.0,
                        'dropped': {'too_old': i % 5} if is_read and i % 5 else {},
                    }
                )
                for suffix, kind, is_read, _ in NAMES
            }
            fields = {
                **claim_fields('b007', 'fake', 1, 'fake', self._since, now, 0.0),
                **status_fields({'writer': 'connected', 'channels': 'connected'}, routes),
            }
            pipe.hset(keys.robot_key(robot), mapping=fields)
            pipe.pexpire(keys.robot_key(robot), TTL_MS)
            battery = {'percentage': 0.15 + 0.8 * ((i * 37 % 50) / 50)}
            pipe.set(
                f'{robot}:battery', CODECS[self._encoding].pack(battery, self._meta(robot, now))
            )
        pipe.execute()

    def move(self, now: float | None = None) -> None:
        """Publish where each robot is, and what its laser sees."""
        now = time.time() if now is None else now
        self._seq += 1
        pipe = self._client.pipeline(transaction=False)
        for i, robot in enumerate(self.names):
            row, column = divmod(i, self._columns)
            angle = now * (0.25 + 0.03 * (i % 5)) + i
            radius = 0.8 + 0.25 * (i % 5)
            x = column * SPACE_M + radius * math.cos(angle)
            y = row * SPACE_M + radius * math.sin(angle)
            value = {
                'header': {'frame_id': 'map', 'stamp': {'sec': int(now), 'nanosec': 0}},
                'child_frame_id': f'{robot}/base_link',
                'pose': {'pose': pose(x, y, angle + math.pi / 2), 'covariance': [0.0] * 36},
                'twist': {'twist': TWIST_VALUE, 'covariance': [0.0] * 36},
            }
            meta = self._meta(robot, now)
            pipe.publish(f'{robot}:odom', CODECS[self._encoding].pack(value, meta))
            if self.scans and self._seq % 2 == 0:
                scan = seen(radius)
                pipe.publish(f'{robot}:scan', CODECS[self._encoding].pack(scan, meta))
        pipe.execute()

    def run(self, hz: float, seconds: float = math.inf) -> int:
        """Move so often, and beat twice a second; return how many times it moved too late."""
        late = 0
        begun = next_at = beat_at = time.monotonic()
        while next_at < begun + seconds:
            if next_at >= beat_at:
                self.beat()
                beat_at += 2.0
            self.move()
            next_at += 1 / hz
            wait_s = next_at - time.monotonic()
            late += wait_s < 0
            time.sleep(max(0.0, wait_s))
        return late

    def _meta(self, robot: str, now: float) -> Meta:
        return Meta(f'{robot}/b007', self._seq, now)

    @staticmethod
    def _write(pipe: Any, description: NameDescription, robot: str) -> None:
        pipe.hset(description.key(), mapping=description.fields(robot))
        if description.type is not None:
            pipe.hset(description.type.key(), mapping=description.type.fields())


TWIST_VALUE = {axis: {'x': 0.0, 'y': 0.0, 'z': 0.0} for axis in ('linear', 'angular')}


def described(message: Message) -> TypeDescription:
    """Return the description of a message type."""
    return TypeDescription(message.name, definition_text(message), type_hash(message))


def pose(x: float, y: float, yaw: float) -> dict[str, Any]:
    """Return a geometry_msgs/msg/Pose."""
    return {
        'position': {'x': x, 'y': y, 'z': 0.0},
        'orientation': {'x': 0.0, 'y': 0.0, 'z': math.sin(yaw / 2), 'w': math.cos(yaw / 2)},
    }


@lru_cache
def seen(radius: float) -> dict[str, Any]:
    """Return what a laser sees of a round wall, from anywhere on a circle around its middle."""
    step = 2 * math.pi / SCAN_POINTS
    ranges = []
    for i in range(SCAN_POINTS):
        # From (radius, 0), looking to `heading`; the robot looks along the circle.
        heading = math.pi / 2 + i * step
        along = radius * math.cos(heading)
        ranges.append(-along + math.sqrt(along**2 + RADIUS_M**2 - radius**2))
    return {
        'header': {'frame_id': 'laser', 'stamp': {'sec': 0, 'nanosec': 0}},
        'angle_min': 0.0, 'angle_max': 2 * math.pi, 'angle_increment': step,
        'time_increment': 0.0, 'scan_time': 0.1, 'range_min': 0.1, 'range_max': 12.0,
        'ranges': ranges, 'intensities': [],
    }  # fmt: skip


def room(u: float, v: float) -> int:
    """Return the cell of a room at a place from 0 to 1: 0 free, 100 occupied, -1 unknown."""
    if not (0.02 < u < 0.98 and 0.02 < v < 0.98):
        return -1
    if not (0.035 < u < 0.965 and 0.035 < v < 0.965):
        return 100
    is_wall = abs(u - 0.5) < 0.008 and not 0.4 < v < 0.6
    is_shelf = abs(v - 0.5) < 0.008 and (0.1 < u < 0.3 or 0.7 < u < 0.9)
    return 100 if is_wall or is_shelf else 0


if __name__ == '__main__':
    url, count, hz = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    with redis.Redis.from_url(url) as db:
        fleet = FakeFleet(db, [f'robot{i + 1}' for i in range(count)])
        fleet.describe()
        fleet.map()
        fleet.run(hz, float(sys.argv[4]) if len(sys.argv) > 4 else math.inf)
