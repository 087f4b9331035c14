# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The routes that the patterns of a mapping have, for the names that are found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from redis_bridge.mapping import cross_checks, loops
from redis_bridge.mapping.loops import place
from redis_bridge.mapping.model import Mapping, RedisToRos, RosToRedis, Route, RoutePattern
from redis_bridge.mapping.topic_names import Resolve
from redis_bridge.mapping.yaml12 import Path

# They match only if a mapping names them without a pattern.
OWN_TOPICS = {'/rosout', '/parameter_events', '/clock', '/tf', '/tf_static'}
ROSTER_TOPICS = ('/redis_bridge/robots', '/redis_bridge/robot_events')  # of any namespace
LISTED = 100  # rejected names that are kept of each pattern

AnyPattern = RoutePattern[RosToRedis] | RoutePattern[RedisToRos]


class Found(NamedTuple):
    """The names that are there."""

    topics: frozenset[str] = frozenset()
    stored: frozenset[tuple[str, str]] = frozenset()  # with their kinds: key | stream
    channels: frozenset[str] = frozenset()


@dataclass
class Matches:
    """The names that match one pattern, oldest first, and why others are not carried."""

    pattern: AnyPattern
    routes: dict[str, Route] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)

    def reject(self, name: str, reason: str) -> None:
        """Have no route for a name; of too many only some are kept."""
        self.routes.pop(name, None)
        if len(self.rejected) < LISTED:
            self.rejected[name] = reason


class Conflict(NamedTuple):
    """A name that a pattern will not carry because of other routes of the mapping."""

    text: str
    is_always: bool  # whatever the name


def conflicts(mapping: Mapping, *, resolve: Resolve, distro: str) -> Iterator[Conflict]:
    """Yield what is wrong between patterns and other routes, as far as the mapping shows it.

    The names that it says itself, and those that its patterns make of a sample, are looked at.
    """
    samples = [pattern.names.sample() for pattern in patterns(mapping)]
    made = [
        route
        for pattern, sample in zip(patterns(mapping), samples)
        if (route := pattern.route_for(sample)) is not None
    ]
    routes = (*mapping.ros_to_redis, *mapping.redis_to_ros, *made)
    sinks = [sink for route in routes if isinstance(route, RosToRedis) for sink in route.sinks]
    inbound = [route for route in routes if isinstance(route, RedisToRos)]
    found = Found(
        frozenset({resolve(route.topic) for route in routes}),
        frozenset(
            {
                *((sink.kind, sink.name) for sink in sinks),
                *((route.source.kind, route.source.name) for route in inbound),
            }
        ),
        frozenset({*(sink.name for sink in sinks), *(route.source.name for route in inbound)}),
    )
    for each in match(mapping, found, (), resolve=resolve, distro=distro):
        for name, reason in each.rejected.items():
            if _makes_route(each.pattern, name) and reason != too_many(each.pattern):
                is_always = name == each.pattern.names.sample()
                what = 'no name that matches will be' if is_always else f'{name} will not be'
                where = each.pattern.template.where
                yield Conflict(f'{where}: {what} carried: {reason}', is_always)


def _makes_route(pattern: AnyPattern, name: str) -> bool:
    try:
        return pattern.route_for(name) is not None
    except ValueError:
        return False


def may_match(topic: str) -> bool:
    """Return whether patterns may match a topic; hidden ones have an underscore in front."""
    return '/_' not in topic and not _is_own(topic)


def _is_own(topic: str) -> bool:
    return topic in OWN_TOPICS or topic.endswith(ROSTER_TOPICS)


def patterns(mapping: Mapping) -> tuple[AnyPattern, ...]:
    """Return all patterns of a mapping."""
    return (*mapping.outbound_patterns, *mapping.inbound_patterns)


def asks_for_stored(mapping: Mapping) -> bool:
    """Return whether a mapping has patterns of keys or streams, whose names are in Redis."""
    return any(pattern.template.source.redis_type for pattern in mapping.inbound_patterns)


def match(
    mapping: Mapping,
    found: Found,
    before: Sequence[Matches],
    *,
    resolve: Resolve,
    distro: str,
) -> list[Matches]:
    """Return the matches of each pattern; of `before` those stay that still match.

    Names are rejected one by one: those beyond `max_matches`, those that make no valid route, and
    those whose route does not go together with others.
    """
    known = [_known(pattern, before) for pattern in patterns(mapping)]
    matches = [_matches(old, found, resolve) for old in known]
    _reject_conflicts(mapping, matches, known, resolve)
    _reject_loops(mapping, matches, resolve, distro)
    return matches


def _known(pattern: AnyPattern, before: Sequence[Matches]) -> Matches:
    """Return what a pattern matched before a reload, which may have moved or changed it."""
    same = [each for each in before if each.pattern == pattern]
    same += [each for each in before if str(each.pattern) == str(pattern)]
    known = Matches(pattern)
    old = same[0] if same else known
    if old.pattern is pattern:
        return old
    for name in old.routes:
        with suppress(ValueError):  # it is rejected when it is found again
            route = pattern.route_for(name)
            if route is not None:
                known.routes[name] = route
    return known


