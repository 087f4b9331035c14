# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What every codec of the table promises."""

from __future__ import annotations

import contextlib
from array import array

import pytest
from hypothesis import given, settings
from mappings import errors, inbound, load, outbound, planned
from message_types import ARRAYS, MESSAGE_TYPES, NESTED, SCALAR
from strategies import encode_cdr, plain_values, same

from redis_bridge.client.decode import decoder_for
from redis_bridge.client.publish import find_target
from redis_bridge.client.stored import Event
from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.mapping.model import SINKS
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.messages.guards import Guards
from redis_bridge.messages.types import Message
from redis_bridge.payloads import CODECS
from redis_bridge.payloads.codec import Codec
from redis_bridge.protocol.descriptions import NameInfo
from redis_bridge.protocol.meta import Meta

META = Meta('robot1/ab12', 7, 1234.5)
quick = settings(derandomize=True, database=None, max_examples=10)
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
@pytest.mark.parametrize('sent', sorted({*CODECS} - {'text'}))
def test_a_payload_of_another_encoding_says_what_to_change(codec, sent):
    payload = CODECS[sent].encoder(SCALAR)(cdr_write.writer(SCALAR)({'data': 2.0}))
    decode, to_cdr = codec.inbound(SCALAR, None, Guards(), now)
    if codec.name == sent:
        assert to_cdr(decode(payload)[0])
        return
    with pytest.raises(PayloadError) as raised:
        to_cdr(decode(payload)[0])
    found, expected = (name.replace('json', 'JSON') for name in (sent, codec.name))
    assert str(raised.value) == (
        f'looks like {found}, this route expects {expected}: send {expected}, or set '
        f'`encoding: {sent}`'
    )


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
    message = ARRAYS
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


@each_codec
def test_values_that_it_cannot_carry_raise_a_payload_error(codec):
    for value in ({'a': object()}, {'a': {1, 2}}, object()):
        with pytest.raises(PayloadError):
            codec.pack(value)
    if not codec.needs_type and not codec.one_scalar:
        (numbers,) = codec.unpack(codec.pack({'a': array('d', [1.5, 2.5])}))[0].values()
        assert list(numbers) == [1.5, 2.5]


@each_codec
@pytest.mark.parametrize(
    'payload', [b'[' * 100_000, b'-' * 100_000, b'{[]:1}', b'{{}:1}', b'\x91' * 100_000]
)
def test_hostile_payloads_raise_no_other_error(codec, payload):
    with contextlib.suppress(PayloadError):
        codec.unpack(payload)


# --- what other parts read from the table ------------------------------------------------------
@each_codec
def test_a_mapping_may_name_it_for_a_route_and_for_a_sink(codec, tmp_path):
    text = outbound(f'topic: /a, to: {{key: {{name: k, encoding: {codec.name}}}, channel: c}}')
    (route,) = load(tmp_path, text).ros_to_redis
    assert [sink.encoding for sink in route.sinks] == [codec.name, 'msgpack']
    text = inbound(f'key: k, topic: /a, type: pkg/Scalar, encoding: {codec.name}')
    assert load(tmp_path, text).redis_to_ros[0].encoding == codec.name


@each_codec
@pytest.mark.parametrize('option', ['field: at.x', 'fields: [at.x]'])
def test_a_mapping_takes_parts_of_messages_as_declared(codec, option, tmp_path):
    text = outbound(f'topic: /a, {option}, encoding: {codec.name}, to: {{key: k}}')
    key = option.partition(':')[0]
    if codec.carries_whole_only:
        reason = f"carries whole messages, it cannot be combined with '{key}'"
    elif codec.one_scalar and key == 'fields':
        reason = "is one scalar: use 'field' instead of 'fields'"
    else:
        assert load(tmp_path, text)
        return
    place = 'm.yaml:3: ros_to_redis[0].encoding'
    assert errors(tmp_path, text) == [f'{place}: {codec.name} {reason}']


