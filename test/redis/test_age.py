# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Commands are never older than `max_age_ms`, however slow the link to the server is."""

from __future__ import annotations

import logging
import time

import pytest
from fakes import MemoryPublisher
from samples import NUMBER
from servers import all_connected
from support import eventually

from redis_bridge.bridge.inbound import InboundRoute
from redis_bridge.mapping.model import ChannelSourceConfig, Heartbeat, RedisToRos
from redis_bridge.messages import cdr_read
from redis_bridge.payloads import CODECS
from redis_bridge.protocol.meta import Meta
from redis_bridge.redis_io.side import Timing

MAX_AGE_MS = 100


FRESH, OLD = 1.0, 2.0


@pytest.fixture
def route(proxy, redis_side_at):
    """Return a started route whose answers from the server take 0.15 s."""
    proxy.delay_back_s = 0.15
    side = redis_side_at(proxy.url, timing=Timing(), presence=Heartbeat())
    config = RedisToRos(
        where='test.yaml:1', source=ChannelSourceConfig('c'), topic='/n', type=NUMBER.name,
        max_age_ms=MAX_AGE_MS,
    )  # fmt: skip
    route = InboundRoute(
        config, MemoryPublisher(NUMBER), side, logging.getLogger('test'),
        ros_now=lambda: (0, 0), dead_man=None, is_new=None, clock=time.monotonic,
    )  # fmt: skip
    side.want([route.request])
    side.start(dict)
    eventually(lambda: all_connected(side))
    return route


def send(db, number=FRESH, age_s=0.0):
    """Publish a command of this age by the server's clock."""
    seconds, micros = db.time()
    meta = Meta('laptop/1', 0, seconds + micros / 1e6 - age_s)
    assert db.publish('c', CODECS['msgpack'].pack({'data': number}, meta)) == 1


def published(route):
    read = cdr_read.reader(NUMBER)
    return [read(message)['data'] for message in route.publisher.published]


def test_no_command_passes_that_took_too_long_to_come(db, proxy, route):
    for _ in range(50):
        send(db)
        time.sleep(0.01)  # the rate of the commands
    eventually(lambda: route.report().dropped == {'too_old': 50})
    assert published(route) == []


def test_after_a_slow_answer_no_older_one_passes_either(db, proxy, route):
    proxy.delay_back_s = 0.0

    def passes() -> bool:
        send(db, OLD, MAX_AGE_MS / 1000 + 0.01)
        send(db)
        return FRESH in published(route)

    eventually(passes, every=0.05)  # once the clock was measured over the fast link
    for _ in range(10):
        passes()
    eventually(lambda: published(route).count(FRESH) > 10)
    assert OLD not in published(route)
