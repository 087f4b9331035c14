# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Reads a mapping file; the whole file is validated before anything connects."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Mapping as MappingOf
from typing import Any

from redis_bridge.errors import MappingError, Problem, did_you_mean
from redis_bridge.mapping import (
    cluster_rules,
    cross_checks,
    environment,
    patterns,
    route_rules,
    schema,
    topic_names,
    type_checks,
    yaml12,
)
from redis_bridge.mapping import redis_url as urls
from redis_bridge.mapping.model import (
    Heartbeat,
    LeaseConfig,
    Login,
    Mapping,
    RedisSettings,
    RedisToRos,
    Route,
    Tls,
)
from redis_bridge.mapping.route_rules import RouteReader
from redis_bridge.mapping.yaml12 import Document, Finding, Path, dotted
from redis_bridge.protocol import names

ROBOT = ('vars', 'robot')
_URL = ('redis', 'url')
_GIVEN_URL = ('redis_url',)  # not a place in the file
_FULL_NAMES = topic_names.resolver()
_ROBOT_ADVICE = (
    'set it with --robot NAME, with the node parameter or launch argument robot:=NAME, or with '
    'robot: ${ROBOT} here, which takes it from the environment'
)
_GIVEN_PASSWORD = (
    'the url that was given carries a password, which others can read there: use '
    'redis.password_file, or an environment variable in redis.url (`${REDIS_PASSWORD}`)'
)
_FIXED = 'cannot change while the bridge runs: restart it, or take the change back'


def load(
    path: str | os.PathLike[str],
    *,
    robot: str | None = None,
    variables: MappingOf[str, str] | None = None,
    redis_url: str | None = None,
    environ: MappingOf[str, str] = os.environ,
    resolve: topic_names.Resolve = _FULL_NAMES,
    describe: type_checks.Describe | None = None,
    running: Mapping | None = None,
) -> Mapping:
    """Return the checked mapping of a file.

    `robot`, `variables` and `redis_url` win over the file, unless they are empty. `resolve` makes
    the full names by which rules compare topics. With `describe` the routes are also checked
    against their message types. `running` is the mapping of a bridge that shall take this one:
    what it cannot change then is an error. Raises MappingError with every error, in the order of
    the lines; no text shows a password.
    """
    given = {**(variables or {}), **({'robot': robot} if robot else {})}
    document = yaml12.read(path)
    substituted = environment.substitute_all(document.value, environ)
    unset = substituted.unset
    may_be_unset = {ROBOT, *(('vars', name) for name in given), *([_URL] if redis_url else [])}

    errors = _Errors(document, unset)
    errors.add(document.errors)
    errors.add(Finding(at, unset[at]) for at in unset if at not in may_be_unset)
    errors.add(substituted.errors)
    root = schema.with_numbers(substituted.value, substituted.masks)
    errors.add(found for found in schema.errors(root) if errors.is_valid(found.place))
    if not isinstance(root, dict):
        raise errors.as_exception()

    errors.add(_not_yet_supported(root))
    usable = {
        name: value if name in given or errors.is_valid(('vars', name)) else None
        for name, value in {'robot': None, **_section(root, 'vars'), **given}.items()
    }
    errors.add(_variable_errors(usable, unset, errors))
    variables = {name: str(value or name) for name, value in usable.items()}
    errors.add(_default_prefix_errors(root, variables, errors))
    routes = list(_routes(root, variables, errors))
    errors.add(_names_that_become_one(variables, routes))
    for route in routes:
        errors.add(route_rules.errors(route))
    valid = [(route, _where(route.path, document)) for route in routes if route.is_valid()]
    plain = [(route, at) for route, at in valid if not route.captures]
    outbound = {r.path: route_rules.outbound(r, at) for r, at in plain if r.is_outbound}
    inbound = {r.path: route_rules.inbound(r, at) for r, at in plain if not r.is_outbound}
    patterned = [(route, at) for route, at in valid if route.captures]
    to_redis = {
        r.path: route_rules.outbound_pattern(r, at) for r, at in patterned if r.is_outbound
    }
    to_ros = {
        r.path: route_rules.inbound_pattern(r, at) for r, at in patterned if not r.is_outbound
    }
    templates: dict[Path, Route] = {path: each.template for path, each in to_redis.items()}
    templates.update((path, each.template) for path, each in to_ros.items())
    if describe is not None:
        found = type_checks.errors({**outbound, **inbound, **templates}, describe)
        errors.add(Finding(*each) for each in found)
    errors.add(Finding(*each) for each in cross_checks.errors(outbound, inbound, resolve))
    errors.add(_lease_errors(root, {**outbound, **inbound, **templates}))
    redis = _section(root, 'redis')
    in_cluster = str(redis_url or redis.get('url')).partition('://')[0] in urls.CLUSTER
    found = cluster_rules.errors(
        {**inbound, **{path: each.template for path, each in to_ros.items()}},
        in_cluster=in_cluster, is_sharded=redis.get('sharded_pubsub') is True,
    )  # fmt: skip
    errors.add(Finding(*each) for each in found)
    url_mask = substituted.masks.get(_URL)
    errors.add(_redis_errors(root, redis_url, url_mask, errors))
    errors.add(_presence_errors(root, errors))
    if running is not None:
        errors.add(
            _fixed_errors(running, root, variables['robot'], redis_url, document.file, errors)
        )
    if errors:
        raise errors.as_exception()
    return Mapping(
        path=document.file,
        robot=variables['robot'],
        redis=_redis(root, redis_url, document.file),
        ros_to_redis=tuple(outbound.values()),
        redis_to_ros=tuple(inbound.values()),
        outbound_patterns=tuple(to_redis.values()),
        inbound_patterns=tuple(to_ros.values()),
        presence=_presence(root),
        leases=_leases(root),
        executor=root.get('executor', Mapping.executor),
    )


