# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The Redis commands of each kind of sink."""

from __future__ import annotations

from typing import get_args

import pytest

from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    HashSinkConfig,
    KeySinkConfig,
    SinkConfig,
    StreamSinkConfig,
)
from redis_bridge.protocol.meta import Meta
from redis_bridge.redis_io.commands import COMPARED_BYTES, SINK_COMMANDS
from redis_bridge.redis_io.connection import pack

META = Meta('r/1', 7, 12.5)


@pytest.mark.parametrize(
    ('config', 'payload', 'expected'),
    [
        (KeySinkConfig('k'), b'v', ('SET', 'k', 'v')),
        (KeySinkConfig('k', ttl_ms=5), b'v', ('SET', 'k', 'v', 'PX', 5)),
        (HashSinkConfig('h', ttl_ms=5), {'a': b'1', 'b': b'2'}, ('HSET', 'h', 'a', 1, 'b', 2)),
        (
            StreamSinkConfig('s', maxlen=10),
            b'e',
            (
                'XADD', 's', 'MAXLEN', '~', 10, '5-1',
                'data', 'e', 'origin', 'r/1', 'seq', 7, 'stamp', 12.5,
            ),
        ),
        (ChannelSinkConfig('c'), b'p', ('PUBLISH', 'c', 'p')),
    ],
)  # fmt: skip
def test_a_write_becomes_this_command(config, payload, expected):
    command = SINK_COMMANDS[type(config)](config).command_for(payload, META, (5, 1))
    assert b''.join(pack([command])) == b''.join(pack([expected]))


@pytest.mark.parametrize(
    ('config', 'payload', 'commands', 'replies'),
    [
        (KeySinkConfig('k'), b'v', [('GETRANGE', 'k', 0, 1)], [b'v']),
        (KeySinkConfig('k'), b'', [('EXISTS', 'k'), ('GETRANGE', 'k', 0, 0)], [1, b'']),
        (
            KeySinkConfig('k'),
            b'a' * 1000 + b'b' * COMPARED_BYTES,
            [('GETRANGE', 'k', 1000, 1000 + COMPARED_BYTES)],
            [b'b' * COMPARED_BYTES],
        ),
        (
            HashSinkConfig('h'),
            {'a': b'1', 'long': b'x' * 1000, 'b': b'2'},
            [('HMGET', 'h', 'a', 'b')],
            [[b'1', b'2']],
        ),
        (HashSinkConfig('h'), {'long': b'x' * 1000}, [('EXISTS', 'h')], [1]),
    ],
)
def test_a_value_is_compared_without_reading_much(config, payload, commands, replies):
    probe = SINK_COMMANDS[type(config)](config).probe(payload)
    assert list(probe.commands) == commands
    assert probe.if_held == replies


def test_an_entry_without_metadata_is_only_its_data():
    command = SINK_COMMANDS[StreamSinkConfig](StreamSinkConfig('s')).command_for(
        b'e', None, (5, 1)
    )
    assert list(command[5:]) == ['5-1', b'data', b'e']


def test_every_kind_of_sink_has_its_commands():
    assert set(SINK_COMMANDS) == set(get_args(SinkConfig))


def test_only_a_hash_needs_a_command_of_its_own_for_its_time_to_live():
    for config in (KeySinkConfig('n', ttl_ms=5), HashSinkConfig('n', ttl_ms=5)):
        commands = SINK_COMMANDS[type(config)](config)
        assert commands.expires_apart == (config.kind == 'hash')
        assert commands.renewal(4) == ('PEXPIRE', 'n', 4)
