# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Reads a YAML file into plain values that remember the lines they stand on.

Scalars follow YAML 1.2's core schema, so that `on`, `yes` and `12:30` are texts and 1e3 is a
number. `${NAME}` and `${NAME:-default}` in texts are replaced from the environment; `$${` writes
a literal `${`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, ClassVar

import yaml

from redis_bridge.errors import MappingError, Problem

Path = tuple[str | int, ...]

MAX_SIZE = 1 << 20
MAX_DEPTH = 40
MAX_NODES = 100_000  # with every alias written out: a few lines of aliases can stand for billions

_SIMPLE_KEY = re.compile(r'[A-Za-z_][A-Za-z0-9_-]*')
_ENVIRONMENT = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?', re.DOTALL)
_TAG = 'tag:yaml.org,2002:'


@dataclass
class Document:
    """A file's content, and where in the file each part of it stands.

    `masks` has an entry for each text with `${...}` in it: the text that came of it, with a NUL in
    the place of each character from the environment.
    """

    file: str
    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    masks: dict[Path, str] = field(default_factory=dict)
    unset: dict[Path, str] = field(default_factory=dict)  # tolerated: why there is no value
    errors: list[Problem] = field(default_factory=list)
    _bad: set[Path] = field(default_factory=set)
    _around_bad: set[Path] = field(default_factory=set)

    def blame(
        self, path: Path, text: str, *, at: Path | None = None, line: int | None = None
    ) -> None:
        """Note a mistake at `path`; `at` is the exact place, where that is another one."""
        at = path if at is None else at
        self._bad.add(at)
        self._around_bad.update(at[:end] for end in range(len(at)))
        self.errors.append(Problem(self.file, line or self.line(at), dotted(path), text))

    def sound(self, path: Path) -> bool:
        """Tell whether nothing at, below or around `path` was blamed, so that it can be used."""
        if path in self.unset or path in self._around_bad:
            return False
        return not any(path[:end] in self._bad for end in range(len(path) + 1))

    def line(self, path: Path) -> int | None:
        """Return the line on which `path` stands, or the nearest thing around it."""
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


def read(
    path: str | FilePath, environ: Mapping[str, str], tolerated: Collection[Path] = ()
) -> Document:
    """Read a file; what is invalid in it is in the document's `errors`.

    What stands at a `tolerated` path may name environment variables that are not set: it is
    None then, and in `unset`. Raises MappingError if nothing can be read at all.
    """
    document = Document(str(path))
    root = _compose(document, _text(document))
    try:
        document.value = _Reading(document, environ, frozenset(tolerated)).plain(root, ())
    except _ExcessError as reason:
        raise MappingError([Problem(document.file, reason.line, '', str(reason))]) from None
    return document


class _ExcessError(Exception):
    """The aliases of a file stand for more than anybody could mean."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


def _fail(document: Document, text: str, line: int | None = None) -> MappingError:
    return MappingError([Problem(document.file, line, '', text)])


def _text(document: Document) -> str:
    try:
        with open(document.file, 'rb') as file:
            data = file.read(MAX_SIZE + 1)
    except FileNotFoundError:
        raise _fail(document, 'no such file') from None
    except OSError as error:
        raise _fail(document, f'cannot be read: {error.strerror}') from None
    except ValueError as error:  # a NUL in the name
        raise _fail(document, f'cannot be read: {error}') from None
    if len(data) > MAX_SIZE:
        raise _fail(document, f'is larger than {MAX_SIZE} bytes, no mapping is that long')
    try:
        return data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise _fail(document, f'is not UTF-8: byte 0x{data[error.start]:02x}', line) from None


def _compose(document: Document, text: str) -> yaml.Node:
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or 'not YAML'
        if error.context and error.problem:
            problem = f'{error.problem} {error.context}'
        line = mark.line + 1 if mark else None
        raise _fail(document, f'not YAML: {problem}', line) from None
    except yaml.reader.ReaderError as error:
        line = text.count('\n', 0, error.position) + 1
        text = f'not YAML: the character {chr(error.character)!r} is not allowed'
        raise _fail(document, text, line) from None
    if root is None:
        raise _fail(document, 'is empty, expected a mapping (see config/minimal.yaml)')
    return root


class _Loader(yaml.SafeLoader):
    """PyYAML's composer with a bound on the depth and the scalars of YAML 1.2."""

    yaml_implicit_resolvers: ClassVar[dict] = {}
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(
                None, None, f'nested more than {MAX_DEPTH} levels deep', mark
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _name, _pattern, _first in (
    ('null', r'~|null|Null|NULL|', ['~', 'n', 'N', '']),
    ('bool', r'true|True|TRUE|false|False|FALSE', list('tTfF')),
    # Stricter than YAML in one thing: 007 is a text, since a robot may be called so.
    ('int', r'[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+', list('-+0123456789')),
    (
        'float',
        r'[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+'
        r'|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)',
        list('-+.0123456789'),
    ),
    ('merge', r'<<', ['<']),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f'^(?:{_pattern})$'), _first)

_FLOATS = {'.inf': 'inf', '.nan': 'nan'}


def _number(text: str) -> int | float:
    lower = text.lower()
    for prefix, base in (('0o', 8), ('0x', 16)):
        if lower.startswith(prefix):
            return int(lower[2:], base)
    return int(lower)


def _float(text: str) -> float:
    lower = text.lower()
    sign = lower[0] if lower[0] in '+-' else ''
    return float(sign + _FLOATS.get(lower.lstrip('+-'), lower.lstrip('+-')))


