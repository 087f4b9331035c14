# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The rules that hold within one route, and the route built from it."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from typing import Any, TypeVar

from redis_bridge.errors import InterfaceError
from redis_bridge.mapping import patterns
from redis_bridge.mapping.model import (
    SINKS,
    SOURCES,
    ChannelSourceConfig,
    FramePrefix,
    Qos,
    RedisToRos,
    RosToRedis,
    RoutePattern,
    SinkConfig,
    SourceConfig,
    Stop,
    StreamSourceConfig,
)
from redis_bridge.mapping.patterns import Capture, NamePattern
from redis_bridge.mapping.yaml12 import Finding, Path
from redis_bridge.payloads import CODECS, WITH_ARRAYS, WITH_META
from redis_bridge.protocol import names

MAX_MATCHES = 100  # names that one pattern may match
_WHOLE_ONLY = "{} carries whole messages, it cannot be combined with '{}'"

R = TypeVar('R', RosToRedis, RedisToRos)
_Found = Iterator[tuple[Path, str]]  # paths inside the route
_IS_CAPTURE = re.compile(r'\{\w+:\*\*?\}')


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
        self.is_outbound = section == 'ros_to_redis'
        self.raw: dict[str, Any] = root[str(section)][index]
        self._document_is_valid = is_valid
        redis = root.get('redis')
        self.is_sharded = isinstance(redis, dict) and redis.get('sharded_pubsub') is True
        given = root.get('defaults')
        self.defaults = {
            key: value
            for key, value in (given.items() if isinstance(given, dict) else ())
            if value is not None and is_valid(('defaults', key))
        }
        self.settings = {**self.defaults, **self.raw}
        self.sinks = _by_kind(SINKS, self.raw.get('to'))
        self.sources = _by_kind(SOURCES, self.raw)
        self.variables = variables
        self.captures: list[Capture] = patterns.captures(self.matched[1]) if self.matched else []
        named = {capture.name: f'{{{capture.name}}}' for capture in self.captures}
        self._values: MappingOf[str, str] = {**named, **variables}

    @property
    def matched(self) -> tuple[Path, str] | None:
        """The template whose captures are those of the route: of its topic, or of its source."""
        found = [(steps, text) for steps, text, _ in self.templates() if steps[-1] != 'group']
        own = ('topic',) if self.is_outbound else (*self.sources, 'name')[:1]
        return next(((steps, text) for steps, text in found if steps[:1] == own), None)

    def pattern(self) -> NamePattern:
        """Return the pattern of the names that the route is for; raises ValueError."""
        template = self.matched[1] if self.matched else ''
        return NamePattern.of(template, self.variables, is_topic=self.is_outbound)

    def with_values(self, captured: MappingOf[str, str]) -> RouteReader:
        """Return the route for a name that matches."""
        other = copy.copy(self)
        other._values = {**self.variables, **captured}
        return other

    def sample(self) -> RouteReader:
        """Return the route for a name that might match."""
        return self.with_values({capture.name: patterns.SAMPLE for capture in self.captures})

    def excluded(self, text: str) -> NamePattern:
        """Return the names that an entry of `exclude` leaves out; raises ValueError."""
        return NamePattern.of(text, self._values, is_topic=self.is_outbound)

    def is_valid(self, *steps: str | int) -> bool:
        """Return whether no error was found at, in or around a part of the route."""
        return self._document_is_valid((*self.path, *steps))

    def options(self, *keys: str) -> dict[str, Any]:
        """Return the options that the route or the defaults set, as keyword arguments."""
        return _whole({key: self.settings[key] for key in keys if key in self.settings})

    def templates(self) -> Iterator[tuple[Path, str, Callable[[str], str | None]]]:
        """Yield the names of the route: their steps, templates and rules."""
        if isinstance(self.raw.get('topic'), str):
            yield ('topic',), self.raw['topic'], names.topic_problem
        if isinstance(self.raw.get('frame_prefix'), str):
            yield ('frame_prefix',), self.raw['frame_prefix'], names.frame_prefix_problem
        places: list[tuple[Path, Any]] = [((kind,), self.raw[kind]) for kind in self.sources]
        places += [(('to', kind), self.raw['to'][kind]) for kind in self.sinks]
        for steps, given in places:
            if isinstance(given, str):
                yield steps, given, names.redis_name_problem
            for key in ('name', 'group') if isinstance(given, dict) else ():
                if isinstance(given.get(key), str):
                    yield (*steps, key), given[key], names.redis_name_problem

    def expand(self, template: str) -> str:
        """Return the Redis name that a template makes; raises ValueError."""
        return patterns.expand(template, self._values)

    def expand_topic(self, template: str) -> str:
        """Return the topic that a template makes; raises ValueError."""
        return patterns.expand(template, self._values, is_topic=True)

    def encoding(self, sink: str | None = None) -> tuple[str, Path, str]:
        """Return an encoding, and where that is said: in steps, and as a remark.

        :param sink: the kind of the sink; None for the encoding of the route.
        """
        own = self.sinks[sink].get('encoding') if sink else None
        if sink and own is not None:
            return own, ('to', sink, 'encoding'), ''
        from_defaults = 'encoding' not in self.raw and 'encoding' in self.defaults
        remark = ' (from defaults)' if from_defaults else ''
        return self.settings.get('encoding', RedisToRos.encoding), ('encoding',), remark

    def qos(self) -> Qos:
        """Return the QoS of the route, filled from the defaults."""
        return Qos(**_whole({**self.defaults.get('qos', {}), **self.raw.get('qos', {})}))

    def frames(self) -> FramePrefix | None:
        """Return what is before the names of frames in Redis; raises ValueError."""
        prefix = self.settings.get('frame_prefix')
        if prefix is None:
            return None
        shared = self.settings.get('shared_frames', ()) if self.is_outbound else ()
        is_default = 'frame_prefix' not in self.raw
        return FramePrefix(self.expand(prefix), tuple(shared), is_default)


