# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What a mapping would carry in the running graph, for `check --live`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

from redis_bridge.cli.output import folded, table
from redis_bridge.mapping import matching, type_checks
from redis_bridge.mapping.matching import Found, Matches
from redis_bridge.mapping.model import Mapping, RedisToRos, RosToRedis, Route
from redis_bridge.mapping.topic_names import Resolve
from redis_bridge.ports import WAITING, GraphLook, TopicLook
from redis_bridge.protocol import keys, names, registry

Stored = frozenset[tuple[str, str]]  # kinds and names

LISTED = 3  # names in an error


class Live(NamedTuple):
    """What is printed, and an error for each route of the mapping that has any."""

    lines: list[str]
    errors: list[str]


class _Row(NamedTuple):
    """One line of a list, or two of them if one would be too long."""

    cells: tuple[str, ...]
    then: tuple[str, ...]


class _Entry(NamedTuple):
    """One route of the mapping, or a pattern with what matches it."""

    title: str  # empty if the only row says all
    rows: list[_Row]
    problems: dict[str, str]  # why what is not carried is not, by name


def stored(mapping: Mapping) -> Stored:
    """Return the keys and streams that senders have registered; raises RedisError."""
    from redis_bridge.client.calls import Calls

    with closing(Calls(mapping.redis)) as calls:
        fields = calls.call('HGETALL', keys.NAMES)  # as bridges do; their users may have no HKEYS
    return registry.registered(fields[::2])


def check(
    mapping: Mapping,
    look: GraphLook,
    known: Stored | None,
    *,
    resolve: Resolve,
    distro: str,
    describe: type_checks.Describe | None,
    width: int | None,
) -> Live:
    """Return what the routes and patterns of a mapping find now.

    :param known: what is registered in Redis; None if Redis cannot be asked.
    :param width: of the terminal; None without one.
    """
    topics = frozenset(
        name
        for name in look.published()
        if names.topic_problem(name) is None and resolve(name) == name
    )
    matches = matching.match(
        mapping, Found(topics, known or frozenset()), (), resolve=resolve, distro=distro
    )
    graph = _Graph(look, resolve, describe, [*mapping.ros_to_redis, *_outbound(matches)])
    entries: list[tuple[Route, _Entry]] = [
        *((route, _of_route(route, graph)) for route in mapping.ros_to_redis),
        *((route, _of_route(route, graph)) for route in mapping.redis_to_ros),
        *((each.pattern.template, _of_pattern(each, known, graph)) for each in matches),
    ]
    # As the mapping has them, but to Redis first.
    entries.sort(key=lambda entry: (isinstance(entry[0], RedisToRos), matching.path_of(entry[0])))
    lines = [f'in the running graph: {look.summary()}']
    section = None
    for route, entry in entries:
        path = matching.path_of(route)
        if path[0] != section:
            section = path[0]
            lines += ['', str(section)]
        lines += _lines(f'  [{path[1]}] ', entry, width)
    return Live(
        [folded(line, width) for line in lines],
        [f'{route.where}: {_error(entry)}' for route, entry in entries if entry.problems],
    )


def _lines(begin: str, entry: _Entry, width: int | None) -> Iterator[str]:
    indent = ' ' * len(begin)
    if entry.title:
        yield begin + entry.title
        begin = indent
    if entry.rows:
        lines = [begin + line for line in table([(*row.cells, *row.then) for row in entry.rows])]
        if width is None or max(map(len, lines)) <= width:
            yield from lines
        else:
            heads = table([row.cells for row in entry.rows])
            tails = table([row.then for row in entry.rows])
            for head, tail in zip(heads, tails, strict=True):
                yield begin + head
                yield f'{indent}    {tail}'
    for name, reason in entry.problems.items():
        yield f'{indent}not carried: {name}: {reason}'


def _error(entry: _Entry) -> str:
    names_ = list(entry.problems)
    more = ', ...' if len(names_) > LISTED else ''
    return f'not carried: {", ".join(names_[:LISTED])}{more}'


def _outbound(matches: Sequence[Matches]) -> Iterator[RosToRedis]:
    for each in matches:
        for route in each.routes.values():
            if isinstance(route, RosToRedis):
                yield route


