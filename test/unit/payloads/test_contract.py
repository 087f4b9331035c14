# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What every codec of the table promises."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from message_types import MESSAGE_TYPES, NESTED, SCALAR
from strategies import encode_cdr, plain_values, same

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.messages.guards import Guards
from redis_bridge.messages.types import Message
from redis_bridge.payloads import CODECS
from redis_bridge.payloads.codec import Codec
from redis_bridge.protocol.meta import Meta

META = Meta('robot1/ab12', 7, 1234.5)
quick = settings(deadline=None, derandomize=True, database=None, max_examples=10)
each_codec = pytest.mark.parametrize('codec', CODECS.values(), ids=CODECS)
each_type = pytest.mark.parametrize('message', MESSAGE_TYPES, ids=str)


def now() -> tuple[int, int]:
    return 5, 6


def carries(codec: Codec, message: Message) -> bool:
    with contextlib.suppress(InterfaceError):
        codec.encoder(message)
        return True
    return False


@each_codec
def test_the_table_has_it_under_its_name(codec):
    assert CODECS[codec.name] is codec


@each_codec
@each_type
def test_every_type_goes_there_and_back(codec, message):
    if not carries(codec, message):
        with pytest.raises(InterfaceError):
            codec.decoder(message)
        return
    read = cdr_read.reader(message)
    encode = codec.encoder(message)
    all_present = Guards(required=tuple(field.name for field in message.fields))
    # With guards, cdr is decoded and written again instead of checked.
    ways = [codec.inbound(message, None, guards, now) for guards in (Guards(), all_present)]

    @quick
    @given(plain_values(message))
    def there_and_back(value):
        for decode, to_cdr in ways:
            plain, meta = decode(encode(encode_cdr(message, value), META))
            assert meta == (META if codec.carries_meta else None)
            assert same(read(to_cdr(plain)), value)

    there_and_back()


@each_codec
@pytest.mark.parametrize('payload', [b'', b'\xff', b'{', b'\0\0\0\0', b'\x81\x01'])
def test_malformed_payloads_raise_a_payload_error(codec, payload):
    decode, to_cdr = codec.inbound(SCALAR, None, Guards(), now)
    with pytest.raises(PayloadError) as raised:
        to_cdr(decode(payload)[0])
    assert raised.value.reason == 'bad_payload'


@each_codec
def test_a_guarded_value_is_rejected_with_the_reason(codec):
    guards = Guards({'data': (-1, 1)}, finite=True)
    decode, to_cdr = codec.inbound(SCALAR, None, guards, now)
    payload = codec.encoder(SCALAR)(cdr_write.writer(SCALAR)({'data': 2.0}))
    with pytest.raises(PayloadError, match='data is 2.0, allowed is -1 to 1') as raised:
        to_cdr(decode(payload)[0])
    assert raised.value.reason == 'out_of_limits'


@each_codec
def test_it_carries_metadata_as_declared(codec):
    payload = cdr_write.writer(SCALAR)({'data': 1.5})
    encode = codec.encoder(SCALAR)
    assert (encode(payload, META) != encode(payload)) is codec.carries_meta
    assert codec.decoder(SCALAR)(encode(payload, META))[0] == {'data': 1.5}


@each_codec
def test_it_carries_parts_as_declared(codec):
    if codec.carries_whole_only:
        with pytest.raises(InterfaceError, match='whole'):
            codec.encoder(NESTED, 'at.x')
        with pytest.raises(InterfaceError, match='whole'):
            codec.encoder(NESTED, None, ('at',))
        return
    payload = cdr_write.writer(NESTED)({'at': {'x': 2.5}})
    bare = codec.encoder(NESTED, 'at.x')(payload)
    assert codec.decoder(NESTED, 'at.x')(bare) == ({'at': {'x': 2.5}}, None)


@each_codec
def test_it_carries_typed_arrays_as_declared(codec):
    if not carries(codec, NESTED):
        assert not codec.carries_arrays
        return
    message = MESSAGE_TYPES[4]
    payload = cdr_write.writer(message)({'b': [1.5, 2.5]})
    typed, plain = (codec.encoder(message, arrays=arrays)(payload) for arrays in ('typed', 'list'))
    assert (typed != plain) is codec.carries_arrays


@each_codec
def test_it_needs_the_type_as_declared(codec):
    if codec.needs_type:
        with pytest.raises(PayloadError):
            codec.pack(5)
    else:
        assert codec.pack(5)
