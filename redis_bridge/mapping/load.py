# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Reads a mapping file, or tells all that is wrong with it, before anything is connected."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as MappingOf
from typing import Any

from redis_bridge.errors import InterfaceError, MappingError, Problem
from redis_bridge.mapping import cross_checks, patterns, schema
from redis_bridge.mapping import redis_url as urls
from redis_bridge.mapping import yaml12 as documents
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    ChannelSourceConfig,
    HashSinkConfig,
    Heartbeat,
    KeySinkConfig,
    KeySourceConfig,
    Mapping,
    Qos,
    RedisSettings,
    RedisToRos,
    RosToRedis,
    SinkConfig,
    SourceConfig,
    Stop,
    StreamSinkConfig,
    StreamSourceConfig,
    Tls,
)
from redis_bridge.mapping.yaml12 import Document, Path
from redis_bridge.protocol import names

SINKS = {
    sink.kind: sink
    for sink in (KeySinkConfig, HashSinkConfig, StreamSinkConfig, ChannelSinkConfig)
}
SOURCES = {
    source.kind: source for source in (ChannelSourceConfig, KeySourceConfig, StreamSourceConfig)
}
ROBOT = ('vars', 'robot')
ROBOT_ADVICE = (
    'give it by --robot NAME, by the node parameter or launch argument robot:=NAME, or here: '
    'robot: ${ROBOT} takes it from the environment'
)
_PATTERNS = 'patterns such as {x:*} are not yet supported'
_UNSTAMPED = ('text', 'cdr')  # encodings without `_meta`


def load(
    path: str | os.PathLike,
    *,
    robot: str | None = None,
    variables: MappingOf[str, str] | None = None,
    redis_url: str | None = None,
    environ: MappingOf[str, str] = os.environ,
) -> Mapping:
    """Return the checked mapping of a file.

    `robot`, `variables` and `redis_url` win over what the file says; empty ones do not count.
    Raises MappingError with all that is wrong, in the order of the lines. Messages carry no
    passwords.
    """
    given = dict(variables or {})
    if robot:
        given['robot'] = robot
    tolerated = {ROBOT, *(('vars', name) for name in given)}
    if redis_url:
        tolerated.add(('redis', 'url'))
    document = documents.read(os.fspath(path), environ, tolerated)
    schema.check(document)
    mapping = None
    if isinstance(document.value, dict):
        mapping = _mapping(document, given, redis_url)
    if document.errors or mapping is None:
        found = dict.fromkeys(document.errors)
        raise MappingError(sorted(found, key=lambda mistake: mistake.line or 0))
    return mapping


def _mapping(document: Document, given: dict[str, str], redis_url: str | None) -> Mapping | None:
    """Build the mapping; what cannot be built is left out, and blamed."""
    root = document.value
    for section in ('services', 'actions', 'parameters'):
        if document.sound((section,)) and root.get(section):
            document.blame((section,), f'{section} are not yet supported')
    variables = _variables(document, given)
    outbound = _each(document, 'ros_to_redis', variables, _ros_to_redis)
    inbound = _each(document, 'redis_to_ros', variables, _redis_to_ros)
    for path, text in cross_checks.mistakes(outbound, inbound):
        document.blame(path, text)
    redis = _redis(document, redis_url)
    presence = _presence(document)
    if document.errors:
        return None
    return Mapping(
        path=document.file,
        robot=variables['robot'],
        redis=redis,
        ros_to_redis=tuple(outbound.values()),
        redis_to_ros=tuple(inbound.values()),
        presence=presence,
        executor=root.get('executor', Mapping.executor),
    )


# --- variables, Redis, presence ----------------------------------------------------------------
def _variables(document: Document, given: dict[str, str]) -> dict[str, str]:
    """Return all variables; those without a usable value have some value, and are blamed."""
    section = _section(document, 'vars')
    values = {**section, **given}
    values.setdefault('robot', None)
    variables = {}
    for name, value in values.items():
        path = ('vars', name)
        usable = name in given or document.sound(path)
        variables[name] = str(value) if usable and value is not None else name
        if name == 'robot':
            problem = _robot_problem(document, value, usable)
        elif usable and set(str(value)) & set('{}'):
            problem = 'a variable is plain text: write braces where it is used'
        else:
            problem = None
        if problem:
            document.blame(path, problem)
            variables[name] = name
    return variables


def _robot_problem(document: Document, value: Any, usable: bool) -> str | None:
    if value is not None and value != '':
        return names.robot_problem(str(value)) if usable else None
    if ROBOT in document.unset:
        return f'{document.unset[ROBOT]}, so the robot has no name: {ROBOT_ADVICE}'
    return f'the robot has no name: {ROBOT_ADVICE}' if document.sound(ROBOT) else None


