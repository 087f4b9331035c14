# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The only YAML loader: plain values with the scalars of YAML 1.2, and the line of each.

By YAML 1.2's core schema `on`, `yes` and `12:30` are strings and 1e3 is a number.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from redis_bridge.errors import MappingError, PayloadError, Problem

Path = tuple[str | int, ...]

MAX_SIZE = 1 << 20  # bytes
MAX_DEPTH = 40
MAX_NODES = 100_000  # with every alias written out: a few lines of aliases can expand to billions

_SIMPLE_KEY = re.compile(r'[A-Za-z_][A-Za-z0-9_-]*')
_TAG = 'tag:yaml.org,2002:'

# A value with a variable or a capture and more. In {…} or […], or if it begins with the variable,
# YAML reads a map in the place of the variable.
_BRACES = r'(?:\{\{[A-Za-z_]\w*\}\}|\{[A-Za-z_]\w*(?::\*\*?)?\})'
_PLAIN = r'[^\s,\[\]{}"\']*'
_UNQUOTED = re.compile(
    rf'(?:[:,-]\s+|\[\s*)(?!{_BRACES}(?:[\s,\]}}]|$))(?P<text>{_PLAIN}(?:{_BRACES}{_PLAIN})+)'
)
_QUOTE = 'put quotes around strings with {{…}}: "{}"'


class Finding(NamedTuple):
    """One error: the path that is shown, the text, and where it differs the exact place."""

    path: Path
    text: str
    at: Path | None = None
    line: int | None = None

    @property
    def place(self) -> Path:
        """The path of what is invalid."""
        return self.path if self.at is None else self.at


@dataclass(frozen=True)
class Document:
    """The content of a file, the line of each part of it, and its errors as YAML."""

    file: str
    value: Any
    lines: dict[Path, int]
    errors: tuple[Finding, ...]

    def line(self, path: Path) -> int | None:
        """Return the line of `path`, or of the nearest part around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


def dotted(path: Path) -> str:
    """Return a path as people write it: `ros_to_redis[2].qos.reliability`."""
    text = ''
    for step in path:
        if isinstance(step, int):
            text += f'[{step}]'
        elif _SIMPLE_KEY.fullmatch(step):
            text += f'.{step}' if text else step
        else:
            text += f'[{step!r}]'
    return text


def read(path: str | os.PathLike[str]) -> Document:
    """Return the document in a file; raises MappingError if it is not YAML at all."""
    file = os.fspath(path)
    try:
        root = _compose(_text(file))
        if root is None:
            raise _UnreadableError('is empty, expected a mapping (see config/minimal.yaml)')
        reader = _Reader(keeps_zeros=True)
        value = reader.plain(root, ())
    except _UnreadableError as error:
        raise MappingError([Problem(file, error.line, '', str(error))]) from None
    return Document(file, value, reader.lines, tuple(reader.errors))


def parse_value(text: str) -> Any:
    """Return the value of a JSON or YAML text as typed on the command line.

    Raises PayloadError.
    """
    reader = _Reader(keeps_zeros=False)
    try:
        with contextlib.suppress(json.JSONDecodeError):  # then it is YAML, if anything
            return json.loads(text, object_pairs_hook=_checked)
        root = _compose(text)
        value = None if root is None else reader.plain(root, ())
        if reader.errors:
            raise ValueError(reader.errors[0].text)
    except RecursionError:
        raise PayloadError('the value is nested too deep') from None
    except (ValueError, _UnreadableError) as error:
        raise PayloadError(f'the value is neither JSON nor YAML: {error}') from None
    return value


def _checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise ValueError(f'the key {key!r} is written twice')
        value[key] = item
    return value


class _UnreadableError(Exception):
    """A string that is not YAML, or whose aliases expand to more than anybody could mean."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line


def _text(file: str) -> str:
    try:
        with open(file, 'rb') as opened:
            data = opened.read(MAX_SIZE + 1)
    except FileNotFoundError:
        raise _UnreadableError('no such file') from None
    except OSError as error:
        raise _UnreadableError(f'cannot be read: {error.strerror}') from None
    except ValueError as error:  # a NUL in the name
        raise _UnreadableError(f'cannot be read: {error}') from None
    if len(data) > MAX_SIZE:
        raise _UnreadableError(f'is larger than {MAX_SIZE} bytes, no mapping is that long')
    try:
        return data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise _UnreadableError(f'is not UTF-8: byte 0x{data[error.start]:02x}', line) from None


