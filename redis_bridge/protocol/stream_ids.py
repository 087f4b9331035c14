# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Stream ids as numbers that compare, and as Redis writes them."""

from __future__ import annotations

StreamId = tuple[int, int]  # milliseconds, count within them

FIRST: StreamId = (0, 0)  # before every entry


def id_text(number: StreamId) -> str:
    """Return an id as Redis writes it."""
    return f'{number[0]}-{number[1]}'


def id_number(text: bytes) -> StreamId:
    """Return an id as numbers; raises ValueError if it is none."""
    millis, _, count = text.partition(b'-')
    return int(millis), int(count or 0)


class IdSource:
    """Gives out the ids of one stream, for all sinks that write it."""

    def __init__(self) -> None:
        self.last = FIRST  # the largest id known

    def next_id(self, now_ms: int) -> StreamId:
        """Return an id larger than all before."""
        self.last = max((now_ms, 0), (self.last[0], self.last[1] + 1))
        return self.last

    def advance(self, last: StreamId) -> None:
        """Give out only ids beyond one that the server has."""
        self.last = max(self.last, last)