@each_codec
def test_a_mapping_reads_a_field_as_declared(codec, tmp_path):
    text = inbound(f'key: k, topic: /a, type: pkg/Nested, field: at.x, encoding: {codec.name}')
    if codec.carries_whole_only:
        assert errors(tmp_path, text) == [
            f'm.yaml:3: redis_to_ros[0].field: encoding {codec.name} carries whole messages, it '
            "cannot be combined with 'field'"
        ]
    else:
        assert load(tmp_path, text).redis_to_ros[0].field == 'at.x'


@each_codec
def test_a_mapping_takes_typed_arrays_as_declared(codec, tmp_path):
    route = f'topic: /a, arrays: typed, encoding: {codec.name}, to: {{key: k}}'
    if codec.carries_arrays:
        assert load(tmp_path, outbound(route)).ros_to_redis[0].sinks[0].arrays == 'typed'
    else:
        (text,) = errors(tmp_path, outbound(route))
        assert text.endswith(f'expected arrays: list with {codec.name}')
    by_default = outbound(f'topic: /a, encoding: {codec.name}, to: {{key: k}}')
    (sink,) = load(tmp_path, f'{by_default}defaults: {{arrays: typed}}').ros_to_redis[0].sinks
    assert sink.arrays == ('typed' if codec.carries_arrays else 'list')


@each_codec
def test_a_mapping_limits_the_age_of_what_carries_a_stamp(codec, tmp_path):
    route = 'NAME, topic: /a, type: pkg/Scalar, max_age_ms: 5, encoding: ' + codec.name
    assert load(tmp_path, inbound(route.replace('NAME', 'stream: s')))
    channel = inbound(route.replace('NAME', 'channel: c'))
    if codec.carries_meta:
        assert load(tmp_path, channel)
    else:
        (text,) = errors(tmp_path, channel)
        assert f'{codec.name} on a channel carries no stamp' in text


@each_codec
def test_a_loop_is_found_unless_payloads_name_their_origin(codec, tmp_path):
    def made(back):
        return planned(
            tmp_path,
            f'defaults: {{encoding: {codec.name}}}\n'
            'ros_to_redis: [{topic: /a, to: {channel: c}}]\n'
            f'redis_to_ros: [{{channel: c, topic: {back}, type: pkg/Scalar}}]\n',
        )

    reason = f'encoding {codec.name} carries no origin'
    assert any(reason in text for text in made('/a').errors) is not codec.carries_meta
    assert any(reason in text for text in made('/b').warnings) is not codec.carries_meta


class Lookup:
    """What bridges say of the name 'n' and of the type SCALAR."""

    def __init__(self, codec: Codec) -> None:
        fields = {'type': SCALAR.name, 'channel': codec.name}
        described = {key.encode(): value.encode() for key, value in fields.items()}
        self.info = NameInfo.of(described, SINKS)

    def name(self, name: str) -> tuple[str, NameInfo]:
        return 'none', self.info

    def known_message(self, name: str | None) -> Message | None:
        return SCALAR

    def exact_message(self, name: str | None, type_hash: str | None) -> Message:
        return SCALAR


@each_codec
def test_a_client_reads_what_it_publishes(codec):
    lookup = Lookup(codec)
    target = find_target(lookup, 'n', None, None, None)
    value = 1.5 if codec.one_scalar else {'data': 1.5}
    payload = target.encode(value, META)
    assert codec.decoder(SCALAR)(payload)[0] == {'data': 1.5}
    update = decoder_for(lookup, 'channel', lookup.info).update(Event('n', 'channel', payload))
    assert (update.value, update.meta) == (value, META if codec.carries_meta else None)


@each_codec
def test_a_client_finds_errors_before_it_sends(codec):
    target = find_target(Lookup(codec), 'n', None, None, None)
    with pytest.raises(PayloadError):
        target.encode('much' if codec.one_scalar else {'data': 'much'}, META)
