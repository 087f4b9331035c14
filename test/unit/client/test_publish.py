# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Targets of a client, without a server."""

from __future__ import annotations

import pytest

from redis_bridge.client.decode import decoder_for
from redis_bridge.client.publish import Target, find_target
from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.mapping.model import SINKS
from redis_bridge.protocol.descriptions import NameInfo
from redis_bridge.protocol.meta import Meta

META = Meta('client/1', 3, 12.5)


class Lookup:
    """Answers for every name alike."""

    def __init__(self, redis_type, fields):
        self._answer = redis_type, NameInfo.of(fields, SINKS)

    def name(self, name):
        return self._answer

    def known_message(self, name):
        return None

    def exact_message(self, name, type_hash):
        raise InterfaceError('the message type is needed, and no bridge names it')


@pytest.mark.parametrize(
    ('redis_type', 'fields', 'kind', 'encoding'),
    [
        ('none', {}, 'channel', 'json'),
        ('string', {}, 'key', 'json'),
        ('stream', {}, 'stream', 'json'),
        ('string', {b'from_channel': b'msgpack'}, 'channel', 'msgpack'),
        ('none', {b'channel': b'msgpack'}, 'channel', 'msgpack'),
        ('none', {b'channel': b'msgpack', b'from_channel': b'text'}, 'channel', 'text'),
    ],
)
def test_a_target_is_what_bridges_read_or_else_what_is_stored(redis_type, fields, kind, encoding):
    target = find_target(Lookup(redis_type, fields), 'n', None, None, None)
    assert (target.kind, target.encoding) == (kind, encoding)


@pytest.mark.parametrize(
    ('args', 'error', 'text'),
    [
        (('n', 'list', None, None), PayloadError, 'kind: expected one of'),
        (('n', None, 'xml', None), PayloadError, 'encoding: expected one of'),
        (('redis_bridge:x', None, None, None), PayloadError, 'belong to the bridge'),
        (('n', None, 'cdr', None), InterfaceError, 'message type'),
        (('n', None, None, 'Twist'), InterfaceError, 'expected a type'),
    ],
)
def test_an_argument_that_cannot_work_is_an_error(args, error, text):
    with pytest.raises(error, match=text):
        find_target(Lookup('none', {}), *args)


def test_a_name_that_is_read_as_two_kinds_needs_the_kind():
    lookup = Lookup('none', {b'from_key': b'json', b'from_channel': b'json'})
    with pytest.raises(PayloadError, match='give `kind`'):
        find_target(lookup, 'both', None, None, None)
    assert find_target(lookup, 'both', 'key', None, None).kind == 'key'


@pytest.mark.parametrize('redis_type', ['list', 'hash', 'zset'])
def test_a_stored_name_that_takes_no_messages_needs_the_kind(redis_type):
    lookup = Lookup(redis_type, {})
    with pytest.raises(PayloadError, match=rf"^'n' is a {redis_type} in Redis.*give `kind`"):
        find_target(lookup, 'n', None, None, None)
    assert find_target(lookup, 'n', 'channel', None, None).kind == 'channel'
    read = Lookup(redis_type, {b'from_channel': b'json'})
    assert find_target(read, 'n', None, None, None).kind == 'channel'


def test_an_encoding_of_a_newer_bridge_is_an_error():
    lookup = Lookup('none', {b'channel': b'xml'})
    with pytest.raises(InterfaceError, match=r"encoding 'xml'.*update the client"):
        find_target(lookup, 'n', None, None, None)
    with pytest.raises(InterfaceError, match=r"encoding 'xml'.*update the client"):
        decoder_for(lookup, 'channel', lookup.name('n')[1])


def test_metadata_is_in_the_payload_or_in_the_fields_of_an_entry():
    def encode(value, meta):
        return b'%s with %d' % (value, meta.seq if meta else 0)

    def command(kind):
        return [*Target('n', kind, 'json', None, None, encode).command(b'x', META)]

    assert command('channel') == ['PUBLISH', 'n', b'x with 3']
    assert command('key') == ['SET', 'n', b'x with 3']
    assert command('stream')[:3] == ['XADD', 'n', '*']
    fields = [b'%s' % (str(f).encode() if isinstance(f, (str, int)) else f)
              for f in command('stream')[3:]]  # fmt: skip
    assert fields == [
        b'data', b'x with 0', b'origin', b'client/1', b'seq', b'3', b'stamp', b'12.5',
    ]  # fmt: skip
