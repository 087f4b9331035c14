# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Running routes: each decides what may pass from its source to its sinks, and counts the rest."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis_bridge.bridge.dead_man import DeadMan
from redis_bridge.bridge.timers import Timers
from redis_bridge.counters import Counters
from redis_bridge.errors import PayloadError
from redis_bridge.mapping.model import (
    HashSinkConfig,
    KeySinkConfig,
    RedisToRos,
    RosToRedis,
    SinkConfig,
)
from redis_bridge.messages import cdr, types
from redis_bridge.messages.types import Message
from redis_bridge.payloads import codecs
from redis_bridge.ports import Publisher, Received, Sink
from redis_bridge.protocol.meta import Meta

COMPLAIN_EVERY_S = 10.0
ORIGINS_REMEMBERED = 64
ACKED_WITHIN_S = 30.0  # by then DDS has resent, or given up a subscriber that is gone

# Refusals that leave nothing to be done; what is refused otherwise goes to the dead entries of its
# stream, where it was read by a group.
SETTLED = ('own_origin', 'mirrored')


Refusal = tuple[str, object] | None  # the reason, and what to tell of it; None: published
Encode = Callable[[bytes, Meta | None], Any]  # a serialized message to a sink's payload


class Complaints:
    """Warnings of one route, each kind at most every ten seconds."""

    def __init__(self, log: logging.Logger, route: object, clock: Callable[[], float]) -> None:
        self._log = log
        self._route = route
        self._clock = clock
        self._next: dict[str, float] = {}

    def warn(self, reason: str, text: object) -> None:
        """Log `text` unless the same reason was logged a moment ago; counts tell the rest."""
        now = self._clock()
        if now >= self._next.get(reason, 0.0):
            self._next[reason] = now + COMPLAIN_EVERY_S
            self._log.warning('%s: dropped a sample, %s: %s', self._route, reason, text)


