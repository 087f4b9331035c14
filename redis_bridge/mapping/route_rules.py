# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The rules that hold within one route, and the route built from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as MappingOf
from typing import Any

from redis_bridge.errors import InterfaceError
from redis_bridge.mapping import patterns
from redis_bridge.mapping.model import (
    SINKS,
    SOURCES,
    Qos,
    RedisToRos,
    RosToRedis,
    SinkConfig,
    SourceConfig,
    Stop,
    StreamSourceConfig,
)
from redis_bridge.mapping.yaml12 import Document, Finding, Path, dotted
from redis_bridge.payloads import CODECS, WITH_ARRAYS, WITH_META
from redis_bridge.protocol import names

_PATTERNS = 'patterns such as {x:*} are not yet supported'

_Found = Iterator[tuple[Path, str]]  # paths inside the route
_NOTHING = object()
_WHOLE_ONLY = "{} carries whole messages, it cannot be combined with '{}'"


class RouteReader:
    """One route of a document, with what its rules ask of it."""

    def __init__(
        self,
        root: dict[str, Any],
        path: Path,
        variables: MappingOf[str, str],
        is_valid: Callable[[Path], bool],
    ) -> None:
        section, index = path
        self.path = path
        self.raw: dict[str, Any] = root[str(section)][index]
        given = root.get('defaults')
        self.defaults: dict[str, Any] = given if isinstance(given, dict) else {}
        self._document_is_valid = is_valid
        captures = {
            capture
            for _, template, _ in self.templates()
            if isinstance(template, str)
            for capture in patterns.captures(template)
        }
        self.has_captures = bool(captures)
        self._variables = {**dict.fromkeys(captures, 'x'), **variables}

    def is_valid(self, *steps: str | int) -> bool:
        """Return whether no error was found at, in or around a part of the route."""
        return self._document_is_valid((*self.path, *steps))

    def has_value(self, *steps: str) -> bool:
        """Return whether the route itself has a value other than null at `steps`."""
        value: Any = self.raw
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return value is not None

    def option(self, key: str, otherwise: Any = None) -> Any:
        """Return an option of the route, of the defaults, or `otherwise`."""
        if key in self.raw:
            return self.raw[key]
        default = self.defaults.get(key)
        if default is None or not self._document_is_valid(('defaults', key)):
            return otherwise
        return default

    def options(self, *keys: str) -> dict[str, Any]:
        """Return the options that the route or the defaults set, as keyword arguments."""
        found = {key: self.option(key, _NOTHING) for key in keys}
        return {key: _whole(value) for key, value in found.items() if value is not _NOTHING}

    def templates(self) -> Iterator[tuple[Path, Any, Callable[[str], str | None]]]:
        """Yield the names of the route: their steps, templates and rules."""
        yield ('topic',), self.raw.get('topic'), names.topic_problem
        for kind in SOURCES:
            if kind in self.raw:
                yield *_named((kind,), self.raw[kind]), names.redis_name_problem
        stream = self.raw.get('stream')
        if isinstance(stream, dict) and stream.get('group') is not None:
            yield ('stream', 'group'), stream['group'], names.redis_name_problem
        sinks = self.raw.get('to')
        for kind in SINKS:
            if isinstance(sinks, dict) and kind in sinks:
                yield *_named(('to', kind), sinks[kind]), names.redis_name_problem

    def expand(self, template: str) -> str:
        """Return the name that a template makes; raises ValueError."""
        return patterns.expand(template, self._variables)

    def qos(self) -> Qos:
        """Return the QoS of the route, filled from the defaults."""
        own, default = self.raw.get('qos', {}), self.defaults.get('qos', {})
        merged = {**default, **own} if self._document_is_valid(('defaults', 'qos')) else own
        return Qos(**{key: _whole(value) for key, value in merged.items()})


def _named(steps: Path, given: Any) -> tuple[Path, Any]:
    """Return where the name of a sink or source is, and its template."""
    return ((*steps, 'name'), given.get('name')) if isinstance(given, dict) else (steps, given)


