# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Stream ids as numbers that compare, and as Redis writes them."""

from __future__ import annotations

import random

StreamId = tuple[int, int]  # milliseconds, count within them

FIRST: StreamId = (0, 0)  # before every entry
COUNT_LIMIT = 1 << 64
# The count of an id is lap * LAP + number of the writer * ROOM + block * BLOCK + entry.
BLOCK = 1 << 10  # the server counts on in a block for XADD with *
ROOM = 1 << 16  # of a writer
WRITERS = 1 << 20
LAP = WRITERS * ROOM


def id_text(number: StreamId) -> str:
    """Return an id as Redis writes it."""
    return f'{number[0]}-{number[1]}'


def id_number(text: bytes) -> StreamId:
    """Return an id as numbers; raises ValueError if it is none."""
    millis, _, count = text.partition(b'-')
    return int(millis), int(count or 0)


class IdSource:
    """Gives out the ids of one stream, for all sinks of one writer.

    Ids given out at once are a block: all of one millisecond, and counted from a number that is
    our own. The ids of other bridges, and those of XADD with *, are before the whole block or
    behind it. So if a block is added at once, the server takes all of it or rejects all.
    """

    def __init__(self) -> None:
        self._own = random.randrange(1, WRITERS - 1) * ROOM
        self._last = FIRST  # the largest id known
        self._next = FIRST  # where the next block may begin at the earliest

    def next_ids(self, now_ms: int, count: int) -> list[StreamId]:
        """Return ids larger than all before, as one block."""
        millis, begin = max(self._next, (now_ms, self._own))
        if begin % LAP + count > self._own + ROOM:
            begin = begin // LAP * LAP + LAP + self._own
        if begin + count > COUNT_LIMIT:
            millis, begin = millis + 1, self._own
        blocks = -(-count // BLOCK)
        self._last, self._next = (millis, begin + count - 1), (millis, begin + blocks * BLOCK)
        return [(millis, begin + index) for index in range(count)]

    def advance(self, last: StreamId) -> None:
        """Give out only ids beyond one that the server has."""
        if last > self._last:
            laps, count = divmod(last[1], LAP)
            begin = (laps if count < self._own else laps + 1) * LAP + self._own
            self._last, self._next = last, (last[0], begin)