class _Graph:
    """What routes find in the graph; those to Redis share what they find of one topic."""

    def __init__(
        self,
        look: GraphLook,
        resolve: Resolve,
        describe: type_checks.Describe | None,
        outbound: Sequence[RosToRedis],
    ) -> None:
        self._look = look
        self._resolve = resolve
        self._describe = describe
        self._found: dict[RosToRedis, TopicLook] = {}
        by_topic: dict[str, list[RosToRedis]] = {}
        for route in outbound:
            by_topic.setdefault(resolve(route.topic), []).append(route)
        for topic, routes in by_topic.items():
            asked = [(route.type, route.qos) for route in routes]
            self._found.update(zip(routes, look.outbound(topic, asked), strict=True))

    def topic(self, route: Route) -> str:
        """Return the full name of a route's topic."""
        return self._resolve(route.topic)

    def look(self, route: Route) -> TopicLook:
        """Return what a route finds of its topic."""
        if isinstance(route, RedisToRos):
            is_latched = not route.source.is_event
            return self._look.inbound(self.topic(route), route.type, route.qos, is_latched)
        found = self._found[route]
        error = self._type_error(replace(route, type=found.type)) if found.qos else None
        return found if error is None else found._replace(state=f'error: {error}')

    def _type_error(self, route: RosToRedis) -> str | None:
        """Return why a route does not go with a type that was discovered."""
        if self._describe is None:
            return None
        found = type_checks.errors({matching.path_of(route): route}, self._describe)
        # Without a frame in a type that was discovered, messages are carried as they are.
        return next((text for path, text in found if path[-1] != 'frame_prefix'), None)


# --- one route or pattern ------------------------------------------------------------------------
def _of_route(route: Route, graph: _Graph) -> _Entry:
    found = graph.look(route)
    name = _name_of(route, graph)
    if problem := _problem(found):
        return _Entry(str(route), [], {name: problem})
    return _Entry('', [_row(name, route, found, graph)], {})


def _of_pattern(matches: Matches, known: Stored | None, graph: _Graph) -> _Entry:
    pattern = matches.pattern
    template = pattern.template
    if isinstance(template, RosToRedis):
        return _of_matches(f'{pattern.names}', 'topic', matches, graph)
    kind = template.source.kind
    title = f'{kind} {pattern.names}'
    if template.source.redis_type is None:
        how = f'each {kind} on which a message comes, up to {pattern.max_matches}'
        return _Entry(f'{title}: {how}', [], {})
    if known is None:
        return _Entry(f'{title}: not checked', [], {})
    return _of_matches(title, f'registered {kind}', matches, graph)


def _of_matches(title: str, what: str, matches: Matches, graph: _Graph) -> _Entry:
    rows: list[_Row] = []
    problems: dict[str, str] = {}
    for name, route in matches.routes.items():
        found = graph.look(route)
        if problem := _problem(found):
            problems[name] = problem
        else:
            rows.append(_row(_name_of(route, graph), route, found, graph))
    problems.update(matches.rejected)
    count = len(rows) + len(problems)
    if problems:
        how = f'{len(rows)} of {_counted(count, what)} that {_match(count)} can be carried'
    else:
        how = f'{_counted(count, what)} {_match(count)}'
    return _Entry(f'{title}: {how}', rows, problems)


def _counted(count: int, what: str) -> str:
    return f'{count or "no"} {what}{"s" if count > 1 else ""}'


def _match(count: int) -> str:
    return 'match' if count > 1 else 'matches'


def _problem(found: TopicLook) -> str | None:
    """Return why a route carries nothing; None if nothing but the other side is missing."""
    if found.state in ('open', WAITING):
        return None
    return found.state.removeprefix('error: ')


def _name_of(route: Route, graph: _Graph) -> str:
    if isinstance(route, RedisToRos):
        return f'{route.source.kind} {route.source.name}'
    return graph.topic(route)


def _row(name: str, route: Route, found: TopicLook, graph: _Graph) -> _Row:
    facts = f'{found.type}, QoS {found.qos}'
    if isinstance(route, RosToRedis):
        sinks = ', '.join(f'{sink.kind} {sink.name}' for sink in route.sinks)
        return _Row((name, facts if found.ends else 'no publisher'), (f'-> {sinks}',))
    heard = _counted(found.ends, 'subscriber')
    return _Row((name, f'-> {graph.topic(route)}'), (f'{facts}, {heard}',))
