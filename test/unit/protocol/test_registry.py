# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The registry of keys and streams."""

from __future__ import annotations

import pytest

from redis_bridge.mapping.model import SOURCES
from redis_bridge.protocol import registry


def test_what_is_registered_is_read_as_it_was_written():
    names = {('key', 'r1:speed'), ('stream', 'r1:log'), ('stream', 'a/b:{c}:key:é')}
    fields = [registry.field_of(*each).encode() for each in names]
    assert fields[0].count(b':') >= 2
    assert registry.registered(fields) == names


@pytest.mark.parametrize(
    'field',
    [
        b'', b'key', b'key:', b'hash:a', b'channel:a', b'Key:a', b':a', b'key:__a', b'key:a\n',
        b'key:redis_bridge:robot:r1', b'key:' + 600 * b'a',
    ],
)  # fmt: skip
def test_what_no_route_may_read_is_ignored(field):
    assert registry.registered([field, b'key:a']) == {('key', 'a')}


def test_bytes_that_are_no_utf_8_are_no_name():
    assert registry.registered([b'key:a\xff']) == frozenset()


def test_what_is_stored_and_can_be_read_can_be_registered():
    stored = {kind for kind, source in SOURCES.items() if source.redis_type is not None}
    assert set(registry.KINDS) == stored