def _redis(document: Document, url_given: str | None) -> RedisSettings:
    section = _section(document, 'redis')
    path = ('redis', 'url')
    url = RedisSettings.url
    if url_given:
        problem = _url_problem(url_given)
        if urls.has_password(url_given):
            problem = (
                'the url that was given carries a password, which others can read there: name a '
                'file as redis.password_file, or let redis.url take it from the environment'
            )
        if problem:
            document.errors.append(Problem(document.file, None, 'redis_url', problem))
        url = url_given
    elif 'url' in section and document.sound(path):
        url = section['url']
        problem = _url_problem(url)
        if problem is None and urls.has_password(document.masks.get(path, url)):
            problem = schema.NO_PASSWORD
        if problem:
            document.blame(path, problem)
    tls = _tls(document, section.get('tls') or {}, url)
    return RedisSettings(
        url=url,
        username=section.get('username'),
        password_file=_beside(document, section.get('password_file')),
        tls=tls,
    )


def _url_problem(url: str) -> str | None:
    try:
        urls.parse(url)
    except urls.RedisUrlError as error:
        return str(error)
    return None


def _tls(document: Document, options: dict[str, Any], url: str) -> Tls | None:
    path = ('redis', 'tls')
    if not document.sound(path) or all(value is None for value in options.values()):
        return None
    if url.startswith(('redis:', 'unix:')):
        document.blame(path, 'TLS needs a url that begins with rediss://')
    if (options.get('cert') is None) != (options.get('key') is None):
        document.blame(path, "'cert' and 'key' go together")
    version = options.get('min_version')
    return Tls(
        ca=_beside(document, options.get('ca')),
        cert=_beside(document, options.get('cert')),
        key=_beside(document, options.get('key')),
        min_version=None if version is None else str(version),
    )


def _beside(document: Document, file: Any) -> str | None:
    """Return a file's path, taken from the folder of the mapping file where it is relative."""
    if not isinstance(file, str):
        return None
    return os.path.join(pathlib.Path(document.file).parent, os.path.expanduser(file))


def _presence(document: Document) -> Heartbeat:
    section = _section(document, 'presence')
    if not document.sound(('presence',)):
        return Heartbeat()
    heartbeat = Heartbeat(**{key: int(value) for key, value in section.items()})
    if heartbeat.ttl_ms <= heartbeat.every_ms:
        document.blame(
            ('presence', 'ttl_ms'),
            f'expected more than every_ms ({heartbeat.every_ms}), got {heartbeat.ttl_ms}: the '
            'bridge would count as gone between two heartbeats',
        )
    return heartbeat


def _section(document: Document, name: str) -> dict[str, Any]:
    section = document.value.get(name)
    return section if isinstance(section, dict) else {}


# --- one route ---------------------------------------------------------------------------------
class _Draft:
    """One route as the file has it, with what its rules ask of it."""

    def __init__(self, document: Document, path: Path, variables: dict[str, str]) -> None:
        self.document = document
        self.path = path
        self.raw = document.value[path[0]][path[1]]
        self.defaults = _section(document, 'defaults')
        captures = set()
        for template in _texts(self.raw):
            captures |= set(patterns.captures(template))
        self.has_captures = bool(captures)
        self._variables = {**dict.fromkeys(captures, 'x'), **variables}

    def sound(self, *keys: str) -> bool:
        return all(self.document.sound((*self.path, key)) for key in keys)

    def says(self, *steps: str) -> bool:
        """Tell whether the route itself says something, and not only null, at `steps`."""
        value = self.raw
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return value is not None

    def option(self, key: str, otherwise: Any = None) -> Any:
        """Return an option of the route, of the defaults, or `otherwise`."""
        if key in self.raw:
            return self.raw[key]
        default = self.defaults.get(key)
        if default is None or not self.document.sound(('defaults', key)):
            return otherwise
        return default

    def options(self, *keys: str) -> dict[str, Any]:
        """Return those options for which somebody says anything, as keyword arguments."""
        found = {key: self.option(key, _NOTHING) for key in keys}
        return {key: _whole(value) for key, value in found.items() if value is not _NOTHING}

    def blame(self, steps: Iterable[str | int], text: str) -> None:
        self.document.blame((*self.path, *steps), text)

    def name(self, template: Any, steps: tuple, problem: Callable[[str], str | None]) -> str:
        """Return the name that a template makes; blamed at `steps` if it is none."""
        if not self.document.sound((*self.path, *steps)):
            return ''
        if patterns.captures(template):
            self.blame(steps, _PATTERNS)
            return ''
        try:
            name = patterns.expand(template, self._variables)
        except ValueError as reason:
            self.blame(steps, str(reason))
            return ''
        text = problem(name)
        if text and not self.has_captures:
            made = f' (from {template!r})' if name != template else ''
            self.blame(steps, text + made)
        return name

    def qos(self) -> Qos:
        own, default = self.raw.get('qos', {}), self.defaults.get('qos', {})
        merged = {**default, **own} if self.document.sound(('defaults', 'qos')) else own
        return Qos(**{key: _whole(value) for key, value in merged.items()})

    def type(self) -> str | None:
        text = self.raw.get('type')
        if text is None or not self.sound('type'):
            return None
        try:
            name = names.normal_type(text)
        except InterfaceError as error:
            self.blame(('type',), str(error))
            return None
        if '/msg/' not in name:
            self.blame(('type',), f'a topic carries messages, got {name!r}')
        return name

    def topic(self) -> str:
        if not self.sound('topic'):
            return ''
        return self.name(self.raw['topic'], ('topic',), names.topic_problem)

    def where(self) -> str:
        line = self.document.line(self.path)
        return f'{self.document.file}:{line}: {documents.dotted(self.path)}'

    @property
    def is_good(self) -> bool:
        return self.document.sound(self.path)