class LastValue:
    """The value on which both sides of a key last agreed, so that it does not travel for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._body: bytes | None = None

    def update(self, body: bytes) -> bool:
        """Agree on `body`, the value encoded without metadata; False if it was agreed already."""
        with self._lock:
            if body == self._body:
                return False
            self._body = body
            return True

    def forget(self) -> None:
        """Agree on nothing, as when Redis may have lost what it held."""
        with self._lock:
            self._body = None


class OutwardRelay:
    """Carries one topic to the route's sinks.

    The order is on_change, rate, encode: what is dropped was not encoded for a sink. Called from
    the thread of the topic's source and from the timers' thread.
    """

    def __init__(
        self,
        route: RosToRedis,
        message: Message,
        sinks: Sequence[tuple[SinkConfig, Sink]],
        *,
        origin: str,
        now: Callable[[], float],
        timers: Timers,
        counts: Counters,
        log: logging.Logger,
        mirror: LastValue | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.route = route
        self._origin = origin
        self._now = now
        self._timers = timers
        self._counts = counts
        self._complaints = Complaints(log, route, clock)
        self._mirror = mirror
        self._clock = clock
        self._period_s = 1 / route.max_rate_hz if route.max_rate_hz else 0.0
        self._lock = threading.RLock()
        self._closed = False
        self._seq = 0
        self._last: tuple[bytes, float] | None = None  # what was written last, and when
        self._last_body: bytes | None = None  # the same, encoded without metadata
        self._waiting: tuple[bytes, bytes | None] | None = None  # held back by the rate, its body
        self._due = 0.0
        # Of the batch under way, what goes to the sinks: payloads by the number of their encoder,
        # metadata as carried and for notices, and whether keys and hashes do not hold it already.
        self._ready: list[tuple[list[Any], Meta | None, Meta, bool]] = []
        self._ready_bytes = 0
        self._set_up_encoders(message, sinks)

    def _set_up_encoders(self, message: Message, sinks: Sequence[tuple[SinkConfig, Sink]]) -> None:
        """Compile one encoder per distinct encoding, however many sinks share it."""
        self._encoders: list[Encode] = []
        self._sinks: list[tuple[Sink, int | None]] = []  # with the number of its encoder
        self._state: dict[Sink, int | None] = {}  # keys and hashes, with their ttl_ms
        numbers: dict[object, int] = {}
        for config, sink in sinks:
            number: int | None = None
            if getattr(config, 'send', 'payload') == 'payload':
                how = (config.encoding or 'hash', getattr(config, 'arrays', ''))
                if how not in numbers:
                    numbers[how] = len(self._encoders)
                    self._encoders.append(self._encoder(message, *how))
                number = numbers[how]
            self._sinks.append((sink, number))
            if isinstance(config, (KeySinkConfig, HashSinkConfig)):
                self._state[sink] = config.ttl_ms
            if isinstance(config, KeySinkConfig):
                self._key_number = number
        self._only_state = len(self._state) == len(self._sinks)
        if self.route.on_change:
            self._body = self._encoder(message, 'msgpack', 'typed')

    def _encoder(self, message: Message, encoding: str, arrays: str) -> Encode:
        field, fields = self.route.field, self.route.fields
        if encoding == 'hash':
            encode = codecs.hash_encoder(message, fields)
            return lambda sample, _: encode(sample)
        return codecs.encoder(message, encoding, field=field, fields=fields, arrays=arrays)

    def forward(self, batch: Sequence[bytes]) -> None:
        """Take serialized messages, oldest first."""
        with self._lock:
            if self._closed:
                return
            if self._only_state and len(batch) > 1:
                self._counts.drop('superseded', len(batch) - 1)
                batch = batch[-1:]
            for sample in batch:
                self._admit(sample)
            self._hand_over()

    def _admit(self, sample: bytes) -> None:
        try:
            body = self._body(sample, None) if self.route.on_change else None
            if body is not None and body == self._last_body:
                self._counts.drop('unchanged')
                self._forget_waiting()
                for sink in self._state:
                    sink.renew()
            elif not self._period_s or self._is_due(sample, body):
                self._send(sample, body)
        except PayloadError as error:
            self._drop_bad(error)

    def _drop_bad(self, error: PayloadError) -> None:
        self._counts.drop('bad_payload')
        self._complaints.warn('bad_payload', error)

    def _is_due(self, sample: bytes, body: bytes | None) -> bool:
        now = self._clock()
        if now >= self._due:
            self._forget_waiting()
            self._due = now + self._period_s
            return True
        if self._waiting is None:
            self._timers.call_at(self._due, self.tick)
        else:
            self._counts.drop('over_rate')
        self._waiting = (sample, body)
        return False

    def _forget_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting = None
            self._counts.drop('over_rate')

    def tick(self) -> None:
        """Send the sample that the rate held back, if one still waits and its time has come."""
        with self._lock:
            if self._waiting is None:
                return
            now = self._clock()
            if now < self._due and not self._closed:
                self._timers.call_at(self._due, self.tick)
                return
            (sample, body), self._waiting = self._waiting, None
            self._due = now + self._period_s
            try:
                self._send(sample, body)
            except PayloadError as error:
                self._drop_bad(error)
            self._hand_over()

    def rewrite(self) -> None:
        """Write the last value of keys and hashes again, since Redis may have lost them.

        A key that is mirrored both ways is left alone: what others wrote there meanwhile is newer.
        """
        with self._lock:
            if self._mirror is not None:
                self._mirror.forget()
                self._last_body = None
            elif self._last is not None and not self._closed:
                sample, when = self._last
                age_ms = (self._clock() - when) * 1000
                for sink, number in self._sinks:
                    if sink in self._state and age_ms < (self._state[sink] or math.inf):
                        meta = self._carried(Meta(self._origin, self._seq, self._now()))
                        sink.write([(self._encoders[number](sample, meta), meta)])

    def close(self) -> None:
        """Send what the rate still holds back; nothing is carried afterwards."""
        with self._lock:
            self._closed = True
            self.tick()
            self._sinks = []

    def _send(self, sample: bytes, body: bytes | None) -> None:
        meta = Meta(self._origin, self._seq + 1, self._now())
        carried = self._carried(meta)
        payloads = [encode(sample, carried) for encode in self._encoders]
        size = 0
        for payload in payloads:
            bytes_ = _size(payload)
            size += bytes_
            if bytes_ > self.route.max_bytes:
                self._counts.drop('over_size')
                self._complaints.warn(
                    'over_size', f'{bytes_} bytes encoded, max_bytes is {self.route.max_bytes}'
                )
                return
        is_echo = self._mirror is not None and not self._mirror.update(
            self._encoders[self._key_number](sample, None)
        )
        self._seq += 1
        self._ready.append((payloads, carried, meta, not is_echo))
        self._ready_bytes += size
        self._last = (sample, self._clock())
        self._last_body = body

    def _hand_over(self) -> None:
        """Write to the sinks what was made ready of a batch, each sink's part at once."""
        if not self._ready:
            return
        ready, self._ready = self._ready, []
        for sink, number in self._sinks:
            is_state = sink in self._state
            if number is None:  # a notice consists of nothing else
                samples = [(None, meta) for _, _, meta, _ in ready]
            else:
                samples = [
                    (payloads[number], carried)
                    for payloads, carried, _, is_new in ready
                    if is_new or not is_state
                ]
            if samples:
                sink.write(samples)
        self._counts.carry(len(ready), self._ready_bytes)
        self._ready_bytes = 0

    def _carried(self, meta: Meta) -> Meta | None:
        return meta if self.route.meta else None


