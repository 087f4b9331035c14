# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What the rate limit of a route holds back until the next sample is due."""

from __future__ import annotations

from typing import Protocol


class HeldBack(Protocol):
    """Samples that wait to be sent as one."""

    is_partial: bool  # what waits counts beside a newer sample, as far as that does not replace it

    def add(self, sample: bytes) -> int:
        """Take a serialized message, and return how many things that waited it has replaced.

        Raises PayloadError if it is broken.
        """

    def take(self) -> bytes:
        """Return what waits as one serialized message; nothing waits any more."""

    @property
    def waits(self) -> bool:
        """Whether there is something to be sent."""


class Newest:
    """The newest sample."""

    is_partial = False

    def __init__(self) -> None:
        self._sample: bytes | None = None

    def add(self, sample: bytes) -> int:
        replaced = int(self._sample is not None)
        self._sample = sample
        return replaced

    def take(self) -> bytes:
        sample, self._sample = self._sample, None
        return sample or b''

    @property
    def waits(self) -> bool:
        return self._sample is not None
