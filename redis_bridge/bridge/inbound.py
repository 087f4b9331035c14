# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Carries a Redis name to its topic."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from typing import NamedTuple

from redis_bridge.bridge import frames
from redis_bridge.bridge.dead_man import DeadMan
from redis_bridge.bridge.describe import describe_source
from redis_bridge.bridge.report import Reporter, joined_state
from redis_bridge.counters import Counters
from redis_bridge.errors import PayloadError
from redis_bridge.log_once import RateLimitedLog
from redis_bridge.mapping.model import RedisToRos
from redis_bridge.messages.guards import Guards
from redis_bridge.payloads import CODECS
from redis_bridge.ports import Publisher, Received, RedisSide, RouteReport, SourceRequest
from redis_bridge.protocol.meta import GapFinder, Meta, wrong_unit

ACKED_WITHIN_S = 30.0  # by then DDS has resent, or given up a subscriber that is gone
# DDS reports only that all messages are acknowledged, which at a high rate is never so. Once an
# entry has waited for so long, entries come in bursts, with time between them for that.
BURSTS_AFTER_S = 1.0
BURST_GAP_S = 0.02

# What becomes of a group's rejected entries: some are handed on again, here or to another reader,
# others need no dead letter, and the rest goes to `<stream>:dead`.
COME_AGAIN = ('closed', 'no_lease')
NOT_DEAD_LETTERED = ('own_origin', 'same_graph', 'mirrored')


class Rejection(Exception):
    """A sample that may not pass: the reason that is counted, and a text for the log or ''."""

    def __init__(self, reason: str, text: str = '') -> None:
        super().__init__(text)
        self.reason = reason


class _Published(NamedTuple):
    """A published entry of a group."""

    acknowledge: Callable[[bool | None], None]
    before: int  # messages that were published before it
    since: float


