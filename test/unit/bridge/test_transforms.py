# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Transforms of several publishers, of which the rate limit keeps the newest of each frame."""

import json
import logging

import pytest
from fakes import FakeClock, FakeRedis
from message_types import LINE, TF_MESSAGE
from samples import NUMBER, STAMPED

from redis_bridge.bridge import transforms
from redis_bridge.bridge.outbound import LastValue, OutboundRoute
from redis_bridge.bridge.transforms import Transforms
from redis_bridge.errors import PayloadError
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    FramePrefix,
    HashSinkConfig,
    KeySinkConfig,
    RosToRedis,
    StreamSinkConfig,
)
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.messages.definition import parse_definition

CHANNEL = ChannelSinkConfig('c', encoding='json')
KEY = KeySinkConfig('k', encoding='json')


def tf(**frames):
    """Return a TFMessage with, by child frame, the x of its transform."""
    return cdr_write.writer(TF_MESSAGE)(
        {
            'transforms': [
                {
                    'header': {'frame_id': 'odom'},
                    'child_frame_id': child,
                    'transform': {'translation': {'x': float(x)}},
                }
                for child, x in frames.items()
            ]
        }
    )


def frames_in(value):
    return {
        each['child_frame_id']: each['transform']['translation']['x']
        for each in value['transforms']
    }


def read(cdr):
    return frames_in(cdr_read.reader(TF_MESSAGE)(cdr))


class Outbound:
    """A route from /tf with 10 messages per second, over sinks that keep what they get."""

    def __init__(self, *sinks, message=TF_MESSAGE, mirror=None, max_rate_hz=10, **options):
        self.clock = FakeClock()
        self.redis = FakeRedis()
        self.route = OutboundRoute(
            RosToRedis('m:1', '/tf', sinks, max_rate_hz=max_rate_hz, **options),
            self.redis,
            self.clock.call_at,
            logging.getLogger('test'),
            mirror=mirror,
            on_opened=lambda: None,
            clock=self.clock,
        )
        self.route.opened(message)

    def carry(self, *messages):
        self.route.forward(list(messages))

    @property
    def sent(self):
        (sink,) = self.redis.sinks.values()
        return [frames_in(json.loads(payload)) for payload in sink.payloads]

    @property
    def dropped(self):
        return self.route.report().dropped


# The collection


def test_the_newest_of_each_frame_is_kept_and_the_others_are_counted():
    found = Transforms.of(TF_MESSAGE)
    assert not found.waits
    assert found.add(tf(a=1, b=2)) == 0
    assert found.add(tf(b=3, c=4)) == 1
    assert found.add(tf()) == 0
    assert found.waits
    assert read(found.take()) == {'a': 1, 'b': 3, 'c': 4}
    assert not found.waits
    assert read(found.take()) == {}


def test_of_a_frame_that_a_message_has_twice_the_last_counts():
    found = Transforms.of(TF_MESSAGE)
    value = {
        'transforms': [
            {'child_frame_id': name, 'transform': {'translation': {'x': x}}}
            for name, x in (('a', 1.0), ('/a', 2.0))
        ]
    }
    assert found.add(cdr_write.writer(TF_MESSAGE)(value)) == 1
    assert read(found.take()) == {'/a': 2.0}


def test_a_broken_message_changes_nothing():
    found = Transforms.of(TF_MESSAGE)
    found.add(tf(a=1))
    whole = tf(b=2, c=3)
    for broken in (whole[:-1], whole.replace(b'c\0', b'\xff\0'), b''):
        with pytest.raises(PayloadError):
            found.add(broken)
    assert read(found.take()) == {'a': 1}


def test_the_number_of_frames_is_bounded(monkeypatch):
    monkeypatch.setattr(transforms, 'MOST', 3)
    found = Transforms.of(TF_MESSAGE)
    assert found.add(tf(a=1, b=2, c=3)) == 0
    assert found.add(tf(a=4, d=5)) == 2
    assert read(found.take()) == {'c': 3, 'a': 4, 'd': 5}


@pytest.mark.parametrize('message', [NUMBER, STAMPED], ids=str)
def test_other_types_are_not_collected(message):
    assert Transforms.of(message) is None