_NOTHING = object()


def _whole(value: Any) -> Any:
    """Return 5 for 5.0, which JSON Schema takes for the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a route that may be templates."""
    for key in ('topic', 'to', *SOURCES):
        inner = value.get(key) if isinstance(value, dict) else None
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, dict):
            for sink in (inner, *inner.values()):
                name = sink.get('name') if isinstance(sink, dict) else sink
                if isinstance(name, str):
                    yield name


def _each(document: Document, section: str, variables: dict[str, str], build: Callable) -> dict:
    """Return the good routes of a section by their paths."""
    routes = {}
    listed = document.value.get(section)
    for index in range(len(listed) if isinstance(listed, list) else 0):
        path = (section, index)
        if isinstance(listed[index], dict):
            draft = _Draft(document, path, variables)
            route = build(draft)
            if draft.is_good:
                routes[path] = route
    return routes


def _apply(draft: _Draft, rules: Iterable[tuple[tuple[str, ...], Callable]]) -> None:
    """Run the rules whose keys are sound: a mistake has no others in its train."""
    for keys, rule in rules:
        if draft.sound(*keys):
            for steps, text in rule(draft):
                draft.blame(steps, text)


_Found = Iterator[tuple[tuple, str]]


def _patterns(draft: _Draft) -> _Found:
    if draft.raw.get('exclude'):
        yield ('exclude',), _PATTERNS


def _field_paths(draft: _Draft) -> _Found:
    for key in ('field', 'fields', 'required', 'set', 'limits'):
        if draft.sound(key):
            for steps, path in _paths_in((key,), draft.raw.get(key)):
                problem = names.field_path_problem(path)
                if problem:
                    yield steps, problem


def _paths_in(steps: tuple, value: Any) -> Iterator[tuple[tuple, str]]:
    if isinstance(value, str):
        yield steps, value
    elif isinstance(value, list):
        yield from (((*steps, index), path) for index, path in enumerate(value))
    elif isinstance(value, dict):
        yield from (((*steps, path), path) for path in value)


# --- a route from ROS to Redis -----------------------------------------------------------------
def _ros_to_redis(draft: _Draft) -> RosToRedis | None:
    topic, type_name = draft.topic(), draft.type()
    sinks = tuple(_sinks(draft)) if draft.sound('to', 'encoding', 'arrays') else ()
    _apply(draft, _OUTBOUND_RULES)
    if not draft.is_good:
        return None
    return RosToRedis(
        where=draft.where(),
        topic=topic,
        sinks=sinks,
        type=type_name,
        field=draft.raw.get('field'),
        fields=tuple(draft.raw.get('fields', ())),
        qos=draft.qos(),
        **draft.options('max_rate_hz', 'on_change', 'meta', 'max_bytes'),
    )


