# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Checks a document against the JSON Schema of the mapping, with errors in plain words."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Collection, Iterator
from importlib import resources
from typing import Any, NamedTuple

import jsonschema

from redis_bridge.errors import did_you_mean
from redis_bridge.mapping.yaml12 import Finding, Path, scalar
from redis_bridge.payloads import CODECS

NO_PASSWORD = (
    'do not write a password in the mapping: use redis.password_file, or an environment variable '
    'in the url (`${REDIS_PASSWORD}`)'
)
_TYPES = {
    'string': 'a string',
    'object': 'a map',
    'array': 'a list',
    'number': 'a number',
    'integer': 'a whole number',
    'boolean': 'true or false',
}
_BOOLEANS = {'yes': 'true', 'on': 'true', 'no': 'false', 'off': 'false'}
_USERINFO = re.compile(r'(://)[^/\s]*@')
_SHOWN_LENGTH = 80

_NO_DEFAULT = '{!r} has no default: set it on each route that needs it'
_IN_URL = "{!r} is a part of 'url'"
# Keys that are likely to be tried, by their place (without indices), and what to do instead.
_ADVICE = {
    ('redis', 'password'): NO_PASSWORD,
    **{('redis', key): _IN_URL.format(key) for key in ('host', 'port', 'db')},
    **{
        ('defaults', key): _NO_DEFAULT.format(key)
        for key in ('stop', 'limits', 'topic', 'type', 'field', 'fields', 'required', 'set', 'to')
    },
    ('redis_to_ros', 'hash'): 'a hash cannot be read: use a key, a channel or a stream',
    ('redis_to_ros.key', 'initial'): "'initial' is an option of the route: write it beside 'key'",
}
_OTHER_DIRECTION = {'ros_to_redis': 'redis_to_ros', 'redis_to_ros': 'ros_to_redis'}


@functools.cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema of the mapping (draft 7): `schema.json`, and the known encodings."""
    loaded: dict[str, Any] = json.loads(
        resources.files(__package__).joinpath('schema.json').read_text('utf-8')
    )
    loaded['definitions']['encoding']['enum'] = list(CODECS)
    return loaded


def errors(document: Any) -> Iterator[Finding]:
    """Yield all in a document that does not fit the schema."""
    for error in _mismatches(document):
        if error.keyword in _KEYS:
            for key, text in _KEYS[error.keyword](error):
                yield Finding(error.path, text, (*error.path, key))
        else:
            text = _VALUES[error.keyword](error, shown(error.value, error.path))
            yield Finding(error.path, text)


def with_numbers(document: Any, from_environment: Collection[Path]) -> Any:
    """Return a document with numbers and truth values in place of strings, where needed.

    The environment has only strings; where the schema wants another scalar, the string at a path
    of `from_environment` is read as one.
    """
    for error in list(_mismatches(document)):
        is_string = error.keyword == 'type' and isinstance(error.value, str)
        if is_string and error.path in from_environment:
            document = _replaced(document, error.path, scalar(error.value))
    return document


def _replaced(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


def shown(value: Any, path: Path = ()) -> str:
    """Return a value as errors show it: shortened, and without what may be secret."""
    if value is None:
        return 'nothing'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return 'a list' if isinstance(value, list) else 'a map'
    if path[:1] == ('redis',) and isinstance(value, str):
        return 'a string'
    text = repr(_USERINFO.sub(r'\1***@', value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + '...'


def _is_number(checker: jsonschema.TypeChecker, instance: Any) -> bool:
    return type(instance) is int or (type(instance) is float and math.isfinite(instance))


@functools.cache
def _validator() -> jsonschema.Draft7Validator:
    draft = jsonschema.Draft7Validator
    extend: Callable[..., type[jsonschema.Draft7Validator]] = jsonschema.validators.extend
    return extend(draft, type_checker=draft.TYPE_CHECKER.redefine('number', _is_number))(schema())


class _Mismatch(NamedTuple):
    """An error of jsonschema."""

    path: Path
    keyword: str
    expected: Any  # the value of the keyword in the schema
    value: Any
    schema: Any
    message: str


def _mismatches(document: Any) -> Iterator[_Mismatch]:
    for error in _validator().iter_errors(document):
        yield _Mismatch(
            tuple(error.absolute_path),
            str(error.validator),
            error.validator_value,
            error.instance,
            error.schema,
            error.message,
        )


# --- errors of keys: one function for each keyword, which yields the keys and what to say -------
def _unknown_keys(error: _Mismatch) -> Iterator[tuple[str, str]]:
    known = error.schema['properties']
    place = '.'.join(step for step in error.path if isinstance(step, str))
    other = _OTHER_DIRECTION.get(place)
    for key in error.value:
        if key in known:
            continue
        advice = _ADVICE.get((place, key))
        if not advice and other and key in schema()['definitions'][other]['properties']:
            advice = f'{key!r} is an option of {other} routes'
        if not advice:
            near = did_you_mean(key, known)
            advice = f'unknown key {key!r}' + (near or f', expected one of {", ".join(known)}')
        yield key, advice


def _missing_keys(error: _Mismatch) -> Iterator[tuple[str, str]]:
    # jsonschema reports one error per missing key, and names it in the message only.
    for key in error.expected:
        if key not in error.value and error.message.startswith(repr(key)):
            yield key, f'{key!r} is missing'


def _invalid_key(error: _Mismatch) -> Iterator[tuple[str, str]]:
    key = error.value
    yield key, f'expected {error.schema["description"]}, got {key!r}'


_KEYS: dict[str, Callable[[_Mismatch], Iterator[tuple[str, str]]]] = {
    'additionalProperties': _unknown_keys,
    'required': _missing_keys,
    'pattern': _invalid_key,
}


# --- errors of values: what to say for each keyword, and how the value is shown -----------------
def _type(error: _Mismatch, got: str) -> str:
    words = error.expected
    words = [words] if isinstance(words, str) else words
    expected = ' or '.join(_TYPES[word] for word in words if word != 'null')
    meant = ''
    if 'boolean' in words and isinstance(error.value, str):
        meant = _BOOLEANS.get(error.value.lower(), '')
    return f'expected {expected}, got {got}' + (f', did you mean {meant}?' if meant else '')


def _enum(error: _Mismatch, got: str) -> str:
    words = [word for word in error.expected if isinstance(word, str)]
    near = did_you_mean(error.value, words) if isinstance(error.value, str) else ''
    return f'expected one of {", ".join(words)}, got {got}{near}'


def _length(error: _Mismatch, got: str) -> str:
    count = len(error.value)
    return f'expected [lowest, highest], got {count} value{"" if count == 1 else "s"}'


def _twice(error: _Mismatch, got: str) -> str:
    items = error.value
    twice = next((item for i, item in enumerate(items) if item in items[:i]), items)
    return f'{shown(twice)} is listed twice'


_VALUES: dict[str, Callable[[_Mismatch, str], str]] = {
    'type': _type,
    'enum': _enum,
    'const': lambda error, got: f'expected {error.expected}, got {got}',
    'minimum': lambda error, got: f'expected at least {error.expected}, got {got}',
    'maximum': lambda error, got: f'expected at most {error.expected}, got {got}',
    'minLength': lambda error, got: 'expected a string, got an empty one',
    'minProperties': lambda error, got: (
        f'expected at least one of {", ".join(error.schema["properties"])}'
    ),
    'minItems': _length,
    'maxItems': _length,
    'uniqueItems': _twice,
}
