# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Wide strings in CDR: UTF-16 code units of 4 bytes each."""

from __future__ import annotations


def wide_text(data: bytes) -> str:
    """Return the text of a wstring.

    :raises ValueError: a unit is beyond 0xFFFF, or half of a surrogate pair is missing.
    """
    units = data.decode('utf-32-le', 'surrogatepass')
    if units and max(units) > '\uffff':
        raise ValueError('a UTF-16 code unit is beyond 0xFFFF')
    return units.encode('utf-16-le', 'surrogatepass').decode('utf-16-le')


def wide_units(text: str) -> bytes:
    """Return the body of a wstring.

    :raises ValueError: half of a surrogate pair is missing.
    """
    data = text.encode('utf-16-le')
    if len(data) == 2 * len(text):
        return text.encode('utf-32-le')
    return b''.join(data[at : at + 2] + b'\0\0' for at in range(0, len(data), 2))
