# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A dead letter: an entry of a stream that was given up, kept in `<stream>:dead`.

Behind the fields of the entry it has `id`, the entry's, and in a queue `reason` and `tries`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

REASON_MAX = 1000  # characters
_OURS = (b'id', b'reason', b'tries')


class DeadLetter(NamedTuple):
    """What a dead letter says."""

    fields: list[bytes]  # of the entry: names and values, in turn
    id: str = ''  # the entry's
    reason: str = ''  # '' if a bridge rejected it
    tries: int | None = None


def letter_fields(
    fields: Sequence[bytes], id_: bytes, reason: str | None = None, tries: int | None = None
) -> list[bytes]:
    """Return the names and values, in turn, of the letter for an entry."""
    letter = [*fields, b'id', id_]
    if reason is not None:
        letter += [b'reason', reason[:REASON_MAX].encode(errors='backslashreplace')]
    if tries is not None:
        letter += [b'tries', b'%d' % tries]
    return letter


def read_letter(fields: Sequence[bytes]) -> DeadLetter:
    """Return what a letter says, whoever wrote it."""
    rest = list(fields)
    said: dict[bytes, str] = {}
    while rest and rest[-2] in _OURS and rest[-2] not in said:
        said[rest[-2]] = rest[-1].decode(errors='replace')
        del rest[-2:]
    tries = said.get(b'tries', '')
    return DeadLetter(
        rest,
        said.get(b'id', ''),
        said.get(b'reason', ''),
        int(tries) if tries.isdecimal() else None,
    )