def test_a_type_of_the_same_shape_is_collected():
    text = f'pkg/Pair[] pairs\n{LINE}\nMSG: pkg/Pair\nstring child_frame_id\nuint8 x'
    message = parse_definition('pkg/msg/Pairs', text)
    found = Transforms.of(message)
    write = cdr_write.writer(message)
    for pairs in ([('a', 1), ('bcd', 2)], [('a', 3), ('ef', 4)]):
        found.add(write({'pairs': [{'child_frame_id': name, 'x': x} for name, x in pairs]}))
    got = cdr_read.reader(message)(found.take())['pairs']
    assert [(pair['child_frame_id'], pair['x']) for pair in got] == [
        ('bcd', 2),
        ('a', 3),
        ('ef', 4),
    ]


# The route


def test_the_rate_limit_sends_the_newest_of_each_frame_when_it_is_due():
    outbound = Outbound(CHANNEL)
    outbound.carry(tf(base=0))
    for step in range(1, 5):
        outbound.clock.move(0.02)
        outbound.carry(tf(base=step))
        outbound.carry(tf(wheel=10 * step))
    assert outbound.sent == [{'base': 0}]
    outbound.clock.move(0.03)
    assert outbound.sent == [{'base': 0}, {'base': 4, 'wheel': 40}]
    assert outbound.dropped == {'over_rate': 6}
    outbound.clock.move(1)
    assert len(outbound.sent) == 2


def test_what_waits_goes_along_with_a_message_that_comes_when_it_is_due():
    outbound = Outbound(CHANNEL)
    outbound.carry(tf(base=0), tf(wheel=1))
    outbound.clock.now += 0.2  # and the timer is late
    outbound.carry(tf(base=2))
    assert outbound.sent == [{'base': 0}, {'wheel': 1, 'base': 2}]
    outbound.clock.move(0.05)
    outbound.carry(tf(base=3))
    assert len(outbound.sent) == 2
    outbound.clock.move(0.05)
    assert outbound.sent[2:] == [{'base': 3}]


def test_nodes_with_different_rates_all_come_through():
    outbound = Outbound(CHANNEL)
    published = {'fast': 0, 'slow': 0}
    for step in range(1000):
        published['fast'] += 1
        outbound.carry(tf(fast=published['fast']))
        if step % 25 == 0:
            published['slow'] += 1
            outbound.carry(tf(slow=published['slow']))
        outbound.clock.move(0.01)
    outbound.clock.move(1)
    assert 100 <= len(outbound.sent) <= 102
    slow = [frames['slow'] for frames in outbound.sent if 'slow' in frames]
    assert slow == [float(n) for n in range(1, 41)]
    fast = [frames['fast'] for frames in outbound.sent if 'fast' in frames]
    assert fast[-1] == 1000
    sent = sum(len(frames) for frames in outbound.sent)
    assert sent + outbound.dropped['over_rate'] == sum(published.values())


@pytest.mark.parametrize('sink', [CHANNEL, StreamSinkConfig('s', 'json')])
def test_a_batch_loses_no_frame(sink):
    outbound = Outbound(sink)
    outbound.carry(tf(a=0), tf(b=1), tf(c=2), tf(b=3))
    outbound.clock.move(0.1)
    assert outbound.sent == [{'a': 0}, {'c': 2, 'b': 3}]
    assert outbound.dropped == {'over_rate': 1}


def test_without_a_rate_each_message_goes_as_it_is():
    outbound = Outbound(CHANNEL, max_rate_hz=None)
    outbound.carry(tf(a=0), tf(a=1, b=2))
    assert outbound.sent == [{'a': 0}, {'a': 1, 'b': 2}]


def test_a_prefix_comes_first():
    outbound = Outbound(CHANNEL, frames=FramePrefix('robot1/'))
    outbound.carry(
        tf(a=0),
        tf(b=1),
        tf(c=2),
        cdr_write.writer(TF_MESSAGE)(
            {'transforms': [{'child_frame_id': '/c', 'transform': {'translation': {'x': 3}}}]}
        ),
    )
    outbound.clock.move(0.1)
    assert outbound.sent == [{'robot1/a': 0}, {'robot1/b': 1, 'robot1/c': 3}]


def test_broken_messages_are_counted_and_hold_nothing_up():
    outbound = Outbound(CHANNEL)
    outbound.carry(tf(a=0), b'bad', tf(b=1), b'bad', tf(c=2)[:-1], tf(d=3))
    outbound.clock.move(0.1)
    outbound.carry(b'bad')
    outbound.clock.move(0.1)
    assert outbound.sent == [{'a': 0}, {'b': 1, 'd': 3}]
    assert outbound.dropped == {'bad_payload': 4}