def _whole(value: Any) -> Any:
    """Return 5 for 5.0, which is the same for JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def errors(route: RouteReader) -> Iterator[Finding]:
    """Yield the errors of a route; rules on options already reported as invalid are skipped."""
    rules = _OUTBOUND_RULES if route.path[0] == 'ros_to_redis' else _INBOUND_RULES
    for keys, rule in (*_COMMON_RULES, *rules):
        if all(map(route.is_valid, keys)):
            for steps, text in rule(route):
                yield Finding((*route.path, *steps), text)


# --- rules for both directions -----------------------------------------------------------------
def _names(route: RouteReader) -> _Found:
    for steps, template, problem in route.templates():
        if not isinstance(template, str) or not route.is_valid(*steps):
            continue
        if patterns.captures(template):
            yield steps, _PATTERNS
            continue
        try:
            name = route.expand(template)
        except ValueError as error:
            yield steps, str(error)
            continue
        text = problem(name)
        if text and not route.has_captures:
            yield steps, text + (f' (from {template!r})' if name != template else '')


def _type(route: RouteReader) -> _Found:
    text = route.raw.get('type')
    if text is None:
        return
    try:
        name = names.normal_type(text)
    except InterfaceError as error:
        yield ('type',), str(error)
        return
    if '/msg/' not in name:
        yield ('type',), f'a topic carries messages, got {name!r}'


def _patterns(route: RouteReader) -> _Found:
    if route.raw.get('exclude'):
        yield ('exclude',), _PATTERNS


def _field_paths(route: RouteReader) -> _Found:
    for key in ('field', 'fields', 'required', 'set', 'limits'):
        if route.is_valid(key):
            for steps, path in _paths_in((key,), route.raw.get(key)):
                problem = names.field_path_problem(path)
                if problem:
                    yield steps, problem


def _paths_in(steps: Path, value: Any) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield steps, value
    elif isinstance(value, list):
        yield from (((*steps, index), path) for index, path in enumerate(value))
    elif isinstance(value, dict):
        yield from (((*steps, path), path) for path in value)


_Rules = tuple[tuple[tuple[str, ...], Callable[[RouteReader], _Found]], ...]
_COMMON_RULES: _Rules = (
    ((), _names),
    (('type',), _type),
    (('exclude',), _patterns),
    ((), _field_paths),
)


# --- from ROS to Redis -------------------------------------------------------------------------
def _sink_options(route: RouteReader, kind: str) -> dict[str, Any]:
    sink: str | dict[str, Any] = route.raw['to'][kind]
    return {'name': sink} if isinstance(sink, str) else sink


def _encoding(route: RouteReader, kind: str) -> tuple[str, Path, str]:
    """Return a sink's encoding, and where that is said: in steps, and as a remark."""
    if route.has_value('to', kind, 'encoding'):
        return route.raw['to'][kind]['encoding'], ('to', kind, 'encoding'), ''
    return _route_encoding(route)


def _route_encoding(route: RouteReader) -> tuple[str, Path, str]:
    encoding = route.option('encoding', RedisToRos.encoding)
    from_defaults = 'encoding' not in route.raw and 'encoding' in route.defaults
    return encoding, ('encoding',), ' (from defaults)' if from_defaults else ''


def _payload_encodings(route: RouteReader) -> set[tuple[str, Path, str]]:
    return {
        _encoding(route, kind)
        for kind in route.raw['to']
        if SINKS[kind].encoding and _sink_options(route, kind).get('send') != 'notice'
    }


def _field_or_fields(route: RouteReader) -> _Found:
    if route.has_value('field') and route.raw.get('fields'):
        yield ('fields',), "write either 'field' or 'fields', not both"


def _encodings_fit(route: RouteReader) -> _Found:
    for encoding, steps, remark in sorted(_payload_encodings(route)):
        for key in ('field', 'fields'):
            if route.raw.get(key) and CODECS[encoding].carries_whole_only:
                yield steps, _WHOLE_ONLY.format(encoding + remark, key)
        if route.raw.get('fields') and CODECS[encoding].one_scalar:
            yield steps, f"{encoding}{remark} is one scalar: use 'field' instead of 'fields'"