def _sinks(draft: _Draft) -> Iterator[SinkConfig]:
    for kind, sink in SINKS.items():
        if kind not in draft.raw['to']:
            continue
        options = dict(_sink_options(draft, kind))
        steps = ('to', kind, 'name') if draft.says('to', kind, 'name') else ('to', kind)
        options['name'] = draft.name(options['name'], steps, names.redis_name_problem)
        if kind != HashSinkConfig.kind:
            options['encoding'] = _encoding(draft, kind)[0]
            arrays = options.get('arrays', draft.option('arrays', sink.arrays))
            options['arrays'] = arrays if options['encoding'] == 'msgpack' else sink.arrays
        yield sink(**{key: _whole(value) for key, value in options.items()})


def _sink_options(draft: _Draft, kind: str) -> dict[str, Any]:
    sink = draft.raw['to'][kind]
    return {'name': sink} if isinstance(sink, str) else sink


def _encoding(draft: _Draft, kind: str) -> tuple[str, tuple, str]:
    """Return a sink's encoding, and where that is said: in steps, and as a remark."""
    if draft.says('to', kind, 'encoding'):
        return draft.raw['to'][kind]['encoding'], ('to', kind, 'encoding'), ''
    return _route_encoding(draft)


def _route_encoding(draft: _Draft) -> tuple[str, tuple, str]:
    encoding = draft.option('encoding', 'msgpack')
    from_defaults = 'encoding' not in draft.raw and 'encoding' in draft.defaults
    return encoding, ('encoding',), ' (from defaults)' if from_defaults else ''


def _payload_encodings(draft: _Draft) -> set[tuple[str, tuple, str]]:
    return {
        _encoding(draft, kind)
        for kind in draft.raw['to']
        if kind != HashSinkConfig.kind and _sink_options(draft, kind).get('send') != 'notice'
    }


def _field_or_fields(draft: _Draft) -> _Found:
    if draft.says('field') and draft.raw.get('fields'):
        yield ('fields',), "'field' and 'fields' exclude each other"


def _encodings_fit(draft: _Draft) -> _Found:
    for encoding, steps, remark in sorted(_payload_encodings(draft)):
        if encoding == 'cdr' and draft.says('field'):
            yield steps, f"cdr{remark} carries whole messages, it cannot go with 'field'"
        elif encoding == 'cdr' and draft.raw.get('fields'):
            yield steps, f"cdr{remark} carries whole messages, it cannot go with 'fields'"
        elif encoding == 'text' and draft.raw.get('fields'):
            yield steps, f"text{remark} is one scalar: name it by 'field' instead of 'fields'"


def _hash_takes_fields(draft: _Draft) -> _Found:
    if draft.says('field') and 'hash' in draft.raw['to']:
        field = draft.raw['field']
        yield ('to', 'hash'), f"a hash has named fields: say 'fields: [{field}]', or make it a key"


def _typed_is_msgpack(draft: _Draft) -> _Found:
    text = "arrays: typed is msgpack's, expected arrays: list with {}"
    for kind in draft.raw['to']:
        if kind != HashSinkConfig.kind and _sink_options(draft, kind).get('arrays') == 'typed':
            encoding = _encoding(draft, kind)[0]
            if encoding != 'msgpack':
                yield ('to', kind, 'arrays'), text.format(encoding)
    encodings = {encoding for encoding, _, _ in _payload_encodings(draft)}
    if draft.raw.get('arrays') == 'typed' and 'msgpack' not in encodings:
        yield ('arrays',), text.format(' and '.join(sorted(encodings)) or 'a hash')


def _notice_needs_key(draft: _Draft) -> _Found:
    to = draft.raw['to']
    if 'channel' not in to or 'key' in to:
        return
    if _sink_options(draft, 'channel').get('send') == 'notice':
        yield ('to', 'channel', 'send'), 'a notice says that a key is new: the route needs a key'


_OUTBOUND_RULES = (
    (('exclude',), _patterns),
    ((), _field_paths),
    (('field', 'fields'), _field_or_fields),
    (('field', 'fields', 'encoding', 'to'), _encodings_fit),
    (('field', 'to'), _hash_takes_fields),
    (('arrays', 'encoding', 'to'), _typed_is_msgpack),
    (('to',), _notice_needs_key),
)


# --- a route from Redis to ROS -----------------------------------------------------------------
def _redis_to_ros(draft: _Draft) -> RedisToRos | None:
    topic, type_name = draft.topic(), draft.type()
    source = _source(draft)
    _apply(draft, _INBOUND_RULES)
    if not draft.is_good:
        return None
    raw = draft.raw
    return RedisToRos(
        where=draft.where(),
        source=source,
        topic=topic,
        type=type_name,
        field=raw.get('field'),
        limits={path: tuple(map(float, pair)) for path, pair in raw.get('limits', {}).items()},
        required=tuple(raw.get('required', ())),
        set=raw.get('set', {}),
        stop=_stop(raw.get('stop')),
        qos=draft.qos(),
        **draft.options('encoding', 'max_bytes', 'max_age_ms', 'unstamped', 'deliver'),
    )


