# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Recognizes payloads that were sent in another encoding than the route expects."""

from __future__ import annotations

import json

import msgpack

from redis_bridge.errors import PayloadError

_SHOWN = {'json': 'JSON'}
_CDR_HEADER = b'\0\1\0'  # little endian


def malformed(payload: bytes, expected: str, reason: str) -> PayloadError:
    """Return the error of a payload that `expected` cannot decode, with what it looks like."""
    found = _encoding(payload)
    if found is None or found == expected:
        return PayloadError(reason)
    found_shown, shown = _SHOWN.get(found, found), _SHOWN.get(expected, expected)
    return PayloadError(
        f'looks like {found_shown}, this route expects {shown}: send {shown}, or set '
        f'`encoding: {found}`'
    )


def _encoding(payload: bytes) -> str | None:
    """Return the encoding that a payload has for certain; None if it could be anything."""
    start = payload.lstrip()[:1]
    try:
        if start in (b'{', b'[', b'"') and isinstance(json.loads(payload), (dict, list, str)):
            return 'json'
    except (ValueError, RecursionError):
        return None
    if payload.startswith(_CDR_HEADER) and len(payload) > 4:
        return 'cdr'
    try:
        is_map = isinstance(msgpack.unpackb(payload, raw=False, strict_map_key=False), dict)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return None
    return 'msgpack' if is_map else None