class _Errors:
    """The errors found so far; each part of a file is valid until an error is in it."""

    def __init__(self, document: Document, unset: Collection[Path]) -> None:
        self._document = document
        self._unset = unset
        self._problems: list[Problem] = []
        self._invalid: set[Path] = set()
        self._around: set[Path] = set()

    def add(self, found: Iterable[Finding]) -> None:
        """Add errors one by one, so that a stage sees those that it has found itself."""
        for error in found:
            place = error.place
            line = None if place == _GIVEN_URL else error.line or self._document.line(place)
            self._invalid.add(place)
            self._around.update(place[:end] for end in range(len(place)))
            problem = Problem(self._document.file, line, dotted(error.path), error.text)
            self._problems.append(problem)

    def is_valid(self, path: Path) -> bool:
        """Return whether no error was found at, in or around `path`, so that it can be used."""
        if path in self._unset or path in self._around:
            return False
        return not any(path[:end] in self._invalid for end in range(len(path) + 1))

    def __bool__(self) -> bool:
        return bool(self._problems)

    def as_exception(self) -> MappingError:
        """Return all errors in the order of the lines."""
        return MappingError(sorted(dict.fromkeys(self._problems), key=lambda one: one.line or 0))


def _section(root: dict[str, Any], name: str) -> dict[str, Any]:
    section = root.get(name)
    return section if isinstance(section, dict) else {}


def _not_yet_supported(root: dict[str, Any]) -> Iterator[Finding]:
    for section in ('services', 'actions', 'parameters'):
        if isinstance(root.get(section), list) and root[section]:
            yield Finding((section,), f'{section} are not yet supported')


def _variable_errors(
    usable: dict[str, Any], unset: MappingOf[Path, str], errors: _Errors
) -> Iterator[Finding]:
    for name, value in usable.items():
        path = ('vars', name)
        if name == 'robot' and value in (None, ''):
            reason = f'{unset[path]}, so the robot' if path in unset else 'the robot'
            if path in unset or errors.is_valid(path):
                yield Finding(path, f'{reason} has no name: {_ROBOT_ADVICE}')
        elif name == 'robot':
            if problem := names.robot_problem(str(value)):
                yield Finding(path, problem)
        elif set(str(value)) & set('{}'):
            yield Finding(path, 'a variable has no braces: write them where it is used')