def _compose(text: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        written = ''.join(text.splitlines()[mark.line : mark.line + 1]) if mark else ''
        if mark and (unquoted := _UNQUOTED.search(written)):
            raise _UnreadableError(_QUOTE.format(unquoted['text']), mark.line + 1) from None
        problem = error.problem or error.context or 'not YAML'
        if error.context and error.problem:
            problem = f'{error.problem} {error.context}'
        raise _UnreadableError(f'not YAML: {problem}', mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count('\n', 0, error.position) + 1
        problem = f'not YAML: the character {chr(error.character)!r} is not allowed'
        raise _UnreadableError(problem, line) from None


class _Loader(yaml.SafeLoader):
    """PyYAML's composer with a bound on the depth and the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            problem = f'nested more than {MAX_DEPTH} levels deep'
            mark = parent.start_mark if parent else None
            raise yaml.composer.ComposerError(None, None, problem, mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _int(text: str) -> int:
    return int(text, 0 if text[:2].lower() in ('0o', '0x') else 10)


def _float(text: str) -> float:
    return float(text.lower().replace('.inf', 'inf').replace('.nan', 'nan'))


# Scalars by their tags, as YAML 1.2's core schema has them.
_SCALARS: dict[str, Callable[[str], Any]] = {
    _TAG + 'str': str,
    _TAG + 'null': lambda text: None,
    _TAG + 'bool': lambda text: {'true': True, 'false': False}[text.lower()],
    _TAG + 'int': _int,
    _TAG + 'float': _float,
    _TAG + 'merge': str,
}
_PATTERNS = {
    _TAG + 'null': re.compile(r'(?:~|null|Null|NULL|)$'),
    _TAG + 'bool': re.compile(r'(?:true|True|TRUE|false|False|FALSE)$'),
    _TAG + 'int': re.compile(r'(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$'),
    _TAG + 'float': re.compile(
        r'(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+'
        r'|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$'
    ),
    _TAG + 'merge': re.compile(r'<<$'),
}
_LEADING_ZERO = re.compile(r'[-+]?0[0-9]+')
for _tag, _pattern in _PATTERNS.items():
    _Loader.add_implicit_resolver(_tag, _pattern, None)


def scalar(text: str) -> Any:
    """Return the value that a text would have in a file if it was not quoted."""
    if _LEADING_ZERO.fullmatch(text):
        return text
    for tag, pattern in _PATTERNS.items():
        if pattern.fullmatch(text):
            try:
                return _SCALARS[tag](text)
            except ValueError:
                break
    return text


def is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8."""
    return not any('\ud800' <= character <= '\udfff' for character in text)


def _only_name(node: yaml.MappingNode) -> str | None:
    """Return what is in the braces of `{robot}`, a map of one key without a value."""
    if not node.flow_style or len(node.value) != 1:
        return None
    key, value = node.value[0]
    is_name = isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
    return str(key.value) if is_name and value.value == '' and not value.style else None


class _Reader:
    """Turns nodes into plain values.

    `keeps_zeros` makes 007 a string, because a robot may have that name; then `{robot}` is a
    string without its quotes, too.
    """

    def __init__(self, keeps_zeros: bool) -> None:
        self.lines: dict[Path, int] = {}
        self.errors: list[Finding] = []
        self._keeps_zeros = keeps_zeros
        self._nodes = 0
        self._open: set[int] = set()

    def plain(self, node: yaml.Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._enter(node, node)
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == _TAG + 'map':
                return self._map(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + 'seq':
                return [self.plain(item, (*path, i)) for i, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
                return self._scalar(node, path)
        finally:
            self._open.discard(id(node))
        tag = node.tag.replace(_TAG, '!!')
        self.errors.append(Finding(path, f'the YAML tag {tag} has no meaning here'))
        return None

    def _enter(self, node: yaml.Node, reported: yaml.Node) -> None:
        self._nodes += 1
        line = reported.start_mark.line + 1
        if self._nodes > MAX_NODES:
            raise _UnreadableError(f'the aliases expand to more than {MAX_NODES} values', line)
        if id(node) in self._open:
            raise _UnreadableError('an alias is inside of what it names', line)
        self._open.add(id(node))

    def _map(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        value: dict[str, Any] = {}
        if self._keeps_zeros and (name := _only_name(node)):
            self.errors.append(Finding(path, _QUOTE.format(f'{{{name}}}')))
            return value
        for key, (line, value_node) in self._entries(node, path).items():
            self.lines[(*path, key)] = line
            value[key] = self.plain(value_node, (*path, key))
        return value

    def _entries(
        self, node: yaml.MappingNode, path: Path, inherited: bool = False
    ) -> dict[str, tuple[int, yaml.Node]]:
        """Return line and value by key; own keys first, then what `<<` brings along."""
        entries: dict[str, tuple[int, yaml.Node]] = {}
        bases: list[yaml.MappingNode] | None = None
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _TAG + 'merge':
                if bases is None:
                    bases = self._bases(value_node, path)
                else:
                    text = "the key '<<' is written twice: it takes a list of aliases"
                    self.errors.append(Finding(path, text, (*path, '<<'), line))
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in entries and not inherited:  # in a base it was reported at its own place
                text = f'the key is written twice, first on line {entries[key][0]}'
                self.errors.append(Finding((*path, key), text, line=line))
            entries.setdefault(key, (line, value_node))
        for base in bases or ():
            self._enter(base, node)
            for key, entry in self._entries(base, path, inherited=True).items():
                entries.setdefault(key, entry)
            self._open.discard(id(base))
        return entries

    def _bases(self, node: yaml.Node, path: Path) -> list[yaml.MappingNode]:
        given = node.value if isinstance(node, yaml.SequenceNode) else [node]
        bases = [base for base in given if isinstance(base, yaml.MappingNode)]
        if len(bases) < len(given):
            text = "'<<' takes an alias of a map, or a list of them"
            self.errors.append(Finding(path, text, (*path, '<<'), node.start_mark.line + 1))
            return []
        return bases

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            problem = 'keys are strings, got a list or a map'
        elif node.tag != _TAG + 'str':
            problem = f'keys are strings, got {node.value or "nothing"}: quote it'
        elif not is_unicode(node.value):
            problem = 'a key is not valid Unicode'
        else:
            return str(node.value)
        self.errors.append(Finding(path, problem, (*path, ''), node.start_mark.line + 1))
        return None

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if self._keeps_zeros and not node.style and _LEADING_ZERO.fullmatch(node.value):
            return node.value
        try:
            value = _SCALARS[node.tag](node.value)
        except (ValueError, KeyError):
            problem = f'cannot be read as {node.tag.replace(_TAG, "")}'
        else:
            if not isinstance(value, str) or is_unicode(value):
                return value
            problem = 'is not valid Unicode'
        self.errors.append(Finding(path, problem))
        return None