def _hash_takes_fields(route: RouteReader) -> _Found:
    for kind in route.raw['to']:
        if route.has_value('field') and SINKS[kind].encoding is None:
            fix = f"write 'fields: [{route.raw['field']}]', or use a key"
            yield ('to', kind), f'a {kind} has named fields: {fix}'


def _typed_is_carried(route: RouteReader) -> _Found:
    text = f'arrays: typed needs {WITH_ARRAYS}, expected arrays: list with {{}}'
    for kind in route.raw['to']:
        if _sink_options(route, kind).get('arrays') == 'typed':
            encoding = _encoding(route, kind)[0]
            if not CODECS[encoding].carries_arrays:
                yield ('to', kind, 'arrays'), text.format(encoding)
    encodings = sorted({encoding for encoding, _, _ in _payload_encodings(route)})
    carried = any(CODECS[encoding].carries_arrays for encoding in encodings)
    if route.raw.get('arrays') == 'typed' and not carried:
        yield ('arrays',), text.format(' and '.join(encodings) or 'a hash')


def _notice_needs_key(route: RouteReader) -> _Found:
    to = route.raw['to']
    if 'channel' not in to or 'key' in to:
        return
    if _sink_options(route, 'channel').get('send') == 'notice':
        yield (
            ('to', 'channel', 'send'),
            "a notice reports that the route's key has changed: the route needs a key",
        )


_OUTBOUND_RULES: _Rules = (
    (('field', 'fields'), _field_or_fields),
    (('field', 'fields', 'encoding', 'to'), _encodings_fit),
    (('field', 'to'), _hash_takes_fields),
    (('arrays', 'encoding', 'to'), _typed_is_carried),
    (('to',), _notice_needs_key),
)


def outbound(route: RouteReader, document: Document) -> RosToRedis:
    """Return a valid route from ROS to Redis."""
    raw = route.raw
    return RosToRedis(
        where=_where(route, document),
        topic=route.expand(raw['topic']),
        sinks=tuple(_sinks(route)),
        type=None if raw.get('type') is None else names.normal_type(raw['type']),
        field=raw.get('field'),
        fields=tuple(raw.get('fields', ())),
        qos=route.qos(),
        **route.options('max_rate_hz', 'on_change', 'meta', 'max_bytes'),
    )


def _where(route: RouteReader, document: Document) -> str:
    return f'{document.file}:{document.line(route.path)}: {dotted(route.path)}'


def _sinks(route: RouteReader) -> Iterator[SinkConfig]:
    for kind, sink in SINKS.items():
        if kind not in route.raw['to']:
            continue
        options = dict(_sink_options(route, kind))
        options['name'] = route.expand(options['name'])
        if sink.encoding is not None:
            encoding = options['encoding'] = _encoding(route, kind)[0]
            arrays = options.get('arrays', route.option('arrays', 'list'))
            options['arrays'] = arrays if CODECS[encoding].carries_arrays else 'list'
        yield sink(**{key: _whole(value) for key, value in options.items()})


# --- from Redis to ROS -------------------------------------------------------------------------
def _source_kind(route: RouteReader) -> str | None:
    kinds = [kind for kind in SOURCES if kind in route.raw]
    return kinds[0] if len(kinds) == 1 else None


def _one_source(route: RouteReader) -> _Found:
    kinds = [kind for kind in SOURCES if kind in route.raw]
    if len(kinds) > 1:
        yield (), f'expected only one of {", ".join(SOURCES)}, got {" and ".join(kinds)}'
    elif not kinds:
        yield (), f'expected one of {", ".join(SOURCES)} as the source'


def _group_and_from(route: RouteReader) -> _Found:
    stream = route.raw.get('stream')
    if not isinstance(stream, dict):
        return
    start, group = stream.get('from', StreamSourceConfig.start), stream.get('group')
    if start == 'group' and group is None:
        yield ('stream',), "from: group needs the group's name: 'group' is missing"
    elif start != 'group' and group is not None:
        yield ('stream', 'group'), f"a group needs 'from: group', got from: {start}"