class InboundRoute:
    """One route from a Redis name to a topic; a `ports.Receiver`.

    A payload is decoded once, checked for origin, gap and age, converted to CDR by a function
    that checks the value on the way, and published. `is_new` is given if an outbound route writes
    the key, and returns whether a serialized message is another than this route wrote.
    """

    def __init__(
        self,
        route: RedisToRos,
        publisher: Publisher,
        redis: RedisSide,
        log: logging.Logger,
        *,
        ros_now: Callable[[], tuple[int, int]],
        dead_man: DeadMan | None,
        is_new: Callable[[bytes], bool] | None,
        clock: Callable[[], float],
    ) -> None:
        self.route = route
        self.request = SourceRequest(route.source, self, route.is_command, route.max_bytes)
        self.publisher = publisher
        self._redis = redis
        self._origin = redis.origin
        self._now = redis.now
        self._log = log
        self._drops = RateLimitedLog(log, route, clock)
        self._counters = Counters()
        self._reporter = Reporter(route, self._counters)
        self.dead_man = dead_man
        self.descriptions = [describe_source(route, publisher.message)]
        self._is_new = is_new
        guards = Guards(route.limits, route.required, route.set, route.must_be_finite)
        self._decode, self._to_cdr = CODECS[route.encoding].inbound(
            publisher.message, route.field, guards, ros_now
        )
        self._rename = frames.to_ros(route.frames, publisher.message)  # takes their prefix off
        # Of a group, others may read entries as well.
        is_alone = route.source.is_event and route.source.group is None
        self._gaps = GapFinder() if is_alone else None
        self._clock = clock
        self._waiting: deque[_Published] = deque()  # for subscribers to acknowledge them
        self._unacked = 0  # of those, counted as not acknowledged in time
        self._closed = False

    def room(self) -> int:
        """Acknowledge what subscribers have, and return how many entries of a group may come.

        Only so many are published at a time as the publisher keeps for its subscribers.
        """
        publisher = self.publisher
        if self._waiting and publisher.wait_for_acked(0):
            # What left the history counts as acknowledged too, and without subscribers all does.
            is_kept = publisher.has_subscribers()
            for entry in self._waiting:
                is_kept_still = is_kept and publisher.count - entry.before <= publisher.depth
                entry.acknowledge(True if is_kept_still else None)
            self._waiting.clear()
            self._unacked = 0
        if self._closed or not publisher.has_subscribers():
            return 0
        if self.route.source.group is not None and self._lacks_lease():
            return 0  # others may take them meanwhile
        if not self._waiting:
            return publisher.depth
        self._count_unacked()
        now = self._clock()
        is_late = now - self._waiting[0].since > BURSTS_AFTER_S
        if is_late and now - self._waiting[-1].since < BURST_GAP_S:
            return 0
        return max(0, publisher.depth - (publisher.count - self._waiting[0].before))

    def receive(self, batch: list[Received]) -> None:
        if self._closed:
            return
        if self.route.deliver == 'latest' and len(batch) > 1:
            self._counters.drop('superseded', len(batch) - 1)
            _acknowledge(batch[:-1], True)
            batch = batch[-1:]
        term = self._redis.term()
        published: list[Received] = []
        stamps: list[float] = []
        for received in batch:
            before = self.publisher.count
            try:
                meta = self._publish(received, term)
            except (PayloadError, Rejection) as error:
                self._reject(received, error.reason, str(error))
            except Exception:  # or an entry that meets a bug would be read again for ever
                self._log.exception('%s: a sample met a bug', self.route)
                self._reject(received, 'internal_error', '')
            else:
                published.append(received)
                if meta is not None:
                    stamps.append(meta.stamp)
                if received.acknowledge is not None:
                    entry = _Published(received.acknowledge, before, self._clock())
                    self._waiting.append(entry)
        if published:
            now = self._now()
            size = sum(len(received.payload) for received in published)
            latency_s = sum(max(0.0, now - stamp) for stamp in stamps)
            self._counters.carry(len(published), size, latency_s)

    def drop(self, reason: str, text: str) -> None:
        self._counters.drop(reason)
        if text:
            self._drops.warn(reason, text)

    def gap(self, missed: int | None) -> None:
        self._counters.count_event('gap')
        if missed:
            self._counters.count_event('missed', missed)

    def on_disconnect(self) -> None:
        """Stop the robot if it was commanded, because no further command can come now."""
        if self.dead_man is not None:
            self.dead_man.trigger(self._redis.why_closed() or 'Redis is lost')

    def report(self) -> RouteReport:
        """Return what the route did; carried is what was published."""
        states = [self._redis.source_state(self.request), self.publisher.state()]
        if self._lacks_lease():
            states.append(f'waiting for the lease {self.route.lease}')
        return self._reporter.report(joined_state(*states))

    def close(self) -> None:
        """Publish nothing more."""
        self._closed = True

    def _publish(self, received: Received, term: int | None) -> Meta | None:
        """Publish a payload and return its metadata; raises PayloadError or Rejection."""
        payload = received.payload
        if len(payload) > self.route.max_bytes:
            raise Rejection(
                'over_size', f'{len(payload)} bytes, max_bytes is {self.route.max_bytes}'
            )
        value, meta = self._decode(payload)
        meta = received.meta or meta
        if meta is not None:
            if meta.origin == self._origin:
                raise Rejection('own_origin')
            if self.route.source.is_event:
                self._check_graph(meta)
            if self._gaps is not None:
                self._check_order(self._gaps, meta)
        if self.route.max_age_ms is not None:
            self._check_age(meta, self.route.max_age_ms)
        message = self._to_cdr(value)
        if term is None or self._redis.term() != term:
            raise Rejection('closed')
        if self._lacks_lease():
            raise Rejection('no_lease', f'the lease {self.route.lease} is not held')
        if self._is_new is not None and not self._is_new(message):
            raise Rejection('mirrored')
        if self._rename is not None:
            message = self._rename(message)
        if self.dead_man is None:
            self.publisher.publish(message)
        elif not self.dead_man.command(self.publisher, message, self._counters):
            raise Rejection('closed')
        return meta

    def _check_order(self, gaps: GapFinder, meta: Meta) -> None:
        """Count what is missing before a message; raises Rejection if it comes too late."""
        if self.route.source.redis_type is None and gaps.is_late(meta):
            raise Rejection('too_old', 'it came before, or a newer message of its sender did')
        missed = gaps.missed(meta)
        if missed and self.route.deliver == 'all':
            self.gap(missed)

    def _lacks_lease(self) -> bool:
        """Return whether the route needs a lease that this bridge does not hold."""
        lease = self.route.lease
        return lease is not None and self._redis.lease_token(lease) is None

    def _check_graph(self, meta: Meta) -> None:
        """Reject what another bridge took from this very topic, because it is there already."""
        robot, _, boot = meta.origin.rpartition('/')
        if robot and self.publisher.is_heard_by(boot):
            raise Rejection(
                'same_graph',
                f'it comes from the ROS graph of this bridge, in which the bridge of {robot} '
                f'carries {self.publisher.name} to Redis: let one bridge carry it both ways',
            )

    def _check_age(self, meta: Meta | None, max_age_ms: int) -> None:
        if meta is None:
            if self.route.unstamped == 'accept':
                return
            raise Rejection(
                'unstamped', 'max_age_ms needs a stamp in _meta (or set unstamped: accept)'
            )
        age_ms = (self._redis.latest() - meta.stamp) * 1000
        if age_ms > max_age_ms:
            raise Rejection('too_old', f'{age_ms:.0f} ms old, max_age_ms is {max_age_ms}')
        ahead_ms = (meta.stamp - self._now()) * 1000
        if ahead_ms > max_age_ms:  # a sender whose clock runs ahead would never be too old
            hint = wrong_unit(meta.stamp) or f'{ahead_ms:.0f} ms ahead of the Redis server'
            raise Rejection('from_future', f'the stamp is {hint}')

    def _reject(self, received: Received, reason: str, text: str) -> None:
        if reason in COME_AGAIN and received.acknowledge is not None:
            received.acknowledge(None)
            return
        self.drop(reason, text)
        _acknowledge([received], reason in NOT_DEAD_LETTERED)

    def _count_unacked(self) -> None:
        """Count, once each, the entries that subscribers did not acknowledge in time."""
        late = self._clock() - ACKED_WITHIN_S
        waiting = islice(self._waiting, self._unacked, None)
        count = sum(1 for _ in takewhile(lambda entry: entry.since <= late, waiting))
        if count:
            self._unacked += count
            self._counters.count_event('unacked', count)


def _acknowledge(batch: Sequence[Received], is_done: bool) -> None:
    for received in batch:
        if received.acknowledge is not None:
            received.acknowledge(is_done)
