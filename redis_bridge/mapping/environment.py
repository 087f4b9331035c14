# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Replaces `${NAME}` and `${NAME:-default}` from the environment; `$${` writes `${` itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis_bridge.mapping.yaml12 import Finding, Path, is_unicode

_VARIABLE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?', re.DOTALL)


@dataclass
class Substituted:
    """A document with its environment variables replaced.

    `masks` has an entry for each string with `${...}` in it: what the file itself says, that is
    with each default, used or not, and a NUL in the place of each variable without a default.
    `unset` has the reason for each value that is None because its variable is not set.
    """

    value: Any = None
    masks: dict[Path, str] = field(default_factory=dict)
    unset: dict[Path, str] = field(default_factory=dict)
    errors: list[Finding] = field(default_factory=list)


def substitute_all(document: Any, environ: Mapping[str, str]) -> Substituted:
    """Return a copy of a document with the variables in all its strings replaced."""
    result = Substituted()

    def replaced(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: replaced(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [replaced(inner, (*path, index)) for index, inner in enumerate(value)]
        if not isinstance(value, str) or '${' not in value:
            return value
        try:
            result.masks[path] = _replace(value, _mask)
            text = substitute(value, environ)
            if is_unicode(text):
                return text
            result.errors.append(Finding(path, 'is not valid Unicode'))
        except LookupError as error:
            result.unset[path] = error.args[0]
        except ValueError as error:
            result.errors.append(Finding(path, str(error)))
        return None

    result.value = replaced(document, ())
    return result


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """Return a string with its variables replaced; the default also replaces an empty variable.

    Raises LookupError for a variable that is not set, ValueError for anything else in `${`.
    """

    def value(name: str, default: str | None) -> str:
        found = environ.get(name)
        if found or (found is not None and default is None):
            return found
        if default is None:
            raise LookupError(f'the environment variable {name} is not set')
        return substitute(default, environ)

    return _replace(text, value)


def _mask(name: str, default: str | None) -> str:
    return '\0' if default is None else _replace(default, _mask)


def _replace(text: str, value: Callable[[str, str | None], str]) -> str:
    result, at = '', 0
    while (start := text.find('${', at)) >= 0:
        literal = text[at:start]
        if literal.endswith('$'):
            result, at = result + literal[:-1] + '${', start + 2
            continue
        end = _closing(text, start + 2)
        match = _VARIABLE.fullmatch(text[start + 2 : end]) if end else None
        if end is None or match is None:
            raise ValueError('expected ${NAME} or ${NAME:-default} at "${" (write "$${" for "${")')
        result, at = result + literal + value(*match.groups()), end + 1
    return result + text[at:]


def _closing(text: str, start: int) -> int | None:
    """Return the index of the brace that closes the one before `start`."""
    depth = 1
    for index in range(start, len(text)):
        depth += {'{': 1, '}': -1}.get(text[index], 0)
        if not depth:
            return index
    return None
