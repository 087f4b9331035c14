# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A bridge whose dead-man timeout guards the channel `c`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from fakes import FakeRos
from mappings import inbound, load
from message_types import SCALAR
from support import eventually

from redis_bridge import Client
from redis_bridge.bridge.bridge import Bridge
from redis_bridge.mapping import topic_names
from redis_bridge.messages import cdr_write
from redis_bridge.redis_io.side import RedisSide, Timing

AFTER_MS = 300  # without a command
LOG = logging.getLogger('redis_bridge.test')


def seconds_to_stop(folder: Path, url: str, fault: Callable[[], None]) -> float:
    """Return how long after a fault the stop message is published."""
    route = 'channel: c, topic: /speed, type: pkg/Scalar, encoding: json'
    text = inbound(
        f'{route}, stop: {{after_ms: {AFTER_MS}, message: {{}}}}',
        'presence: {every_ms: 300, ttl_ms: 1500}',
    )
    mapping = load(folder, text, redis_url=url)
    side = RedisSide(
        mapping.redis, mapping.robot, log=LOG, presence=mapping.presence, timing=Timing()
    )
    ros = FakeRos(SCALAR)
    stop = cdr_write.writer(SCALAR)({'data': 0.0})
    bridge = Bridge(mapping, ros, side, log=LOG, resolve=topic_names.resolver(), distro='kilted')
    with bridge, Client(url) as client:
        (publisher,) = ros.publishers.values()

        def command() -> int:
            client.publish('c', {'data': 1.0})
            return len(publisher.published) > 5

        eventually(command, every=0.02)
        fault()
        begun = time.monotonic()
        eventually(lambda: stop in publisher.published, every=0.005)
        took_s = time.monotonic() - begun
    side.close()
    return took_s