def test_a_broken_message_that_comes_when_it_is_due_takes_nothing_with_it():
    outbound = Outbound(CHANNEL)
    outbound.carry(tf(a=0), tf(b=1))
    outbound.clock.now += 0.2
    outbound.carry(b'bad')
    outbound.clock.move(0.2)
    assert outbound.sent == [{'a': 0}, {'b': 1}]


def test_closing_sends_what_waits():
    outbound = Outbound(CHANNEL)
    outbound.carry(tf(a=0), tf(b=1), tf(c=2))
    outbound.route.close()
    assert outbound.sent == [{'a': 0}, {'b': 1, 'c': 2}]


def test_on_change_compares_what_is_sent():
    outbound = Outbound(CHANNEL, on_change=True)
    outbound.carry(tf(a=0))
    outbound.carry(tf(a=0))
    assert outbound.dropped == {'unchanged': 1}
    outbound.carry(tf(b=1))
    outbound.carry(tf(a=0))  # beside b it is sent again
    outbound.clock.move(0.1)
    assert outbound.sent == [{'a': 0}, {'b': 1, 'a': 0}]
    outbound.clock.move(0.1)
    outbound.carry(tf(b=1, a=0))
    assert outbound.dropped == {'unchanged': 2}


def test_what_waits_ends_with_its_type():
    outbound = Outbound(CHANNEL)
    outbound.carry(tf(a=0), tf(b=1))
    outbound.route.opened(NUMBER)
    outbound.clock.move(1)
    assert outbound.sent == [{'a': 0}]


# Keys and hashes alone


@pytest.mark.parametrize('max_rate_hz', [None, 10])
def test_a_key_has_the_newest_of_all_frames(max_rate_hz):
    outbound = Outbound(KEY, max_rate_hz=max_rate_hz)
    outbound.carry(tf(a=0), tf(b=1))
    outbound.carry(tf(a=2))
    outbound.clock.move(0.1)
    assert outbound.sent[0] == {'a': 0}
    assert outbound.sent[-1] == {'b': 1, 'a': 2}
    outbound.clock.move(1000)
    outbound.carry(tf(c=3))
    assert outbound.sent[-1] == {'b': 1, 'a': 2, 'c': 3}
    accounted = len(outbound.sent) + sum(outbound.dropped.values())
    assert accounted == 4


def test_a_hash_has_them_too():
    outbound = Outbound(HashSinkConfig('h'))
    outbound.carry(tf(a=0))
    outbound.clock.move(0.1)
    outbound.carry(tf(b=1))
    payloads = outbound.redis.sinks['h'].payloads
    assert frames_in({'transforms': json.loads(payloads[-1]['transforms'])}) == {'a': 0, 'b': 1}


def test_a_key_beside_a_channel_has_what_the_channel_has():
    outbound = Outbound(KEY, CHANNEL, max_rate_hz=None)
    outbound.carry(tf(a=0), tf(b=1))
    for sink in outbound.redis.sinks.values():
        assert [frames_in(json.loads(payload)) for payload in sink.payloads] == [
            {'a': 0},
            {'b': 1},
        ]


def test_a_broken_message_leaves_the_key_as_it_is():
    outbound = Outbound(KEY, max_rate_hz=None)
    outbound.carry(tf(a=0), tf(b=1)[:-1], tf(c=2))
    assert outbound.sent == [{'a': 0}, {'a': 0, 'c': 2}]
    assert outbound.dropped == {'bad_payload': 1}


def test_on_change_a_latched_message_that_comes_again_is_not_written_again():
    outbound = Outbound(KEY, max_rate_hz=None, on_change=True)
    outbound.carry(tf(a=0, b=1))
    outbound.carry(tf(a=0, b=1))
    assert outbound.sent == [{'a': 0, 'b': 1}]
    assert outbound.dropped == {'unchanged': 1}


def test_a_mirrored_key_has_all_frames():
    mirror = LastValue()
    outbound = Outbound(KEY, mirror=mirror, meta=False, max_rate_hz=None)
    outbound.carry(tf(a=0), tf(b=1))
    assert mirror.equals(outbound.redis.sinks['k'].payloads[-1])
    assert outbound.sent == [{'a': 0}, {'a': 0, 'b': 1}]
