# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Collects the transforms of several messages, for each child frame the newest one.

A message on /tf or /tf_static has only a few of all transforms, and the next message may be of
another node. So it replaces the one before only as far as both are about the same frames.
"""

from __future__ import annotations

from redis_bridge.messages.cdr_read import checker
from redis_bridge.messages.elements import Elements, elements
from redis_bridge.messages.types import Message

MOST = 10_000  # child frames; of more, the ones that rest longest are given up


class Transforms:
    """The newest transforms by child frame; a `HeldBack`."""

    is_partial = True

    def __init__(self, message: Message, parts: Elements) -> None:
        self._check = checker(message)
        self._parts = parts
        self._newest: dict[bytes, bytes] = {}  # the ones that rest longest first

    @classmethod
    def of(cls, message: Message) -> Transforms | None:
        """Return what collects messages of a type; None if it is another than TFMessage.

        It is known by its shape: a sequence of messages with a child_frame_id, and nothing else.
        """
        parts = elements(message, 'child_frame_id')
        return None if parts is None else cls(message, parts)

    def add(self, sample: bytes) -> int:
        self._check(sample)
        replaced = 0
        for key, transform in self._parts.split(sample):
            name = key.partition(b'\0')[0].lstrip(b'/')
            replaced += self._newest.pop(name, None) is not None
            self._newest[name] = transform
        while len(self._newest) > MOST:
            del self._newest[next(iter(self._newest))]
            replaced += 1
        return replaced

    def collect(self, sample: bytes) -> bytes:
        """Add a serialized message, and return one of all transforms; they are kept."""
        self.add(sample)
        return self._parts.join(self._newest.values())

    def take(self) -> bytes:
        sample = self._parts.join(self._newest.values())
        self._newest.clear()
        return sample

    @property
    def waits(self) -> bool:
        return bool(self._newest)