def _initial_is_of_keys(route: RouteReader) -> _Found:
    kind = _source_kind(route)
    if 'initial' in route.raw and kind and not hasattr(SOURCES[kind], 'initial'):
        yield ('initial',), f'only a key has an initial value, a {kind} has none'


def _field_is_carried(route: RouteReader) -> _Found:
    encoding, _, remark = _route_encoding(route)
    if route.has_value('field') and CODECS[encoding].carries_whole_only:
        yield ('field',), _WHOLE_ONLY.format(f'encoding {encoding}{remark}', 'field')


def _age_needs_stamp(route: RouteReader) -> _Found:
    kind = _source_kind(route)
    encoding = _route_encoding(route)[0]
    if route.option('max_age_ms') is None or kind is None or SOURCES[kind].carries_meta:
        return
    is_stamped = CODECS[encoding].carries_meta
    accepts = route.option('unstamped', RedisToRos.unstamped) == 'accept'
    if (route.has_value('field') or not is_stamped) and not accepts:
        what = 'a bare field' if is_stamped else encoding
        remark = '' if 'max_age_ms' in route.raw else ' (from defaults)'
        yield (
            ('max_age_ms',),
            f'{what} on a {kind} carries no stamp, so max_age_ms{remark} would reject all: '
            f"send whole messages as {WITH_META}, use a stream, or set 'unstamped: accept'",
        )


def _limits_are_ordered(route: RouteReader) -> _Found:
    for path, (lowest, highest) in _limits(route):
        if lowest > highest:
            yield ('limits', path), f'expected [lowest, highest], got [{lowest}, {highest}]'


def _stop_is_a_message(route: RouteReader) -> _Found:
    stop = route.raw.get('stop')
    if stop is not None:
        yield from _plain_message(('stop', 'message'), stop.get('message', {}))


def _plain_message(steps: Path, value: Any) -> _Found:
    if isinstance(value, dict):
        for key, inner in value.items():
            if '.' in key:
                yield (*steps, key), f'expected fields nested as in ROS, got the path {key!r}'
            yield from _plain_message((*steps, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _plain_message((*steps, index), inner)
    elif isinstance(value, float) and not math.isfinite(value):
        yield steps, 'a stop message has finite numbers only'


_INBOUND_RULES: _Rules = (
    ((*SOURCES, 'hash'), _one_source),
    (('stream',), _group_and_from),
    ((*SOURCES, 'initial'), _initial_is_of_keys),
    (('encoding', 'field'), _field_is_carried),
    ((*SOURCES, 'encoding', 'field', 'max_age_ms', 'unstamped'), _age_needs_stamp),
    (('limits',), _limits_are_ordered),
    (('stop',), _stop_is_a_message),
)


def inbound(route: RouteReader, document: Document) -> RedisToRos:
    """Return a valid route from Redis to ROS."""
    raw, stop = route.raw, route.raw.get('stop')
    return RedisToRos(
        where=_where(route, document),
        source=_source(route),
        topic=route.expand(raw['topic']),
        type=names.normal_type(raw['type']),
        field=raw.get('field'),
        limits={path: (float(low), float(high)) for path, (low, high) in _limits(route)},
        required=tuple(raw.get('required', ())),
        set=raw.get('set', {}),
        stop=None if stop is None else Stop(**{key: _whole(stop[key]) for key in stop}),
        qos=route.qos(),
        **route.options('encoding', 'max_bytes', 'max_age_ms', 'unstamped', 'deliver'),
    )


def _limits(route: RouteReader) -> Iterable[tuple[str, list[float]]]:
    limits: dict[str, list[float]] = route.raw.get('limits', {})
    return limits.items()


def _source(route: RouteReader) -> SourceConfig:
    kind = next(kind for kind in SOURCES if kind in route.raw)
    given = route.raw[kind]
    options = {'name': given} if isinstance(given, str) else dict(given)
    for key in ('name', 'group'):
        if options.get(key) is not None:
            options[key] = route.expand(options[key])
    if 'from' in options:
        options['start'] = options.pop('from')
    if hasattr(SOURCES[kind], 'initial'):
        options.update(route.options('initial'))
    return SOURCES[kind](**options)