def _source_kind(draft: _Draft) -> str | None:
    kinds = [kind for kind in SOURCES if kind in draft.raw]
    return kinds[0] if len(kinds) == 1 else None


def _source(draft: _Draft) -> SourceConfig | None:
    kind = _source_kind(draft)
    if kind is None or not draft.sound(kind):
        return None
    given = draft.raw[kind]
    options = {'name': given} if isinstance(given, str) else dict(given)
    steps = (kind,) if isinstance(given, str) else (kind, 'name')
    options['name'] = draft.name(options['name'], steps, names.redis_name_problem)
    if 'from' in options:
        options['start'] = options.pop('from')
    if options.get('group') is not None:
        options['group'] = draft.name(options['group'], (kind, 'group'), names.redis_name_problem)
    if kind == KeySourceConfig.kind:
        options.update(draft.options('initial'))
    return SOURCES[kind](**options)


def _stop(given: dict[str, Any] | None) -> Stop | None:
    if given is None:
        return None
    return Stop(**{key: _whole(value) for key, value in given.items()})


def _one_source(draft: _Draft) -> _Found:
    kinds = [kind for kind in SOURCES if kind in draft.raw]
    if len(kinds) > 1:
        yield (), f'expected only one of {", ".join(SOURCES)}, got {" and ".join(kinds)}'
    elif not kinds:
        yield (), f'expected one of {", ".join(SOURCES)}, to say where the messages come from'


def _group_and_from(draft: _Draft) -> _Found:
    stream = draft.raw.get('stream')
    if not isinstance(stream, dict):
        return
    start, group = stream.get('from', StreamSourceConfig.start), stream.get('group')
    if start == 'group' and group is None:
        yield ('stream',), "from: group needs the group's name: 'group' is missing"
    elif start != 'group' and group is not None:
        yield ('stream', 'group'), f"a group is read with 'from: group', got from: {start}"


def _initial_is_of_keys(draft: _Draft) -> _Found:
    kind = _source_kind(draft)
    if 'initial' in draft.raw and kind not in (None, KeySourceConfig.kind):
        yield ('initial',), f'only a key has a value from before, a {kind} has none'


def _cdr_is_whole(draft: _Draft) -> _Found:
    encoding, _, remark = _route_encoding(draft)
    if encoding == 'cdr' and draft.says('field'):
        yield ('field',), f"encoding cdr{remark} carries whole messages, it cannot go with 'field'"


def _age_needs_stamp(draft: _Draft) -> _Found:
    kind = _source_kind(draft)
    encoding = _route_encoding(draft)[0]
    bare = encoding in _UNSTAMPED or draft.says('field')
    accepts = draft.option('unstamped', RedisToRos.unstamped) == 'accept'
    if draft.option('max_age_ms') is None or kind in (None, StreamSourceConfig.kind):
        return
    if bare and not accepts:
        what = encoding if encoding in _UNSTAMPED else 'a bare field'
        remark = '' if 'max_age_ms' in draft.raw else ' (from defaults)'
        yield (
            ('max_age_ms',),
            f'{what} on a {kind} carries no stamp, so max_age_ms{remark} would refuse all: '
            "send whole messages as msgpack or json, use a stream, or say 'unstamped: accept'",
        )


def _limits_are_ordered(draft: _Draft) -> _Found:
    for path, (lowest, highest) in draft.raw.get('limits', {}).items():
        if lowest > highest:
            yield ('limits', path), f'expected [lowest, highest], got [{lowest}, {highest}]'


def _stop_is_a_message(draft: _Draft) -> _Found:
    stop = draft.raw.get('stop')
    if stop is not None:
        yield from _plain_message(('stop', 'message'), stop.get('message', {}))


def _plain_message(steps: tuple, value: Any) -> _Found:
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


_INBOUND_RULES = (
    (('exclude',), _patterns),
    ((), _field_paths),
    ((*SOURCES, 'hash'), _one_source),
    (('stream',), _group_and_from),
    ((*SOURCES, 'initial'), _initial_is_of_keys),
    (('encoding', 'field'), _cdr_is_whole),
    ((*SOURCES, 'encoding', 'field', 'max_age_ms', 'unstamped'), _age_needs_stamp),
    (('limits',), _limits_are_ordered),
    (('stop',), _stop_is_a_message),
)