def _matches(before: Matches, found: Found, resolve: Resolve) -> Matches:
    matches = Matches(before.pattern)
    names = _candidates(before.pattern, found)
    for name in (*(name for name in before.routes if name in names), *sorted(names)):
        if name in matches.routes:
            continue
        if len(matches.routes) >= before.pattern.max_matches and len(matches.rejected) >= LISTED:
            break  # no more can be carried, nor listed
        try:
            route = before.routes.get(name) or before.pattern.route_for(name)
        except ValueError as error:
            matches.reject(name, str(error))
            continue
        if route is None:
            continue
        if _is_made_by_sender(route, before.pattern) and _is_own(resolve(route.topic)):
            matches.reject(name, f'{route.topic} is a topic of ROS or of bridges themselves')
        elif len(matches.routes) < before.pattern.max_matches:
            matches.routes[name] = route
        else:
            matches.reject(name, too_many(before.pattern))
    return matches


def _is_made_by_sender(route: Route, pattern: AnyPattern) -> bool:
    """Return whether the topic is one that the mapping does not name."""
    return isinstance(route, RedisToRos) and route.topic != pattern.template.topic


def too_many(pattern: AnyPattern) -> str:
    """Return why a name is rejected if a pattern has as many as it may have."""
    return (
        f'{pattern.max_matches} names match already: raise max_matches, or leave some out with '
        'exclude'
    )


def _candidates(pattern: AnyPattern, found: Found) -> frozenset[str]:
    template = pattern.template
    if isinstance(template, RosToRedis):
        return frozenset(filter(may_match, found.topics))
    if template.source.redis_type is None:
        return found.channels
    kind = template.source.kind
    return frozenset(name for stored_as, name in found.stored if stored_as == kind)


class _Candidate(NamedTuple):
    matches: Matches
    name: str
    is_new: bool

    @property
    def path(self) -> Path:
        return (*path_of(self.matches.pattern.template), self.name)


def _reject_conflicts(
    mapping: Mapping, matches: Sequence[Matches], before: Sequence[Matches], resolve: Resolve
) -> None:
    """Reject names whose routes do not go together with others; those that run already stay."""
    candidates = [
        _Candidate(each, name, name not in old.routes)
        for each, old in zip(matches, before)
        for name in each.routes
    ]
    candidates.sort(key=lambda candidate: candidate.is_new)
    while errors := _errors(mapping, candidates, resolve):
        rejected = [candidate for candidate in candidates if candidate.path in errors]
        if len(rejected) < len(errors) or not all(candidate.is_new for candidate in rejected):
            _accept_one_by_one(mapping, candidates, resolve)
            return
        for candidate in rejected:
            candidate.matches.reject(candidate.name, errors[candidate.path])
        candidates = [candidate for candidate in candidates if candidate not in rejected]


def _accept_one_by_one(
    mapping: Mapping, candidates: Iterable[_Candidate], resolve: Resolve
) -> None:
    """Reject each name that does not go together with those before it.

    Needed where the error is found at another route than the one that has come last.
    """
    accepted: list[_Candidate] = []
    for candidate in candidates:
        errors = _errors(mapping, [*accepted, candidate], resolve)
        if errors:
            candidate.matches.reject(candidate.name, next(iter(errors.values())))
        else:
            accepted.append(candidate)


def _errors(
    mapping: Mapping, candidates: Iterable[_Candidate], resolve: Resolve
) -> dict[Path, str]:
    """Return the first error of each route, by its path, which for matches ends with the name."""
    outbound: dict[Path, RosToRedis] = {path_of(r): r for r in mapping.ros_to_redis}
    inbound: dict[Path, RedisToRos] = {path_of(r): r for r in mapping.redis_to_ros}
    for candidate in candidates:
        route = candidate.matches.routes[candidate.name]
        if isinstance(route, RosToRedis):
            outbound[candidate.path] = route
        else:
            inbound[candidate.path] = route
    found: dict[Path, str] = {}
    for path, text in cross_checks.errors(outbound, inbound, resolve):
        route_path = path[:3] if path[:3] in outbound or path[:3] in inbound else path[:2]
        found.setdefault(route_path, text)
    return found


def path_of(route: Route) -> Path:
    """Return a route's path in its file, such as ('ros_to_redis', 0)."""
    section, index = re.findall(r'\w+', place(route))
    return section, int(index)


def _reject_loops(
    mapping: Mapping, matches: Sequence[Matches], resolve: Resolve, distro: str
) -> None:
    """Reject names whose routes would have messages travel for ever."""
    while True:
        loop = next(loops.find_loops(running(mapping, matches, resolve), distro), None)
        if loop is None:
            return
        found = [
            (each, name, route)
            for each in matches
            for name, route in each.routes.items()
            if _resolved(route, resolve) in loop.routes
        ]
        if not found:
            return  # a loop of routes without patterns, which is an error of the mapping
        each, name, _ = found[-1]
        each.reject(name, loop.text)


def running(mapping: Mapping, matches: Iterable[Matches], resolve: Resolve) -> Mapping:
    """Return a mapping with the routes of all matches, and with full names of topics."""
    made = [route for each in matches for route in each.routes.values()]
    return replace(
        mapping,
        ros_to_redis=tuple(
            replace(route, topic=resolve(route.topic))
            for route in (*mapping.ros_to_redis, *made)
            if isinstance(route, RosToRedis)
        ),
        redis_to_ros=tuple(
            replace(route, topic=resolve(route.topic))
            for route in (*mapping.redis_to_ros, *made)
            if isinstance(route, RedisToRos)
        ),
    )


def _resolved(route: Route, resolve: Resolve) -> Route:
    return replace(route, topic=resolve(route.topic))
