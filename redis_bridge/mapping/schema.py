# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Holds a mapping document against the JSON Schema, and says in plain words what does not fit."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import jsonschema

from redis_bridge.errors import did_you_mean
from redis_bridge.mapping.yaml12 import Document, Path, retyped

NO_PASSWORD = (
    'do not write a password in the mapping: use redis.password_file, or an environment variable '
    'in the url (`${REDIS_PASSWORD}`)'
)
_TYPES = {
    'string': 'a text',
    'object': 'a map',
    'array': 'a list',
    'number': 'a number',
    'integer': 'a whole number',
    'boolean': 'true or false',
}
_BOOLEANS = {'yes': 'true', 'on': 'true', 'no': 'false', 'off': 'false'}
_USERINFO = re.compile(r'(://)[^/\s]*@')
_SHOWN_LENGTH = 80

_SAFETY = "{} concerns safety: it stands at each route that means it, not in 'defaults'"
_OWN = '{} belongs to one route, it has no default for all'
_IN_URL = "{} stands in 'url'"
# Keys that people write in good faith, by the place (without indices): what to do instead.
_ADVICE = {
    ('redis', 'password'): NO_PASSWORD,
    **{('redis', key): _IN_URL.format(f"'{key}'") for key in ('host', 'port', 'db')},
    **{('defaults', key): _SAFETY.format(f"'{key}'") for key in ('stop', 'limits')},
    **{
        ('defaults', key): _OWN.format(f"'{key}'")
        for key in ('topic', 'type', 'field', 'fields', 'required', 'set', 'to')
    },
    ('redis_to_ros', 'hash'): 'a hash is only ever written: read a key, a channel or a stream',
    ('redis_to_ros.key', 'initial'): "'initial' stands beside 'key', not in it",
}
_OTHER_DIRECTION = {'ros_to_redis': 'redis_to_ros', 'redis_to_ros': 'ros_to_redis'}


