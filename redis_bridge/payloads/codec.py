# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What every codec declares and can do; codecs of plain values share a base."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from redis_bridge.errors import PayloadError, show
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.messages.cdr_write import Now
from redis_bridge.messages.guards import Guards
from redis_bridge.messages.paths import field_at, get_at, set_at
from redis_bridge.messages.types import FieldType, Message
from redis_bridge.protocol.meta import META, Meta, take_meta

Decode = Callable[[bytes], tuple[Any, Meta | None]]
ToCdr = Callable[[Any], bytes]


class Encode(Protocol):
    """A function from CDR and metadata to a payload."""

    def __call__(self, cdr: bytes, meta: Meta | None = None, /) -> bytes:
        """Return the payload."""


class Codec(ABC):
    """One encoding.

    `encoder`, `decoder` and `inbound` are called once per route, for its message type; `pack` and
    `unpack` need no type. All functions raise PayloadError; the functions that they return are
    not to be shared between threads.
    """

    name: str
    carries_meta = False  # in the payload itself
    carries_arrays = False  # has a form for typed numeric arrays
    carries_whole_only = False  # neither `field` nor `fields`
    needs_type = False  # `pack` and `unpack` always fail
    one_scalar = False  # a payload is one scalar, not a map

    @abstractmethod
    def encoder(
        self,
        message: Message,
        field: str | None = None,
        fields: Sequence[str] = (),
        arrays: str = 'list',
    ) -> Encode:
        """Return a function from CDR and metadata to a payload.

        :param field: the payload is the bare value at this dotted path, without metadata.
        :param fields: the payload holds only these dotted paths, nested as in ROS.
        :param arrays: 'typed': numeric arrays are compact, if the codec carries them.
        :raises InterfaceError: a path is unknown, or the encoding cannot carry what it names.
        """

    @abstractmethod
    def decoder(self, message: Message, field: str | None = None) -> Decode:
        """Return a function from a payload to a plain value, not yet checked, and metadata."""

    def inbound(
        self, message: Message, field: str | None, guards: Guards, now: Now
    ) -> tuple[Decode, ToCdr]:
        """Return what decodes a payload, and what checks its value and makes CDR of it."""
        return self.decoder(message, field), cdr_write.writer(message, guards, now)

    @abstractmethod
    def pack(self, value: Any, meta: Meta | None = None, arrays: str = 'list') -> bytes:
        """Return a payload for a plain value whose type is not known; only maps carry metadata."""

    @abstractmethod
    def unpack(self, payload: bytes) -> tuple[Any, Meta | None]:
        """Return the plain value and the metadata of a payload whose type is not known."""

    def reader(self, message: Message | None, field: str | None) -> Decode:
        """Return a function from a payload to what a client reads, and metadata.

        A type, where one is known, restores what the encoding alone cannot tell.

        :param field: the payload is the bare value at this dotted path; it is returned bare.
        """
        return self.unpack


class ValueCodec(Codec):
    """What encodings of plain values have in common."""

    def encoder(
        self,
        message: Message,
        field: str | None = None,
        fields: Sequence[str] = (),
        arrays: str = 'list',
    ) -> Encode:
        path = self.value_path(message, field, fields)
        typed = self.carries_arrays and arrays == 'typed'
        if path is None:
            return self.map_encoder(message, fields, typed)
        read, dump = cdr_read.reader(message, (path,), typed), self.dumper(field_at(message, path))
        return lambda cdr, meta=None: dump(get_at(read(cdr), path))

    def map_encoder(self, message: Message, fields: Sequence[str], typed: bool) -> Encode:
        """Return a function from CDR and metadata to the payload of a map."""
        read, dump = cdr_read.reader(message, fields, typed), self.dumper(message)

        def encode(cdr: bytes, meta: Meta | None = None) -> bytes:
            value = read(cdr)
            if meta is not None:
                value[META] = meta._asdict()
            return dump(value)

        return encode

    def decoder(self, message: Message, field: str | None = None) -> Decode:
        path = self.value_path(message, field)
        restore = self.restorer(field_at(message, path) if path else message, path or '')
        if path is not None:
            return lambda payload: (nest(restore(self.load(payload)), path), None)

        def decode(payload: bytes) -> tuple[dict[str, Any], Meta | None]:
            value = self.load(payload)
            if type(value) is not dict:
                raise PayloadError(f'expected a map of {message}, got {show(value)}')
            meta = take_meta(value)
            return restore(value), meta

        return decode

    def pack(self, value: Any, meta: Meta | None = None, arrays: str = 'list') -> bytes:
        try:
            return self.dump_untyped(value, meta, self.carries_arrays and arrays == 'typed')
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            reason = str(error) or type(error).__name__
            raise PayloadError(f'cannot be written as {self.name}: {reason}') from None

    def unpack(self, payload: bytes) -> tuple[Any, Meta | None]:
        value = self.load(payload)
        return value, take_meta(value) if type(value) is dict else None

    def value_path(
        self, message: Message, field: str | None, fields: Sequence[str] = ()
    ) -> str | None:
        """Return the path of the bare value that is the payload; None: a map of the message."""
        return field or None

    @abstractmethod
    def dumper(self, type_: FieldType) -> Callable[[Any], bytes]:
        """Return a function from a plain value of a type, as CDR holds it, to a payload."""

    @abstractmethod
    def dump_untyped(self, value: Any, meta: Meta | None, typed: bool) -> bytes:
        """Return the payload of a plain value whose type is not known."""

    @abstractmethod
    def load(self, payload: bytes) -> Any:
        """Return the plain value of a payload."""

    def restorer(self, type_: FieldType, path: str) -> Callable[[Any], Any]:
        """Return a function that restores the plain value that `load` gives another form."""
        return lambda value: value


def nest(value: Any, path: str) -> dict[str, Any]:
    """Return a message's value that holds only the field at a path."""
    nested: dict[str, Any] = {}
    set_at(nested, path, value)
    return nested


def no_duplicates(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return the map of some entries; ValueError if a name comes twice."""
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'{show(twice)} is written twice')
    return value