def _names_that_become_one(
    variables: dict[str, str], routes: Iterable[RouteReader]
) -> Iterator[Finding]:
    """Yield the variables whose values are another one's in topics, so that robots would share."""
    topics = (route.raw['topic'] for route in routes if isinstance(route.raw.get('topic'), str))
    used = {name for topic in topics for name in patterns.variables_in(topic)}
    first: dict[str, str] = {}  # the variable, by what it is in topics
    for name in (name for name in variables if name in used):
        value = variables[name]
        other = first.setdefault(names.topic_token(value), name)
        if variables[other] != value:
            yield Finding(
                ('vars', name),
                f'in topics, {value!r} becomes {names.topic_token(value)!r}, as '
                f'{variables[other]!r} of {other!r} does: rename one of them',
            )


def _default_prefix_errors(
    root: dict[str, Any], variables: dict[str, str], errors: _Errors
) -> Iterator[Finding]:
    path = ('defaults', 'frame_prefix')
    template = _section(root, 'defaults').get('frame_prefix')
    if not isinstance(template, str) or not errors.is_valid(path):
        return
    try:
        problem = names.frame_prefix_problem(patterns.expand(template, variables))
    except ValueError as error:
        problem = str(error)
    if problem:
        yield Finding(path, problem)


def _where(path: Path, document: Document) -> str:
    return f'{document.file}:{document.line(path)}: {dotted(path)}'


def _routes(
    root: dict[str, Any], variables: dict[str, str], errors: _Errors
) -> Iterator[RouteReader]:
    for section in ('ros_to_redis', 'redis_to_ros'):
        listed = root.get(section)
        for index, raw in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(raw, dict):
                yield RouteReader(root, (section, index), variables, errors.is_valid)


# --- Redis and presence ------------------------------------------------------------------------
def _redis_errors(
    root: dict[str, Any], given: str | None, mask: str | None, errors: _Errors
) -> Iterator[Finding]:
    url, problem = _section(root, 'redis').get('url'), None
    if given:
        given_problem = _GIVEN_PASSWORD if urls.has_password(given) else _url_problem(given)
        if given_problem:
            yield Finding(_GIVEN_URL, given_problem)
    elif isinstance(url, str) and errors.is_valid(_URL):
        problem = _url_problem(url)
    literal = url if mask is None else mask
    if not problem and isinstance(literal, str) and urls.has_password(literal):
        problem = schema.NO_PASSWORD
    if problem:
        yield Finding(_URL, problem)
    scheme = str(given or url or RedisSettings().url).partition('://')[0]
    if _is_set(root, 'tls', errors):
        tls = _section(_section(root, 'redis'), 'tls')
        if not scheme.startswith('rediss'):
            tls_scheme = 'rediss' + ''.join(scheme.partition('+')[1:])
            yield Finding(('redis', 'tls'), f'TLS needs a url that begins with {tls_scheme}://')
        if (tls.get('cert') is None) != (tls.get('key') is None):
            yield Finding(('redis', 'tls'), "'cert' and 'key' need each other")
    if _is_set(root, 'sentinel', errors) and not scheme.endswith('+sentinel'):
        yield Finding(
            ('redis', 'sentinel'),
            'a login at sentinels needs a url that begins with redis+sentinel://',
        )


def _is_set(root: dict[str, Any], part: str, errors: _Errors) -> bool:
    """Return whether a part of the redis section is valid and not all null."""
    section = _section(_section(root, 'redis'), part)
    return errors.is_valid(('redis', part)) and any(v is not None for v in section.values())


def _url_problem(url: str) -> str | None:
    try:
        urls.parse(url)
    except urls.RedisUrlError as error:
        return str(error)
    return None


