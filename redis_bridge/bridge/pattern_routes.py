# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The routes that the patterns of a mapping have, as names appear and vanish."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from redis_bridge.bridge.report import joined_state
from redis_bridge.mapping import matching
from redis_bridge.mapping.matching import AnyPattern, Found, Matches
from redis_bridge.mapping.model import ChannelSourceConfig, RedisToRos
from redis_bridge.mapping.model import Mapping as MappingConfig
from redis_bridge.mapping.topic_names import Resolve
from redis_bridge.ports import ChannelsRequest, RedisSide, RosSide, RouteReport, TopicsRequest

DEAF_TO = 1000  # channels of which it is remembered that they are rejected
SHOWN = 3  # rejected names that a report lists


class _Subscription(NamedTuple):
    pattern: str
    is_command: bool


class PatternRoutes:
    """What each pattern matches, of the names that both worlds have found.

    `on_found` is called from any thread when names have come or gone; the owner then takes the
    `matches` of now and, once their routes run, hands them back with `commit`. `on_heard` is the
    same for a channel whose message waits for the route, which must run when it returns.
    """

    def __init__(
        self,
        ros: RosSide,
        redis: RedisSide,
        *,
        resolve: Resolve,
        distro: str,
        log: logging.Logger,
        on_found: Callable[[], None],
        on_heard: Callable[[], None],
    ) -> None:
        self._ros = ros
        self._redis = redis
        self._resolve = resolve
        self._distro = distro
        self._log = log
        self._on_found = on_found
        self._on_heard = on_heard
        self._lock = threading.Lock()  # over what was found
        self._found = Found()
        self._mapping: MappingConfig | None = None  # whose routes run
        self._asked: tuple[AnyPattern, ...] = ()  # what both worlds look for
        self._matches: list[Matches] = []  # whose routes run
        self._channels: dict[_Subscription, ChannelsRequest] = {}
        self._deaf: set[tuple[_Subscription, str]] = set()  # to channels that are rejected

    def matches(self, mapping: MappingConfig) -> list[Matches]:
        """Return what the patterns of a mapping match now."""
        with self._lock:
            found = self._found
        return matching.match(
            mapping, found, self._matches, resolve=self._resolve, distro=self._distro
        )

    def commit(self, mapping: MappingConfig, matches: list[Matches]) -> None:
        """Note that the routes of these matches run; look for the names of this mapping."""
        before, self._matches = self._matches, matches
        channels = {name for each in matches for name in each.routes}
        with self._lock:
            self._found = self._found._replace(channels=self._found.channels & channels)
        asked = matching.patterns(mapping)
        if asked != self._asked:
            self._asked = asked
            self._discover(mapping)
        is_reload = mapping is not self._mapping
        self._mapping = mapping
        if is_reload:
            self._deaf.clear()  # what was in the way of a channel may be gone
        for old, new in _pairs(before, matches):
            if old.routes.keys() - new.routes.keys():
                self._deaf.clear()  # there is room again
            # Rejected channels are heard only once.
            if _subscription(new.pattern) is not None and not is_reload:
                for name, reason in old.rejected.items():
                    if name not in new.routes:
                        new.reject(name, reason)
            self._log_changes(old, new)

    def close(self) -> None:
        """Look for nothing any more."""
        self._matches = []
        self._ros.discover(None)
        self._redis.discover((), None)

    def reports(self, failed: Mapping[str, str]) -> dict[str, RouteReport]:
        """Return a report per pattern, by its id; `failed` says by id why routes do not run."""
        return {str(each.pattern): self._report(each, failed) for each in self._matches}

    def _report(self, matches: Matches, failed: Mapping[str, str]) -> RouteReport:
        pattern = matches.pattern
        is_inbound = isinstance(pattern.template, RedisToRos)
        rejected = {**matches.rejected}
        for name, route in matches.routes.items():
            if str(route) in failed:
                rejected[name] = failed[str(route)]
        shown = [f'{name}: {reason}' for name, reason in [*rejected.items()][:SHOWN]]
        more = f' (and {len(rejected) - SHOWN} more)' if len(rejected) > SHOWN else ''
        state = f'error: {"; ".join(shown)}{more}' if shown else 'open'
        if not shown and not matches.routes:
            state = f'waiting for a {"name" if is_inbound else "topic"} that matches'
        subscription = _subscription(pattern)
        source = 'open'
        if subscription is not None:
            source = self._redis.source_state(self._channels[subscription])
        elif is_inbound:
            source = self._redis.registry_state()
        direction = 'redis_to_ros' if is_inbound else 'ros_to_redis'
        return RouteReport(str(pattern), direction, joined_state(source, state))

    # --- what both worlds find -------------------------------------------------------------------
    def _discover(self, mapping: MappingConfig) -> None:
        """Have both worlds look for the names of these patterns."""
        asks_topics = bool(mapping.outbound_patterns)
        self._ros.discover(
            TopicsRequest(self._is_wanted, self._topics_found) if asks_topics else None
        )
        self._channels = {
            subscription: ChannelsRequest(*subscription, partial(self._heard, subscription))
            for pattern in mapping.inbound_patterns
            if (subscription := _subscription(pattern)) is not None
        }
        asks_stored = matching.asks_for_stored(mapping)
        with self._lock:  # what nobody looks for may come and go unnoticed
            if not asks_topics:
                self._found = self._found._replace(topics=frozenset())
            if not asks_stored:
                self._found = self._found._replace(stored=frozenset())
        self._redis.discover(
            list(self._channels.values()), self._registered if asks_stored else None
        )

    def _is_wanted(self, topic: str) -> bool:
        return matching.may_match(topic) and any(
            pattern.names.may_match(topic)
            for pattern in self._asked
            if not isinstance(pattern.template, RedisToRos)
        )

    def _topics_found(self, topics: frozenset[str]) -> None:
        with self._lock:
            self._found = self._found._replace(topics=topics)
        self._on_found()

    def _registered(self, stored: frozenset[tuple[str, str]]) -> None:
        with self._lock:
            self._found = self._found._replace(stored=stored)
        self._on_found()

    def _heard(self, subscription: _Subscription, channels: Sequence[str]) -> None:
        """Have routes for channels whose first messages wait, as far as that is possible."""
        subscribed = [m for m in self._matches if _subscription(m.pattern) == subscription]
        room = [each.pattern.max_matches - len(each.routes) for each in subscribed]
        found = set()
        for channel in channels:
            if (subscription, channel) in self._deaf:
                continue
            if len(self._deaf) >= DEAF_TO:
                self._deaf.clear()
            self._deaf.add((subscription, channel))
            for number, matches in enumerate(subscribed):
                if self._may_carry(matches, channel, has_room=room[number] > 0):
                    room[number] -= channel not in matches.routes
                    found.add(channel)
        if found:
            with self._lock:
                self._found = self._found._replace(channels=self._found.channels | found)
            self._on_heard()

    def _may_carry(self, matches: Matches, channel: str, *, has_room: bool) -> bool:
        """Return whether a pattern may have a route for a channel; note it if not."""
        try:
            if matches.pattern.route_for(channel) is None:
                return False
        except ValueError as error:
            reason = str(error)
        else:
            if has_room or channel in matches.routes:
                return True
            reason = matching.too_many(matches.pattern)
        is_listed = channel in matches.rejected
        matches.reject(channel, reason)
        if not is_listed and channel in matches.rejected:
            self._log_rejected(matches, channel)
        return False

    # --- the log ---------------------------------------------------------------------------------
    def _log_changes(self, before: Matches, now: Matches) -> None:
        if now.routes.keys() != before.routes.keys():
            self._log.info('%s: %d names match', now.pattern, len(now.routes))
        for name in now.rejected.keys() - before.rejected.keys():
            self._log_rejected(now, name)

    def _log_rejected(self, matches: Matches, name: str) -> None:
        reason = matches.rejected[name]
        self._log.warning('%s: %s is not carried: %s', matches.pattern, name, reason)


def _pairs(before: Sequence[Matches], now: Sequence[Matches]) -> Iterator[tuple[Matches, Matches]]:
    """Yield the matches of each pattern of now, beside those that it had before."""
    for new in now:
        old = next((old for old in before if old.pattern == new.pattern), None)
        yield old or Matches(new.pattern), new


def _subscription(pattern: AnyPattern) -> _Subscription | None:
    """Return what is subscribed to for a pattern; None if it is none of channels."""
    template = pattern.template
    if not isinstance(template, RedisToRos):
        return None
    source = template.source
    if not isinstance(source, ChannelSourceConfig) or source.pattern is None:
        return None
    return _Subscription(source.pattern, template.is_command)