def _by_kind(kinds: Iterable[str], given: Any) -> dict[str, dict[str, Any]]:
    """Return the options of each sink or source; of one that is only a name, the name."""
    found = {kind: given[kind] for kind in kinds if isinstance(given, dict) and kind in given}
    return {
        kind: options if isinstance(options, dict) else {'name': options}
        for kind, options in found.items()
    }


def _whole(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with 5 for 5.0, which is the same for JSON Schema."""
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in options.items()
    }


def errors(route: RouteReader) -> Iterator[Finding]:
    """Yield the errors of a route; rules on options already reported as invalid are skipped."""
    rules = _OUTBOUND_RULES if route.is_outbound else _INBOUND_RULES
    for keys, rule in (*_COMMON_RULES, *rules):
        if all(map(route.is_valid, keys)):
            for steps, text in rule(route):
                yield Finding((*route.path, *steps), text)


# --- rules for both directions -----------------------------------------------------------------
def _names(route: RouteReader) -> _Found:
    sample = route.sample()
    for steps, template, problem in route.templates():
        if not route.is_valid(*steps):
            continue
        if patterns.captures(template) and route.matched != (steps, template):
            where = 'topic' if route.is_outbound else 'Redis name'
            yield steps, f'only the {where} that is matched has captures: write {{x}} for {{x:*}}'
            continue
        try:
            expand = sample.expand_topic if steps == ('topic',) else sample.expand
            name = expand(template)
        except ValueError as error:
            yield steps, f'{error}{_pattern_hint(route, steps, template)}'
            continue
        if text := problem(name):
            yield steps, text + (f' (from {template!r})' if name != template else '')


def _pattern_hint(route: RouteReader, steps: Path, template: str) -> str:
    """Return how to write a pattern, if a template may be meant as one."""
    known = {*route.variables, *(capture.name for capture in route.captures)}
    unknown = sorted(filter(str.isidentifier, patterns.variables_in(template) - known))
    if not unknown or route.matched != (steps, template):
        return ''
    return f'; to match any name, write {{{unknown[0]}:*}}'


def _captures(route: RouteReader) -> _Found:
    if not route.captures or route.matched is None:
        return
    steps, template = route.matched
    names_ = [capture.name for capture in route.captures]
    for name in dict.fromkeys(names_):
        if name in route.variables:
            yield steps, f'{{{name}}} is a variable already: give the capture another name'
        if names_.count(name) > 1:
            yield steps, f'{{{name}}} is captured twice: give one of them another name'
    if '}{' in template.replace('}}', '}').replace('{{', '{'):
        yield steps, 'two captures need something between them, which tells where one ends'
    if route.is_outbound:
        for part in template.split('/'):
            if patterns.captures(part) and not _IS_CAPTURE.fullmatch(part):
                yield steps, f'a capture is all that is between two slashes, got {part!r}'
        if not template.startswith('/'):
            yield steps, "a pattern of topics is a full name: it begins with '/'"


def _type(route: RouteReader) -> _Found:
    text = route.raw.get('type')
    try:
        name = text and names.normal_type(text)
    except InterfaceError as error:
        yield ('type',), str(error)
    else:
        if name and '/msg/' not in name:
            yield ('type',), f'a topic carries messages, got {name!r}'


def _excluded(route: RouteReader) -> _Found:
    if route.raw.get('exclude') and not route.captures:
        yield ('exclude',), 'only a pattern such as {x:*} has names to leave out'
        return
    sample = route.sample()
    for index, text in enumerate(route.raw.get('exclude', ())):
        try:
            sample.excluded(text)
        except ValueError as error:
            yield ('exclude', index), str(error)
            continue
        if route.is_outbound and not text.startswith('/'):
            yield (
                ('exclude', index),
                "topics that match are full names: expected one that begins with '/', "
                f'got {text!r}',
            )


def _field_paths(route: RouteReader) -> _Found:
    for key in ('field', 'fields', 'required', 'set', 'limits'):
        given = route.raw.get(key) if route.is_valid(key) else None
        paths: Iterable[tuple[Path, str]] = [((key, path), path) for path in given or ()]
        if isinstance(given, str):
            paths = [((key,), given)]
        elif isinstance(given, list):
            paths = [((key, index), path) for index, path in enumerate(given)]
        for steps, path in paths:
            if problem := names.field_path_problem(path):
                yield steps, problem


_Rules = tuple[tuple[tuple[str, ...], Callable[[RouteReader], _Found]], ...]
_COMMON_RULES: _Rules = (
    ((), _names),
    (('topic', *SOURCES), _captures),
    (('type',), _type),
    (('exclude',), _excluded),
    ((), _field_paths),
)


# --- from ROS to Redis -------------------------------------------------------------------------
def _payload_encodings(route: RouteReader) -> list[tuple[str, Path, str]]:
    return sorted(
        {
            route.encoding(kind)
            for kind, options in route.sinks.items()
            if SINKS[kind].encoding and options.get('send') != 'notice'
        }
    )


def _field_or_fields(route: RouteReader) -> _Found:
    if route.raw.get('field') and route.raw.get('fields'):
        yield ('fields',), "write either 'field' or 'fields', not both"


def _encodings_fit(route: RouteReader) -> _Found:
    for encoding, steps, remark in _payload_encodings(route):
        for key in ('field', 'fields'):
            if route.raw.get(key) and CODECS[encoding].carries_whole_only:
                yield steps, _WHOLE_ONLY.format(encoding + remark, key)
        if route.raw.get('fields') and CODECS[encoding].one_scalar:
            yield steps, f"{encoding}{remark} is one scalar: use 'field' instead of 'fields'"


def _hash_takes_fields(route: RouteReader) -> _Found:
    for kind in route.sinks:
        if route.raw.get('field') and SINKS[kind].encoding is None:
            fix = f"write 'fields: [{route.raw['field']}]', or use a key"
            yield ('to', kind), f'a {kind} has named fields: {fix}'


def _typed_is_carried(route: RouteReader) -> _Found:
    text = f'arrays: typed needs {WITH_ARRAYS}, expected arrays: list with {{}}'
    for kind, options in route.sinks.items():
        encoding = route.encoding(kind)[0]
        if options.get('arrays') == 'typed' and not CODECS[encoding].carries_arrays:
            yield ('to', kind, 'arrays'), text.format(encoding)
    encodings = sorted({encoding for encoding, _, _ in _payload_encodings(route)})
    carried = any(CODECS[encoding].carries_arrays for encoding in encodings)
    if route.raw.get('arrays') == 'typed' and not carried:
        yield ('arrays',), text.format(' and '.join(encodings) or 'a hash')


def _notice_needs_key(route: RouteReader) -> _Found:
    for kind, options in route.sinks.items():
        if options.get('send') == 'notice' and 'key' not in route.sinks:
            text = "a notice reports that the route's key has changed: the route needs a key"
            yield ('to', kind, 'send'), text


def _one_name_each(route: RouteReader) -> _Found:
    for kind, options in route.sinks.items() if route.captures else ():
        name = options.get('name')
        if SINKS[kind].redis_type is None or not isinstance(name, str):
            continue
        missing = [c.name for c in route.captures if c.name not in patterns.variables_in(name)]
        if missing:
            yield (
                ('to', kind),
                f'all topics that match would write this {kind}: put '
                f'{" and ".join(f"{{{name}}}" for name in missing)} into its name',
            )


def _shared_needs_prefix(route: RouteReader) -> _Found:
    if route.raw.get('shared_frames') and route.settings.get('frame_prefix') is None:
        yield ('shared_frames',), 'these are exceptions from frame_prefix, which the route lacks'


_OUTBOUND_RULES: _Rules = (
    (('field', 'fields'), _field_or_fields),
    (('field', 'fields', 'encoding', 'to'), _encodings_fit),
    (('field', 'to'), _hash_takes_fields),
    (('arrays', 'encoding', 'to'), _typed_is_carried),
    (('to',), _notice_needs_key),
    (('topic', 'to'), _one_name_each),
    (('frame_prefix', 'shared_frames'), _shared_needs_prefix),
)


def outbound(route: RouteReader, where: str) -> RosToRedis:
    """Return a valid route from ROS to Redis."""
    raw = route.raw
    return RosToRedis(
        where=where,
        topic=route.expand_topic(raw['topic']),
        sinks=tuple(_sink(route, kind) for kind in route.sinks),
        type=None if raw.get('type') is None else names.normal_type(raw['type']),
        field=raw.get('field'),
        fields=tuple(raw.get('fields', ())),
        frames=route.frames(),
        qos=route.qos(),
        **route.options('max_rate_hz', 'on_change', 'meta', 'max_bytes'),
    )


def outbound_pattern(route: RouteReader, where: str) -> RoutePattern[RosToRedis]:
    """Return a valid pattern of routes from ROS to Redis."""
    return _pattern(route, lambda matched: outbound(matched, where))


def _sink(route: RouteReader, kind: str) -> SinkConfig:
    options = _whole(route.sinks[kind])
    options['name'] = route.expand(options['name'])
    if SINKS[kind].encoding is not None:
        encoding = options['encoding'] = route.encoding(kind)[0]
        arrays = options.get('arrays', route.settings.get('arrays', 'list'))
        options['arrays'] = arrays if CODECS[encoding].carries_arrays else 'list'
    if SINKS[kind].redis_type is None:
        options['is_sharded'] = route.is_sharded
    return SINKS[kind](**options)


# --- from Redis to ROS -------------------------------------------------------------------------
def _one_source(route: RouteReader) -> _Found:
    if len(route.sources) > 1:
        got = ' and '.join(route.sources)
        yield (), f'expected only one of {", ".join(SOURCES)}, got {got}'
    elif not route.sources:
        yield (), f'expected one of {", ".join(SOURCES)} as the source'


def _group_and_from(route: RouteReader) -> _Found:
    for kind, options in route.sources.items():
        start, group = options.get('from', StreamSourceConfig.start), options.get('group')
        if not route.is_valid(kind):
            continue
        if start == 'group' and group is None:
            yield (kind,), "from: group needs the group's name: 'group' is missing"
        elif start != 'group' and group is not None:
            yield (kind, 'group'), f"a group needs 'from: group', got from: {start}"


def _initial_is_of_keys(route: RouteReader) -> _Found:
    for kind in route.sources if len(route.sources) == 1 else ():
        if 'initial' in route.raw and not hasattr(SOURCES[kind], 'initial'):
            yield ('initial',), f'only a key has an initial value, a {kind} has none'


def _field_is_carried(route: RouteReader) -> _Found:
    encoding, _, remark = route.encoding()
    if route.raw.get('field') and CODECS[encoding].carries_whole_only:
        yield ('field',), _WHOLE_ONLY.format(f'encoding {encoding}{remark}', 'field')


def _age_needs_stamp(route: RouteReader) -> _Found:
    encoding = route.encoding()[0]
    is_stamped = CODECS[encoding].carries_meta
    accepts = route.settings.get('unstamped') == 'accept'
    if route.settings.get('max_age_ms') is None or accepts or len(route.sources) != 1:
        return
    (kind,) = route.sources
    if not SOURCES[kind].carries_meta and (route.raw.get('field') or not is_stamped):
        what = 'a bare field' if is_stamped else encoding
        remark = '' if 'max_age_ms' in route.raw else ' (from defaults)'
        yield (
            ('max_age_ms',),
            f'{what} on a {kind} carries no stamp, so max_age_ms{remark} would reject all: '
            f"send whole messages as {WITH_META}, use a stream, or set 'unstamped: accept'",
        )


def _limits_are_ordered(route: RouteReader) -> _Found:
    for path, (lowest, highest) in route.raw.get('limits', {}).items():
        if lowest > highest:
            yield ('limits', path), f'expected [lowest, highest], got [{lowest}, {highest}]'


def _stop_is_a_message(route: RouteReader) -> _Found:
    stop = route.raw.get('stop') or {}
    yield from _plain_message(('stop', 'message'), stop.get('message'))


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
    ((), _group_and_from),
    ((*SOURCES, 'initial'), _initial_is_of_keys),
    (('encoding', 'field'), _field_is_carried),
    ((*SOURCES, 'encoding', 'field', 'max_age_ms', 'unstamped'), _age_needs_stamp),
    (('limits',), _limits_are_ordered),
    (('stop',), _stop_is_a_message),
)


def inbound(route: RouteReader, where: str) -> RedisToRos:
    """Return a valid route from Redis to ROS."""
    raw, stop = route.raw, route.raw.get('stop')
    return RedisToRos(
        where=where,
        source=_source(route),
        topic=route.expand_topic(raw['topic']),
        type=names.normal_type(raw['type']),
        field=raw.get('field'),
        limits={
            path: (float(low), float(high)) for path, (low, high) in raw.get('limits', {}).items()
        },
        required=tuple(raw.get('required', ())),
        set=raw.get('set', {}),
        frames=route.frames(),
        stop=None if stop is None else Stop(**_whole(stop)),
        qos=route.qos(),
        **route.options('encoding', 'max_bytes', 'max_age_ms', 'unstamped', 'deliver', 'lease'),
    )


def _source(route: RouteReader) -> SourceConfig:
    ((kind, given),) = route.sources.items()
    expanded = {
        key: value and route.expand(value) for key, value in given.items() if key != 'from'
    }
    start = {'start': given['from']} if 'from' in given else {}
    initial = route.options('initial') if hasattr(SOURCES[kind], 'initial') else {}
    source = SOURCES[kind](**expanded, **start, **initial)
    if route.captures and isinstance(source, ChannelSourceConfig):
        return replace(source, pattern=route.pattern().glob)
    return source


def inbound_pattern(route: RouteReader, where: str) -> RoutePattern[RedisToRos]:
    """Return a valid pattern of routes from Redis to ROS."""
    return _pattern(route, lambda matched: inbound(matched, where))


# --- patterns ----------------------------------------------------------------------------------
def _pattern(route: RouteReader, make: Callable[[RouteReader], R]) -> RoutePattern[R]:
    """Return a valid pattern; `make` builds the route of a name that matches."""
    pattern, excluded = route.pattern(), route.raw.get('exclude', ())

    def build(name: str, captured: MappingOf[str, str]) -> R | None:
        matched = route.with_values(captured)
        if any(matched.excluded(text).may_match(name) for text in excluded):
            return None
        pattern.check(captured)
        for steps, template, problem in matched.templates():
            is_topic = steps == ('topic',)
            made = matched.expand_topic(template) if is_topic else matched.expand(template)
            if text := problem(made):
                raise ValueError(text)
        return make(matched)

    return RoutePattern(
        names=pattern,
        template=make(route),
        exclude=tuple(map(route.expand, excluded)),
        max_matches=int(route.raw.get('max_matches', MAX_MATCHES)),
        build=build,
    )
