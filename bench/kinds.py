# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The messages that are sent, and the time stamps that ride in them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.payloads import CODECS
from redis_bridge.ros_io import types

# Values in the place of a stamp until it is known, chosen so that they are found again.
SEC, NANOSEC = 305419896, 591751049
STAMP = {'sec': SEC, 'nanosec': NANOSEC}
TEXT = '@' * 20
NUMBER = 305419896.12345678

Encode = Callable[[int], bytes]  # a time in nanoseconds to the bytes that say it


@dataclass(frozen=True)
class Kind:
    """One kind of message: its type, its content, and where its stamp is."""

    name: str
    type: str
    value: dict[str, Any]
    stamp: str = 'header.stamp'
    arrays: str = 'list'
    is_large: bool = False  # beyond what Fast DDS's default shared memory carries
    first_hz: float = 16000  # where the search for the sustained rate begins

    def read_stamp(self, value: dict[str, Any]) -> int:
        """Return the nanoseconds of the stamp in a decoded message."""
        found: Any = value
        for part in self.stamp.split('.'):
            found = found[part]
        if isinstance(found, dict):
            return int(found['sec'] * 10**9 + found['nanosec'])
        if isinstance(found, float):
            return round(found * 1e9)
        return int(found[: len(TEXT)])


def _header(frame: str) -> dict[str, Any]:
    return {'stamp': STAMP, 'frame_id': frame}


def _scan(arrays: str) -> Kind:
    ranges = [math.inf if n % 9 == 0 else round(1 + 3 * math.sin(n / 50) ** 2, 3)
              for n in range(720)]  # fmt: skip
    return Kind(
        'LaserScan' if arrays == 'list' else 'LaserScan typed',
        'sensor_msgs/msg/LaserScan',
        {
            'header': _header('base_scan'),
            'angle_min': -math.pi, 'angle_max': math.pi, 'angle_increment': math.tau / 720,
            'range_min': 0.1, 'range_max': 30.0,
            'ranges': ranges,
            'intensities': [100.0 + n % 50 for n in range(720)],
        },
        arrays=arrays,
    )  # fmt: skip


_POSE_COVARIANCE = [0.01 if n % 7 == 0 else 0.0 for n in range(36)]

KINDS = {
    kind.name: kind
    for kind in (
        Kind('String', 'std_msgs/msg/String', {'data': TEXT + 'x' * 80}, stamp='data'),
        Kind(
            'Odometry',
            'nav_msgs/msg/Odometry',
            {
                'header': _header('odom'),
                'child_frame_id': 'base_link',
                'pose': {
                    'pose': {
                        'position': {'x': 1.25, 'y': -3.5, 'z': 0.0},
                        'orientation': {'x': 0.0, 'y': 0.0, 'z': 0.3826834, 'w': 0.9238795},
                    },
                    'covariance': _POSE_COVARIANCE,
                },
                'twist': {
                    'twist': {
                        'linear': {'x': 0.42, 'y': 0.0, 'z': 0.0},
                        'angular': {'x': 0.0, 'y': 0.0, 'z': -0.17},
                    },
                    'covariance': _POSE_COVARIANCE,
                },
            },
        ),
        Kind(
            'JointState',
            'sensor_msgs/msg/JointState',
            {
                'header': _header(''),
                'name': [f'panda_joint{n}' for n in range(1, 8)],
                'position': [0.1 * n for n in range(7)],
                'velocity': [0.01 * n for n in range(7)],
                'effort': [1.5 * n for n in range(7)],
            },
        ),
        _scan('list'),
        _scan('typed'),
        Kind(
            'Image',
            'sensor_msgs/msg/Image',
            {
                'header': _header('camera'),
                'height': 480, 'width': 640, 'encoding': 'rgb8', 'step': 1920,
                'data': bytes(range(256)) * 3600,
            },
            is_large=True,
            first_hz=240,
        ),
        Kind(
            'PointCloud2',
            'sensor_msgs/msg/PointCloud2',
            {
                'header': _header('lidar'),
                'height': 1, 'width': 65536, 'point_step': 16, 'row_step': 1 << 20,
                'fields': [
                    {'name': name, 'offset': 4 * n, 'datatype': 7, 'count': 1}
                    for n, name in enumerate(('x', 'y', 'z', 'intensity'))
                ],
                'data': bytes(range(256)) * 4096,
                'is_dense': True,
            },
            is_large=True,
            first_hz=240,
        ),
        Kind(
            'Twist',
            'geometry_msgs/msg/Twist',
            {
                'linear': {'x': NUMBER, 'y': 0.0, 'z': 0.0},
                'angular': {'x': 0.0, 'y': 0.0, 'z': 0.5},
            },
            stamp='linear.x',
        ),
    )
}  # fmt: skip


class Stamped:
    """A message serialized once, of which copies are made with the stamp of their moment."""

    def __init__(self, kind: Kind, encoding: str) -> None:
        if encoding == 'cdr':
            payload = cdr_write.writer(types.describe(types.load(kind.type)))(kind.value)
        else:  # as any program packs it
            payload = CODECS[encoding].pack(kind.value)
        self._payload = bytearray(payload)
        self._places: list[tuple[slice, Encode]] = []
        for marker, encode in _FORMS[kind.stamp.rpartition('.')[2], encoding]:
            start = payload.index(marker)
            self._places.append((slice(start, start + len(marker)), encode))

    def at(self, nanoseconds: int) -> bytes:
        """Return the message with a stamp."""
        for place, encode in self._places:
            self._payload[place] = encode(nanoseconds)
        return bytes(self._payload)


def _time(form: str) -> list[tuple[bytes, Encode]]:
    """Return the two parts of a builtin_interfaces/Time in a binary form."""
    return [
        (struct.pack(form, SEC), lambda ns: struct.pack(form, ns // 10**9)),
        (struct.pack(form, NANOSEC), lambda ns: struct.pack(form, ns % 10**9)),
    ]


_TEXT = [(TEXT.encode(), lambda ns: b'%020d' % ns)]
_FORMS: dict[tuple[str, str], list[tuple[bytes, Encode]]] = {
    ('stamp', 'cdr'): _time('<I'),
    ('stamp', 'msgpack'): _time('>I'),
    ('stamp', 'json'): [  # JSON allows spaces before a number
        (b'%d' % SEC, lambda ns: b'%9d' % (ns // 10**9)),
        (b'%d' % NANOSEC, lambda ns: b'%9d' % (ns % 10**9)),
    ],
    ('data', 'cdr'): _TEXT,
    ('data', 'msgpack'): _TEXT,
    ('data', 'json'): _TEXT,
    ('x', 'cdr'): [(struct.pack('<d', NUMBER), lambda ns: struct.pack('<d', ns / 1e9))],
    ('x', 'msgpack'): [(struct.pack('>d', NUMBER), lambda ns: struct.pack('>d', ns / 1e9))],
    ('x', 'json'): [
        (json.dumps(NUMBER).encode(), lambda ns: b'%*.6f' % (len(json.dumps(NUMBER)), ns / 1e9))
    ],
}


def stamp_reader(kind: Kind, encoding: str) -> Callable[[bytes], int]:
    """Return what reads the nanoseconds out of a payload of any encoder."""
    if encoding == 'cdr':
        read = cdr_read.reader(types.describe(types.load(kind.type)), fields=(kind.stamp,))
        return lambda payload: kind.read_stamp(read(payload))
    return lambda payload: kind.read_stamp(CODECS[encoding].unpack(payload)[0])