def _size(payload: Any) -> int:
    if isinstance(payload, dict):
        return sum(len(name) + len(value) for name, value in payload.items())
    return len(payload)


class InwardRelay:
    """Carries one Redis name to a topic, and lets through only what the route allows."""

    def __init__(
        self,
        route: RedisToRos,
        publisher: Publisher,
        *,
        origin: str,
        now: Callable[[], float],
        ros_now: Callable[[], tuple[int, int]],
        counts: Counters,
        log: logging.Logger,
        dead_man: DeadMan | None = None,
        mirror: LastValue | None = None,
        mirror_body: Callable[[bytes, Meta | None], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.route = route
        self._publisher = publisher
        self._origin = origin
        self._now = now
        self._ros_now = ros_now
        self._counts = counts
        self._complaints = Complaints(log, route, clock)
        self._log = log
        self._dead_man = dead_man
        self._mirror = mirror
        self._mirror_body = mirror_body
        self._closed = False
        self._last_seq: OrderedDict[str, int] = OrderedDict()
        message = publisher.message
        self._decode = codecs.decoder(message, route.encoding, field=route.field)
        self._write = cdr.writer(message)
        self._limits = [
            (path, low, high, _default_at(message, path))
            for path, (low, high) in route.limits.items()
        ]
        self._must_be_finite = bool(route.limits or route.stop)

    def has_subscribers(self) -> bool:
        """Tell whether somebody subscribes to the topic."""
        return not self._closed and self._publisher.has_subscribers()

    def receive(self, arrivals: list[Received]) -> None:
        """Publish what may pass; see `endpoints.Receiver`."""
        if self._closed:
            return
        if self.route.deliver == 'latest' and len(arrivals) > 1:
            self._counts.drop('superseded', len(arrivals) - 1)
            _tell_done(arrivals[:-1], True)
            arrivals = arrivals[-1:]
        published: list[Received] = []
        stamps: list[float] = []
        for arrival in arrivals:
            refusal = self._try(arrival, stamps)
            if refusal is None:
                published.append(arrival)
                continue
            reason, text = refusal
            self._counts.drop(reason)
            if text:
                self._complaints.warn(reason, text)
            if reason != 'closed':  # which stays in its group for the next to come
                _tell_done([arrival], reason in SETTLED)
        self._count(published, stamps)
        if any(arrival.acknowledge for arrival in published):
            if self._publisher.wait_for_acked(ACKED_WITHIN_S):
                _tell_done(published, True)
            else:
                self._counts.count_event('unacked', len(published))

    def gap(self, missed: int | None) -> None:
        """Count a gap that the source found."""
        self._counts.count_event('gap')
        if missed:
            self._counts.count_event('missed', missed)

    def on_disconnect(self) -> None:
        """Stop the robot if commands were in force: none can come now."""
        if self._dead_man is not None:
            self._dead_man.trigger('Redis is lost')

    def close(self) -> None:
        """Publish nothing more."""
        self._closed = True

    def _count(self, published: list[Received], stamps: list[float]) -> None:
        if published:
            now = self._now()
            size = sum(len(arrival.payload) for arrival in published)
            latency_s = sum(max(0.0, now - stamp) for stamp in stamps)
            self._counts.carry(len(published), size, latency_s)

    def _try(self, arrival: Received, stamps: list[float]) -> Refusal:
        """Publish one payload and note its stamp, or refuse it."""
        try:
            return self._refusal_of(arrival, stamps)
        except Exception:  # or one entry that meets a bug would be read again for ever
            self._log.exception('%s: a sample met a bug', self.route)
            return 'internal_error', ''

    def _refusal_of(self, arrival: Received, stamps: list[float]) -> Refusal:
        route = self.route
        if len(arrival.payload) > route.max_bytes:
            return 'over_size', f'{len(arrival.payload)} bytes, max_bytes is {route.max_bytes}'
        try:
            value, meta = self._decode(arrival.payload)
            meta = arrival.meta or meta
            if meta is not None:
                if meta.origin == self._origin:
                    return 'own_origin', ''
                self._look_for_gap(meta)
            if route.max_age_ms is not None and (refusal := self._age_refusal(meta)):
                return refusal
            if refusal := self._value_refusal(value):
                return refusal
            for path, setting in route.set.items():
                set_at(value, path, self._stamp() if setting == 'now' else setting)
            message = self._write(value)
            if self._mirror is not None and not self._mirror.update(
                self._mirror_body(message, None)
            ):
                return 'mirrored', ''
        except PayloadError as error:
            return 'bad_payload', error
        if self._dead_man is None:
            self._publisher.publish(message)
        elif not self._dead_man.command(lambda: self._publisher.publish(message)):
            return 'closed', ''
        if meta is not None:
            stamps.append(meta.stamp)
        return None

    def _age_refusal(self, meta: Meta | None) -> Refusal:
        if meta is None:
            if self.route.unstamped == 'accept':
                return None
            return 'unstamped', 'max_age_ms needs a stamp in _meta (or set unstamped: accept)'
        age_ms = (self._now() - meta.stamp) * 1000
        limit = self.route.max_age_ms
        if -limit <= age_ms <= limit:
            return None
        if age_ms < 0:  # a sender whose clock runs ahead would never be too old
            return 'from_future', f'stamped {-age_ms:.0f} ms ahead of the Redis server'
        return 'too_old', f'{age_ms:.0f} ms old, max_age_ms is {limit}'

    def _value_refusal(self, value: dict) -> Refusal:
        for path in self.route.required:
            if not _has(value, path):
                return 'missing_field', f'{path} is required and was left out'
        for path, low, high, default in self._limits:
            for number in _numbers_at(value, path.split('.'), default):
                if not low <= number <= high:
                    return 'out_of_limits', f'{path} is {number}, allowed is {low} to {high}'
        if self._must_be_finite and not _is_finite(value):
            return 'not_finite', 'a number is NaN or infinite'
        return None

    def _look_for_gap(self, meta: Meta) -> None:
        is_state = self.route.source.kind == 'key' or self.route.deliver == 'latest'
        if is_state or not meta.origin:
            return
        last = self._last_seq.pop(meta.origin, None)
        self._last_seq[meta.origin] = meta.seq
        if len(self._last_seq) > ORIGINS_REMEMBERED:
            self._last_seq.popitem(last=False)
        if last is not None and meta.seq > last + 1:
            self.gap(meta.seq - last - 1)

    def _stamp(self) -> dict[str, int]:
        sec, nanosec = self._ros_now()
        return {'sec': sec, 'nanosec': nanosec}


def _tell_done(arrivals: Iterable[Received], good: bool) -> None:
    for arrival in arrivals:
        if arrival.acknowledge is not None:
            arrival.acknowledge(good)


def _has(value: Any, path: str) -> bool:
    for part in path.split('.'):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def set_at(value: dict, path: str, setting: Any) -> None:
    """Set the field at a dotted path, making the maps on the way; PayloadError if one is none."""
    *parents, last = path.split('.')
    for part in parents:
        value = value.setdefault(part, {})
        if not isinstance(value, dict):
            raise PayloadError(f'{path}: expected a map at {part}, got {value!r}')
    value[last] = setting


def _default_at(message: Message, path: str) -> Any:
    return types.default_of(types.field_at(message, path))


def _numbers_at(value: Any, path: list[str], default: Any) -> Iterable[float]:
    """Yield the numbers at a path, of every item where it leads through arrays."""
    if isinstance(value, (list, tuple)) or hasattr(value, 'typecode'):
        for item in value:
            yield from _numbers_at(item, path, default)
    elif path:
        if isinstance(value, dict):
            yield from _numbers_at(value.get(path[0], default), path[1:], default)
        elif value is default:
            yield from _numbers_at(default, [], default)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, (list, tuple)) or hasattr(value, 'typecode'):
        return all(map(_is_finite, value))
    return True
