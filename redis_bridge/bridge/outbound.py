# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Carries a topic to its Redis names."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from functools import partial

from redis_bridge.bridge import frames
from redis_bridge.bridge.describe import describe_sink
from redis_bridge.bridge.encoders import (
    Body,
    EncodeSample,
    body_encoder,
    is_bare,
    key_of,
    recipe,
    sink_encoder,
)
from redis_bridge.bridge.held_back import HeldBack, Newest
from redis_bridge.bridge.report import Reporter, joined_state
from redis_bridge.bridge.timers import CallAt
from redis_bridge.bridge.transforms import Transforms
from redis_bridge.counters import Counters
from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.log_once import LogOnChange, RateLimitedLog
from redis_bridge.mapping.model import RosToRedis, SinkConfig
from redis_bridge.messages.types import Message
from redis_bridge.ports import (
    Payload,
    RedisSide,
    RouteReport,
    Sink,
    TopicRequest,
    Write,
    size_of,
)
from redis_bridge.protocol.meta import Meta

Step = Callable[[bytes], bytes]  # a serialized message to another one; raises PayloadError


class LastValue:
    """The value on which both sides of a mirrored key last agreed, so that it does not loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._body: Payload | None = None

    def update(self, body: Payload) -> bool:
        """Note `body`, the value encoded without metadata; return whether it is new."""
        with self._lock:
            if body == self._body:
                return False
            self._body = body
            return True

    def equals(self, body: Payload) -> bool:
        """Return whether `body` is that value."""
        with self._lock:
            return body == self._body


class OutboundRoute:
    """One route from a topic to one or more sinks; a `ports.TopicReceiver`.

    A sample is prepared: frames get the names that they have in Redis, and for keys and hashes
    transforms are joined with those before. It passes on_change, then the rate limit, and is then
    encoded, once for all sinks that take the same payload. `mirror` is given if the key comes back
    in on an inbound route. Called from the executor's thread and the timers' thread. `on_opened`
    is called when `descriptions` have changed.
    """

    def __init__(
        self,
        route: RosToRedis,
        redis: RedisSide,
        call_at: CallAt,
        log: logging.Logger,
        *,
        mirror: LastValue | None,
        on_opened: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.route = route
        self.request = TopicRequest(route.topic, route.type, route.qos, self)
        self._redis = redis
        self._origin = redis.origin
        self._call_at = call_at
        self._state = LogOnChange(log, str(route))
        self._drops = RateLimitedLog(log, route, clock)
        self._log = log
        self._mirror = mirror
        self._on_opened = on_opened
        self._clock = clock
        self._counters = Counters()  # of what did not reach the sinks; each sink has its own
        of_sinks = [Counters() for _ in route.sinks]
        self._reporter = Reporter(route, self._counters, *of_sinks)
        mirrored = None if mirror is None else key_of(route)
        self._sinks = [
            redis.open_sink(config, counters, is_mirrored=config is mirrored)
            for config, counters in zip(route.sinks, of_sinks)
        ]
        self._mirrored = next(
            (sink for config, sink in zip(route.sinks, self._sinks) if config is mirrored), None
        )
        self.descriptions = [describe_sink(config, route.field, None) for config in route.sinks]
        self._lock = threading.RLock()
        self._is_open = False  # the type is known, and the route is not closed
        self._is_closed = False
        self._takes_only_newest = False
        self._period_s = 1 / route.max_rate_hz if route.max_rate_hz else 0.0
        self._due = 0.0
        self._held: HeldBack = Newest()  # back by the rate
        self._seq = 0
        self._last_body: bytes | None = None
        self._encoders: list[tuple[EncodeSample, int]] = []  # with the most bytes of a payload
        self._outputs: list[tuple[Sink, int, SinkConfig]] = []  # with the encoder's number
        self._notices: list[tuple[Sink, int]] = []  # sent once the key is written
        self._steps: list[Step] = []  # what a sample becomes before anything else
        self._body: Body = bytes  # by which equal values are found
        self._bare: int | None = None  # the encoder whose payload is the body as well
        # Of the batch under way, a write per encoder and sample.
        self._writes: list[list[Write]] = []
        self._new_writes: list[list[Write]] = []  # without what a mirrored key holds already

    def opened(self, message: Message) -> None:
        """Compile the encoders, now that the type is known; an error is the route's state."""
        with self._lock:
            if self._is_closed:  # by a thread that the topic's own has not heard of so far
                return
            self._is_open = False
            self._last_body = None  # may be of another type
            try:
                self._compile(message)
            except (InterfaceError, PayloadError) as error:
                self.set_state(f'error: {error}')
                return
            self._is_open = True
        route = self.route
        self.descriptions = [describe_sink(config, route.field, message) for config in route.sinks]
        self._on_opened()

    def forward(self, batch: list[bytes]) -> None:
        with self._lock:
            if not self._is_open:
                return
            if self._takes_only_newest and len(batch) > 1:
                self._counters.drop('superseded', len(batch) - 1)
                batch = batch[-1:]
            for sample in batch:
                self._admit(sample)
            self._write()

    def drop(self, reason: str, count: int) -> None:
        self._counters.drop(reason, count)

    def set_state(self, text: str) -> None:
        """Take the topic's state; an error of the route itself stays."""
        if self._is_open or not self._state.text.startswith('error'):
            is_problem = text.startswith(('error', 'incompatible'))
            self._state.update(text, logging.ERROR if is_problem else logging.NOTSET)

    def report(self) -> RouteReport:
        """Return what the route did; carried is what Redis acknowledged to the busiest sink."""
        topic = self._state.text or 'waiting for a publisher'
        state = joined_state(*(sink.state() for sink in self._sinks), topic)
        return self._reporter.report(state)

    def close(self) -> None:
        """Send what the rate still holds back, and release the sinks."""
        with self._lock:
            self._send_held_back()
            self._is_open, self._is_closed = False, True
        for sink in self._sinks:
            sink.close()

    # --- set up ---------------------------------------------------------------------------------
    def _compile(self, message: Message) -> None:
        """Compile one encoder per distinct payload, however many sinks share it."""
        route = self.route
        self._prepare(message)
        self._encoders, self._outputs = [], []
        numbers: dict[tuple[object, ...], int] = {}
        for config, sink in zip(route.sinks, self._sinks):
            how = recipe(config)
            if how not in numbers:
                numbers[how] = len(self._encoders)
                most = sys.maxsize if config.is_notice else route.max_bytes
                self._encoders.append((sink_encoder(route, config, message), most))
            self._outputs.append((sink, numbers[how], config))
        self._notices = [
            (sink, number) for sink, number, config in self._outputs if config.is_notice
        ]
        key = key_of(route)
        if self._mirror is not None and key is not None:
            self._body = body_encoder(route, key.encoding, key.arrays, message)
            self._bare = numbers[recipe(key)] if is_bare(route, key) else None
        elif route.on_change:
            self._body = body_encoder(route, 'msgpack', 'typed', message)

    def _prepare(self, message: Message) -> None:
        """Compile what comes before the encoders."""
        route = self.route
        rename = frames.to_redis(route.frames, message)
        if rename is None and route.frames is not None and not route.frames.is_default:
            self._log.info('%s: %s names no frames for frame_prefix', route, message.name)
        self._steps = [] if rename is None else [rename]
        self._held = Newest()
        transforms = Transforms.of(message)
        is_state = not any(sink.is_event for sink in route.sinks)
        self._takes_only_newest = is_state and transforms is None
        if transforms is None:
            return
        if is_state:  # each message has only a part of it
            self._steps.append(transforms.collect)
        else:
            self._held = transforms

    # --- one sample -----------------------------------------------------------------------------
    def _admit(self, sample: bytes) -> None:
        try:
            for step in self._steps:
                sample = step(sample)
            body = self._body(sample) if self.route.on_change else None
            if body is not None and self._is_unchanged(body) and not self._awaits_parts():
                self._skip_unchanged()
            elif not self._period_s:
                self._send(sample, body)
            elif (due := self._due_now(sample)) is not None:
                self._send(due, body if due is sample else None)
        except PayloadError as error:
            self._reject(error)

    def _is_unchanged(self, body: bytes) -> bool:
        """Return whether a sample equals the one before, and the mirrored key has it."""
        if body != self._last_body or self._mirror is None:
            return body == self._last_body
        return self._mirror.equals(body) and self._mirrored_holds()

    def _awaits_parts(self) -> bool:
        """Return whether something waits that may count beside any newer sample."""
        return self._held.is_partial and self._held.waits

    def _skip_unchanged(self) -> None:
        """Count a sample that equals the one before, unless a sink writes it again."""
        if self._held.waits:
            self._held.take()
            self._counters.drop('over_rate')
        held = [sink.renew() for sink, _, config in self._outputs if not config.is_event]
        if all(held):
            self._counters.drop('unchanged')

    def _reject(self, error: PayloadError) -> None:
        self._counters.drop(error.reason)
        self._drops.warn(error.reason, error)

    def _due_now(self, sample: bytes) -> bytes | None:
        """Return what may be sent now that there is another sample; raises PayloadError."""
        held, now = self._held, self._clock()
        is_due, is_first = now >= self._due, not held.waits
        if is_due:
            self._due = now + self._period_s
            if is_first:
                return sample
        if replaced := held.add(sample):
            self._counters.drop('over_rate', replaced)
        if is_due:
            return held.take()
        if is_first:
            self._call_at(self._due, self._send_when_due)
        return None

    def _send_when_due(self) -> None:
        """Send the sample that the rate held back, if one still waits and its time has come."""
        with self._lock:
            if not self._held.waits:
                return
            if self._clock() < self._due:
                self._call_at(self._due, self._send_when_due)
            else:
                self._send_held_back()

    def _send_held_back(self) -> None:
        if not self._held.waits:
            return
        self._due = self._clock() + self._period_s
        try:
            self._send(self._held.take(), None)
        except PayloadError as error:
            self._reject(error)
        self._write()

    def _send(self, sample: bytes, body: bytes | None) -> None:
        """Encode a sample and add it to the writes of the batch; raises PayloadError.

        `body` is that of the sample, None if it is not made so far.
        """
        if body is None and self.route.on_change:
            body = self._body(sample)
        meta = Meta(self._origin, self._seq + 1, self._redis.now())
        written = meta if self.route.meta else None
        writes = []
        for encode, most in self._encoders:
            payload = encode(sample, meta)
            if (size := size_of(payload)) > most:
                raise PayloadError(f'{size} bytes encoded, max_bytes is {most}', 'over_size')
            writes.append(Write(payload, written))
        mirror = self._mirror
        if mirror is None:
            self._new_writes.append(writes)
        else:
            if self._bare is not None:
                mirrored = writes[self._bare].payload
            else:
                mirrored = self._body(sample) if body is None else body
            if mirror.update(mirrored) or not self._mirrored_holds():
                self._new_writes.append(writes)
            elif self._mirrored is not None:
                self._mirrored.renew()
        self._writes.append(writes)
        self._seq += 1
        self._last_body = body

    def _mirrored_holds(self) -> bool:
        """Return whether Redis still has what was written last to the mirrored key."""
        return self._mirrored is None or self._mirrored.holds()

    def _write(self) -> None:
        """Give each sink its part of the batch at once."""
        if not self._writes:
            return
        for sink, number, config in self._outputs:
            batch = self._writes if config.is_event else self._new_writes
            if config.is_notice or not batch:
                continue
            some = [writes[number] for writes in batch]
            if self._notices and config.kind == 'key':
                some = [
                    write._replace(then=partial(self._notify, writes))
                    for write, writes in zip(some, batch)
                ]
            sink.write(some, flush=False)
        for sink in self._sinks:
            sink.flush()
        self._writes, self._new_writes = [], []

    def _notify(self, writes: list[Write]) -> None:
        """Send the notices of a value that the key holds now."""
        for sink, number in self._notices:
            sink.write([writes[number]])
