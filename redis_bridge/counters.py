# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Counts what went through an end of a route, and what was dropped by its reason."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TypedDict

# Every reason for which a sample is dropped.
DROP_REASONS = {
    'bad_payload': 'it does not fit its type or its encoding',
    'closed': 'the bridge was ending, or did not hold the name of its robot',
    'disconnected': 'Redis was away, and the sink keeps nothing',
    'from_future': 'its stamp is ahead of the Redis server by more than max_age_ms',
    'internal_error': 'a bug, logged with its traceback',
    'mirrored': 'it is the value that the bridge itself wrote to the key',
    'missing_field': 'a field listed in `required` is missing',
    'no_lease': 'the bridge did not hold the lease of its route',
    'not_finite': 'a number is NaN or infinite on a route with limits or a stop',
    'out_of_limits': 'a number is outside its limits',
    'outbox_full': 'the write queue was full',
    'over_rate': 'max_rate_hz: a newer sample took its place, or in a TFMessage a transform',
    'over_size': 'it is larger than max_bytes',
    'own_origin': 'a bridge published it, so that carrying it back would be a loop',
    'refused': 'Redis rejected the write',
    'same_graph': 'another bridge carried it from this very topic, where it is already',
    'superseded': 'only the newest value counts, and a newer one was there',
    'too_old': 'it is older than max_age_ms, or waited too long for Redis',
    'unchanged': 'on_change: it equals the value before',
    'unguarded': 'another bridge publishes here, and ROS does not identify publishers',
    'unidentified': 'ROS did not name its publisher in time',
    'unstamped': 'max_age_ms needs a stamp, and it has none',
}

# Every event that is counted without being a drop.
EVENTS = {
    'gap': 'messages are missing between two that arrived, or a server lost entries for good',
    'missed': 'messages that are missing, where their number is known',
    'not_durable': 'entries written without the durability that was asked for',
    'resent': 'stream entries written again because the server had lost them',
    'rewritten': 'values of keys and hashes written again because Redis had lost them',
    'stop': 'stop messages because no command came in time',
    'unacked': 'messages that subscribers did not acknowledge in time',
}


class Snapshot(TypedDict):
    """All counters at one moment."""

    carried: int
    bytes: int
    latency_s: float  # sum over the carried, for the mean between two snapshots
    dropped: Counter[str]  # by the reasons of DROP_REASONS
    noted: Counter[str]  # by the events of EVENTS


class Counters:
    """Thread-safe counters of one end of a route."""

    def __init__(self) -> None:
        self.changes = 0  # counts up with whatever is counted
        self._lock = threading.Lock()
        self._carried = 0
        self._bytes = 0
        self._latency_s = 0.0
        self._dropped: Counter[str] = Counter()
        self._noted: Counter[str] = Counter()

    def carry(self, count: int, size: int, latency_s: float = 0.0) -> None:
        """Count samples that reached the other side, their bytes and their summed latency."""
        with self._lock:
            self.changes += 1
            self._carried += count
            self._bytes += size
            self._latency_s += latency_s

    def drop(self, reason: str, count: int = 1) -> None:
        """Count samples that were given up, by one of DROP_REASONS."""
        with self._lock:
            self.changes += 1
            self._dropped[reason] += count

    def count_event(self, event: str, count: int = 1) -> None:
        """Count one of EVENTS."""
        with self._lock:
            self.changes += 1
            self._noted[event] += count

    def snapshot(self) -> Snapshot:
        """Return all counters of one moment."""
        with self._lock:
            return {
                'carried': self._carried,
                'bytes': self._bytes,
                'latency_s': self._latency_s,
                'dropped': self._dropped.copy(),
                'noted': self._noted.copy(),
            }