_SCALARS = {
    _TAG + 'str': str,
    _TAG + 'null': lambda text: None,
    _TAG + 'bool': lambda text: {'true': True, 'false': False}[text.lower()],
    _TAG + 'int': _number,
    _TAG + 'float': _float,
    _TAG + 'merge': str,
}


def retyped(text: str) -> Any:
    """Return what a text would be, did it stand in the file without quotes."""
    node_tag = _Loader('').resolve(yaml.ScalarNode, text, (True, False))
    try:
        return _SCALARS[node_tag](text)
    except (ValueError, KeyError):
        return text


class _Reading:
    """Turns the nodes of one file into plain values."""

    def __init__(
        self, document: Document, environ: Mapping[str, str], tolerated: frozenset[Path]
    ) -> None:
        self._document = document
        self._environ = environ
        self._tolerated = tolerated
        self._nodes = 0
        self._open: set[int] = set()

    def plain(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self._document.lines.setdefault(path, line)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _ExcessError(f'the aliases stand for more than {MAX_NODES} values', line)
        if id(node) in self._open:
            raise _ExcessError('an alias stands inside of what it names', line)
        self._open.add(id(node))
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
        return self._document.blame(path, f'the YAML tag {tag} has no meaning here')

    def _map(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        value = {}
        for key, (line, value_node) in self._entries(node, path).items():
            self._document.lines[(*path, key)] = line
            value[key] = self.plain(value_node, (*path, key))
        return value

    def _entries(
        self, node: yaml.MappingNode, path: Path, inherited: bool = False
    ) -> dict[str, tuple[int, yaml.Node]]:
        """Return line and value by key; own keys first, then what `<<` brings along."""
        entries: dict[str, tuple[int, yaml.Node]] = {}
        bases: list[yaml.Node] | None = None
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _TAG + 'merge':
                if bases is not None:
                    text = "the key '<<' is written twice: it takes a list of aliases"
                    self._document.blame(path, text, at=(*path, '<<'), line=line)
                    continue
                bases = self._bases(value_node, path)
                continue
            key = self._key(key_node, path)
            if key in entries and not inherited:  # a base was blamed where it stands
                first = entries[key][0]
                text = f'the key is written twice, first on line {first}'
                self._document.blame((*path, key), text, line=line)
            elif key is not None:
                entries.setdefault(key, (line, value_node))
        for base in bases or ():
            self._nodes += 1
            if id(base) in self._open or self._nodes > MAX_NODES:
                raise _ExcessError(
                    'an alias stands inside of what it names', node.start_mark.line + 1
                )
            self._open.add(id(base))
            for key, entry in self._entries(base, path, inherited=True).items():
                entries.setdefault(key, entry)
            self._open.discard(id(base))
        return entries

    def _bases(self, node: yaml.Node, path: Path) -> list[yaml.Node]:
        bases = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if all(isinstance(base, yaml.MappingNode) for base in bases):
            return bases
        line = node.start_mark.line + 1
        text = "'<<' takes an alias of a map, or a list of them"
        self._document.blame(path, text, at=(*path, '<<'), line=line)
        return []

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            problem = 'keys are texts, got a list or a map'
        elif node.tag != _TAG + 'str':
            problem = f'keys are texts, got {node.value or "nothing"}: quote it'
        elif not _encodable(node.value):
            problem = 'a key is not valid Unicode'
        else:
            return node.value
        line = node.start_mark.line + 1
        return self._document.blame(path, problem, at=(*path, ''), line=line)

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        try:
            value = _SCALARS[node.tag](node.value)
        except (ValueError, KeyError):
            return self._document.blame(path, f'cannot be read as {node.tag.replace(_TAG, "")}')
        return self._substituted(value, path) if isinstance(value, str) else value

    def _substituted(self, text: str, path: Path) -> str | None:
        try:
            value, mask = substitute(text, self._environ)
        except ValueError as reason:
            if path not in self._tolerated:
                return self._document.blame(path, str(reason))
            self._document.unset[path] = str(reason)
            return None
        if not _encodable(value):
            return self._document.blame(path, 'is not valid Unicode')
        if '${' in text:
            self._document.masks[path] = mask
        return value


def _encodable(text: str) -> bool:
    return not any('\ud800' <= character <= '\udfff' for character in text)


def substitute(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Replace `${NAME}` and `${NAME:-default}`; the default also stands in for an empty NAME.

    Returns the new text, and the same with a NUL for each character from the environment. Raises
    ValueError with the reason.
    """
    value, mask, at = '', '', 0
    while (start := text.find('${', at)) >= 0:
        literal = text[at:start]
        if literal.endswith('$'):
            value, mask, at = value + literal[:-1] + '${', mask + literal[:-1] + '${', start + 2
            continue
        end = _closing(text, start + 2)
        match = _ENVIRONMENT.fullmatch(text[start + 2 : end]) if end else None
        if not match:
            raise ValueError(
                'expected ${NAME} or ${NAME:-default} after the text says "${" '
                '(write "$${" to mean the characters themselves)'
            )
        name, default = match.groups()
        found = environ.get(name)
        if found or (found is not None and default is None):
            new, new_mask = found, '\0' * len(found)
        elif default is not None:
            new, new_mask = substitute(default, environ)
        else:
            raise ValueError(f'the environment variable {name} is not set')
        value, mask, at = value + literal + new, mask + literal + new_mask, end + 1
    return value + text[at:], mask + text[at:]


def _closing(text: str, start: int) -> int | None:
    """Return the index of the brace that closes the one before `start`."""
    depth = 1
    for index in range(start, len(text)):
        depth += {'{': 1, '}': -1}.get(text[index], 0)
        if not depth:
            return index
    return None
