# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Replies as a Redis server writes them, and hypothesis strategies for them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SCALARS = st.integers(-(2**63), 2**63 - 1) | st.none() | st.binary(max_size=40)
REPLIES = st.recursive(SCALARS, lambda item: st.lists(item, max_size=4), max_leaves=20)


def bulk(value: bytes | None) -> bytes:
    return b'$-1\r\n' if value is None else b'$%d\r\n%b\r\n' % (len(value), value)


def message(channel: bytes, payload: bytes) -> bytes:
    return b'*3\r\n' + bulk(b'message') + bulk(channel) + bulk(payload)


def pattern_message(glob: bytes, channel: bytes, payload: bytes) -> bytes:
    return b'*4\r\n' + bulk(b'pmessage') + bulk(glob) + bulk(channel) + bulk(payload)


def written(reply: Any) -> bytes:
    """Return a reply as the server writes it."""
    if isinstance(reply, int):
        return b':%d\r\n' % reply
    if isinstance(reply, list):
        return b'*%d\r\n' % len(reply) + b''.join(map(written, reply))
    return bulk(reply)