def _redis(root: dict[str, Any], given: str | None, file: str) -> RedisSettings:
    section = _section(root, 'redis')
    tls, version = _section(section, 'tls'), _section(section, 'tls').get('min_version')
    files = {key: _beside(file, tls.get(key)) for key in ('ca', 'cert', 'key')}
    settings = Tls(**files, min_version=None if version is None else str(version))
    at_sentinels = _section(section, 'sentinel')
    login = Login(at_sentinels.get('username'), _beside(file, at_sentinels.get('password_file')))
    return RedisSettings(
        url=given or section.get('url') or RedisSettings().url,
        username=section.get('username'),
        password_file=_beside(file, section.get('password_file')),
        tls=None if settings == Tls() else settings,
        sentinel=None if login == Login() else login,
        sharded_pubsub=section.get('sharded_pubsub') is True,
    )


def _beside(mapping_file: str, file: str | None) -> str | None:
    """Return a file's path; a relative one starts at the folder of the mapping file."""
    if file is None:
        return None
    return os.path.join(pathlib.Path(mapping_file).parent, os.path.expanduser(file))


def _lease_errors(root: dict[str, Any], routes: MappingOf[Path, Route]) -> Iterator[Finding]:
    listed = _section(root, 'leases')
    first: dict[str, str] = {}  # the lease, by its part of the names of services
    for name in listed:
        token = names.topic_token(name)
        if (other := first.setdefault(token, name)) != name:
            text = f'{name!r} becomes {token!r} in the names of services, as {other!r} does'
            yield Finding(('leases',), f'{text}: rename one of them', ('leases', name))
    for path, route in routes.items():
        if not isinstance(route, RedisToRos):
            continue
        if route.lease is not None and route.lease not in listed:
            near = did_you_mean(route.lease, listed)
            yield Finding(
                (*path, 'lease'),
                f'the lease {route.lease!r} is not listed under `leases`{near}: add '
                f'`leases: {{{route.lease}: {{}}}}`',
            )


def _leases(root: dict[str, Any]) -> tuple[LeaseConfig, ...]:
    return tuple(
        LeaseConfig(name, **{key: int(value) for key, value in (given or {}).items()})
        for name, given in _section(root, 'leases').items()
    )


def _presence(root: dict[str, Any]) -> Heartbeat:
    return Heartbeat(**{key: int(value) for key, value in _section(root, 'presence').items()})


def _presence_errors(root: dict[str, Any], errors: _Errors) -> Iterator[Finding]:
    if not errors.is_valid(('presence',)):
        return
    heartbeat = _presence(root)
    if heartbeat.ttl_ms <= heartbeat.every_ms:
        yield Finding(
            ('presence', 'ttl_ms'),
            f'expected more than every_ms ({heartbeat.every_ms}), got {heartbeat.ttl_ms}: the '
            'bridge would count as gone between two heartbeats',
        )


# --- a bridge that runs ------------------------------------------------------------------------
def _fixed_errors(
    running: Mapping,
    root: dict[str, Any],
    robot: str,
    given_url: str | None,
    file: str,
    errors: _Errors,
) -> Iterator[Finding]:
    """Yield each setting that such a bridge would have to change, without its value."""
    if errors.is_valid(ROBOT) and robot != running.robot:
        yield Finding(ROBOT, _FIXED)
    if errors.is_valid(('redis',)):
        redis = vars(_redis(root, given_url, file))
        fixed = vars(running.redis)
        yield from (Finding(('redis', key), _FIXED) for key in redis if redis[key] != fixed[key])
    if errors.is_valid(('presence',)) and _presence(root) != running.presence:
        yield Finding(('presence',), _FIXED)
    if errors.is_valid(('leases',)) and _leases(root) != running.leases:
        yield Finding(('leases',), _FIXED)
    executor = ('executor',)
    if errors.is_valid(executor) and root.get(*executor, Mapping.executor) != running.executor:
        yield Finding(executor, _FIXED)
