# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A bridge without ROS in a process of its own, for tests of several bridges with one name.

Run as a program, it prints each number that it publishes, as 'channel 12'. Its topic /o has a
message every 20 ms, the process id.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import sys
import threading
from pathlib import Path

from fakes import FakeRos, MemoryPublisher
from message_types import SCALAR

from redis_bridge.bridge.bridge import Bridge
from redis_bridge.mapping import load as loading
from redis_bridge.mapping import topic_names
from redis_bridge.messages import cdr_write
from redis_bridge.ports import Publisher
from redis_bridge.redis_io.side import RedisSide, Timing

MAPPING = """\
version: 1
presence: {every_ms: EVERY_MS, ttl_ms: 1500}
ros_to_redis:
  - topic: /o
    type: pkg/Scalar
    field: data
    encoding: json
    to: {key: o, stream: os, channel: oc}
redis_to_ros:
  - {channel: c, topic: /channel, type: pkg/Scalar, field: data, encoding: json}
  - {key: k, topic: /key, type: pkg/Scalar, field: data, encoding: json}
  - {stream: s, topic: /stream, type: pkg/Scalar, field: data, encoding: json}
"""


class _Printed(MemoryPublisher):
    def publish(self, cdr: bytes) -> None:
        (number,) = struct.unpack('<d', cdr[4:12])
        os.write(1, f'{self.name[1:]} {int(number)}\n'.encode())  # whole lines, from any thread


class _Ros(FakeRos):
    def publisher(self, name: str, *how: object) -> Publisher:
        return _Printed(SCALAR, f'/{name.lstrip("/")}')

    def release(self, publisher: Publisher) -> None:
        pass


def main(url: str, folder: str, robot: str, every_ms: str) -> None:
    """Run until standard input ends."""
    file = Path(folder) / f'{os.getpid()}.yaml'
    file.write_text(MAPPING.replace('EVERY_MS', every_ms))
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    log = logging.getLogger('rival')
    mapping = loading.load(file, robot=robot, redis_url=url)
    redis_side = RedisSide(
        mapping.redis, mapping.robot, log=log, presence=mapping.presence, timing=Timing()
    )
    ros = _Ros(SCALAR)
    bridge = Bridge(
        mapping, ros, redis_side, log=log, resolve=topic_names.resolver(), distro='kilted'
    )
    receiver = ros.receiver('/o')
    receiver.opened(SCALAR)
    receiver.set_state('open')
    sample = cdr_write.writer(SCALAR)({'data': float(os.getpid())})
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with bridge:
        while not ended.wait(0.02):
            receiver.forward([sample])
        dropped = {route: report.dropped for route, report in bridge.report().items()}
    redis_side.close()
    os.write(1, f'report {json.dumps(dropped)}\n'.encode())


if __name__ == '__main__':
    main(*sys.argv[1:])
