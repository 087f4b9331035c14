# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Compiles, per message type, a function from CDR to CDR that renames coordinate frames.

Frames are named by the strings `frame_id`, `child_frame_id` and all others that end in
`_frame_id`, also in nested messages and in arrays of messages.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages.cdr_copy import (
    NAMES,
    CopySource,
    Marked,
    has_marks,
    mark,
)
from redis_bridge.messages.codegen import COMPILED
from redis_bridge.messages.position import Alignment
from redis_bridge.messages.types import Message, String

Rename = Callable[[bytes], bytes]  # a frame's name in UTF-8 to its new name
Renamer = Callable[[bytes], bytes]

_SHORT = 64  # bytes of a name below which it is looked up: frames are always the same
_CACHED = 512


def has_frames(message: Message) -> bool:
    """Return whether a type names frames."""
    return has_marks(_marked(message))


def check_frames(message: Message) -> None:
    """Raise InterfaceError if a type names no frames."""
    if not has_frames(message):
        raise InterfaceError(
            f'{message.name} has no frame_id, child_frame_id or other string that ends in '
            '_frame_id: leave frame_prefix out'
        )


def renamer(message: Message, rename: Rename) -> Renamer | None:
    """Return a function from CDR to CDR in which frames have other names; None without frames.

    It checks only as much of the CDR as it needs, and raises PayloadError if that is broken, or if
    a new name is over the bound of its string.
    """
    if not has_frames(message):
        return None
    replace = _compile(message)

    def renamed(data: bytes) -> bytes:
        """Return a string of CDR with its new length and padding, for one without them."""
        frame, _, rest = data.partition(b'\0')
        if rest:  # which goes; a reader would look at it
            try:
                rest.decode()
            except UnicodeDecodeError:
                raise PayloadError('the name of a frame is not UTF-8') from None
        name = rename(frame) + b'\0'
        return len(name).to_bytes(4, 'little') + name + bytes(-len(name) % 4)

    short = lru_cache(_CACHED)(renamed)
    return lambda cdr: replace(cdr, renamed, short)


def _marked(message: Message) -> Message:
    return mark(message, lambda name: name == 'frame_id' or name.endswith('_frame_id'))


@lru_cache(COMPILED)
def _compile(message: Message) -> Callable[[bytes, Rename, Rename], bytes]:
    source = _Source()
    source.emit('parts = []', 'add = parts.append', 'c = d = 0')
    source.visit(_marked(message), 1)
    source.flush()
    source.emit('add(memoryview(buf)[c:])')
    return source.define('rename', 'buf, renamed, short', "b''.join(parts)", message, _NAMES)


class _Source(CopySource):
    """The source of a function that copies CDR, with other strings where they are marked.

    A new name comes with zeros up to 4 bytes. Whether they are the padding of what follows, or
    too much, is known when that is visited; until then the name is not settled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_unsettled = False

    def string(self, type_: String, at: int) -> None:
        if not isinstance(type_, Marked):
            super().string(type_, at)
            return
        is_next = self._is_next_to_name()
        count = self.count(None)
        start, _, _ = self.take(count).partition(':')
        if not is_next:
            self.emit(f'add(buf[c:{start} - 4])')
        self.emit(f'new = (short if {count} < {_SHORT} else renamed)(buf[{start}:o])')
        if type_.bound is not None:
            self.emit(f'check_bound(new, {type_.bound})')
        self.emit(f'e = {start} - 4 + d')
        self._is_unsettled = True
        self.in_step = 1

    def align(self, size: int) -> None:
        if size < 4 or not self._is_next_to_name():
            super().align(size)
            return
        self._is_unsettled = False
        self.emit('add(new)', 'e += len(new)')
        if size == 8:
            self.emit('if e & 7 != 4: add(ZEROS[4]); e += 4')
        self.emit_alignment(size)
        self.emit('c = o', 'd = e - o')
        self.place, self.in_step = Alignment(size, 0), size

    def _is_next_to_name(self) -> bool:
        return self._is_unsettled and not self._ahead

    def flush(self) -> None:
        if self._is_unsettled:
            self._is_unsettled = False
            self.emit('new = without_padding(new)', 'add(new)', 'c = o', 'd = e + len(new) - o')
        super().flush()


# What the generated code calls


def _without_padding(new: bytes) -> bytes:
    return new[: 4 + int.from_bytes(new[:4], 'little')]


def _check_bound(new: bytes, bound: int) -> None:
    name = _without_padding(new)[4:-1]
    if len(name) > bound and len(name.decode()) > bound:
        raise ValueError(f'{name.decode()!r} is too long for a frame: at most {bound} characters')


_NAMES = {**NAMES, 'without_padding': _without_padding, 'check_bound': _check_bound}