@functools.cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema of the mapping (draft 7), as it ships beside this module."""
    return json.loads(resources.files(__package__).joinpath('schema.json').read_text('utf-8'))


def check(document: Document) -> None:
    """Blame all that does not fit the schema.

    What came from the environment is text; where the schema wants a number or a truth value, it
    is read as one, and put into the document.
    """
    errors = list(_errors(document))
    if sum(_retype(document, error) for error in errors):
        errors = list(_errors(document))
    for error in errors:
        path = tuple(error.absolute_path)
        for place, text in _TEXTS.get(error.validator, _other)(error, path):
            if document.sound(place):
                document.blame(path, text, at=place)


def shown(value: Any, path: Path = ()) -> str:
    """Return a value as messages show it: shortened, and without anything that may be secret."""
    if value is None:
        return 'nothing'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return 'a list' if isinstance(value, list) else 'a map'
    if path[:1] == ('redis',) and isinstance(value, str):
        return 'a text'
    text = repr(_USERINFO.sub(r'\1***@', value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + '...'


def _is_number(checker: jsonschema.TypeChecker, instance: Any) -> bool:
    return (
        isinstance(instance, (int, float))
        and not isinstance(instance, bool)
        and (isinstance(instance, int) or math.isfinite(instance))
    )


@functools.cache
def _validator() -> jsonschema.protocols.Validator:
    draft = jsonschema.Draft7Validator
    finite = draft.TYPE_CHECKER.redefine('number', _is_number)
    return jsonschema.validators.extend(draft, type_checker=finite)(schema())


def _errors(document: Document) -> Iterator[jsonschema.ValidationError]:
    return _validator().iter_errors(document.value)


def _retype(document: Document, error: jsonschema.ValidationError) -> bool:
    path = tuple(error.absolute_path)
    if error.validator != 'type' or path not in document.masks:
        return False
    value = retyped(error.instance)
    if isinstance(value, str):
        return False
    parent = document.value
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    return True


# --- one function for each keyword of the schema: the exact places, and what to say ------------
_Found = Iterator[tuple[Path, str]]


def _unknown_keys(error: jsonschema.ValidationError, path: Path) -> _Found:
    known = error.schema['properties']
    place = '.'.join(step for step in path if isinstance(step, str))
    for key in error.instance:
        if key in known:
            continue
        advice = _ADVICE.get((place, key))
        other = _OTHER_DIRECTION.get(place)
        if not advice and other and key in schema()['definitions'][other]['properties']:
            advice = f'{key!r} is an option of {other} routes'
        if not advice:
            near = did_you_mean(key, known)
            advice = f'unknown key {key!r}' + (near or f', expected one of {", ".join(known)}')
        yield (*path, key), advice


def _type(error: jsonschema.ValidationError, path: Path) -> _Found:
    words = error.validator_value
    words = [words] if isinstance(words, str) else words
    expected = ' or '.join(_TYPES[word] for word in words if word != 'null')
    text = f'expected {expected}, got {shown(error.instance, path)}'
    if 'boolean' in words and isinstance(error.instance, str):
        meant = _BOOLEANS.get(error.instance.lower())
        text += f', did you mean {meant}?' if meant else ''
    yield path, text


def _enum(error: jsonschema.ValidationError, path: Path) -> _Found:
    words = [word for word in error.validator_value if isinstance(word, str)]
    got = shown(error.instance, path)
    near = did_you_mean(error.instance, words) if isinstance(error.instance, str) else ''
    yield path, f'expected one of {", ".join(words)}, got {got}{near}'


def _const(error: jsonschema.ValidationError, path: Path) -> _Found:
    yield path, f'expected {error.validator_value}, got {shown(error.instance, path)}'


def _required(error: jsonschema.ValidationError, path: Path) -> _Found:
    # jsonschema reports one error per missing key, and names it in the message only.
    for key in error.validator_value:
        if key not in error.instance and error.message.startswith(repr(key)):
            yield (*path, key), f'{key!r} is missing'


def _bound(words: str) -> Callable[[jsonschema.ValidationError, Path], _Found]:
    def found(error: jsonschema.ValidationError, path: Path) -> _Found:
        got = shown(error.instance, path)
        yield path, f'expected {words} {error.validator_value}, got {got}'

    return found


def _too_short(error: jsonschema.ValidationError, path: Path) -> _Found:
    yield path, 'expected a text, got an empty one'


def _few_keys(error: jsonschema.ValidationError, path: Path) -> _Found:
    yield path, f'expected at least one of {", ".join(error.schema["properties"])}'


def _length(error: jsonschema.ValidationError, path: Path) -> _Found:
    count = len(error.instance)
    yield path, f'expected [lowest, highest], got {count} value{"" if count == 1 else "s"}'


def _twice(error: jsonschema.ValidationError, path: Path) -> _Found:
    items = error.instance
    twice = next((item for i, item in enumerate(items) if item in items[:i]), items)
    yield path, f'{shown(twice, path)} is listed twice'


def _pattern(error: jsonschema.ValidationError, path: Path) -> _Found:
    text = f'expected a name of letters, digits and underscores, got {error.instance!r}'
    yield (*path, error.instance), text


def _other(error: jsonschema.ValidationError, path: Path) -> _Found:
    yield path, f'does not fit the schema ({error.validator})'


_TEXTS: dict[str, Callable[[jsonschema.ValidationError, Path], _Found]] = {
    'additionalProperties': _unknown_keys,
    'type': _type,
    'enum': _enum,
    'const': _const,
    'required': _required,
    'minimum': _bound('at least'),
    'maximum': _bound('at most'),
    'exclusiveMinimum': _bound('more than'),
    'minLength': _too_short,
    'minProperties': _few_keys,
    'minItems': _length,
    'maxItems': _length,
    'uniqueItems': _twice,
    'pattern': _pattern,
}
