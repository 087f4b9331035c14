# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The serialized message, as DDS carries it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages import cdr_read
from redis_bridge.messages.cdr_write import Now
from redis_bridge.messages.guards import Guards
from redis_bridge.messages.types import Message
from redis_bridge.payloads.codec import Codec, Decode, Encode, ToCdr
from redis_bridge.payloads.looks_like import malformed
from redis_bridge.protocol.meta import Meta

_PADDED_TO = 4  # bytes


class Cdr(Codec):
    """The serialized message; it is checked, because DDS hands on whatever was published."""

    name = 'cdr'
    carries_whole_only = True
    needs_type = True

    def encoder(
        self,
        message: Message,
        field: str | None = None,
        fields: Sequence[str] = (),
        arrays: str = 'list',
    ) -> Encode:
        if field or fields:
            raise InterfaceError('cdr carries whole messages, without field or fields')
        check = cdr_read.checker(message)

        def encode(cdr: bytes, _: Meta | None = None) -> bytes:
            check(cdr)
            return cdr

        return encode

    def decoder(self, message: Message, field: str | None = None) -> Decode:
        if field:
            raise InterfaceError('cdr carries whole messages, without field')
        read, whole = cdr_read.reader(message), _exact(message)
        return lambda payload: (read(whole(payload)), None)

    def inbound(
        self, message: Message, field: str | None, guards: Guards, now: Now
    ) -> tuple[Decode, ToCdr]:
        if field or guards != Guards():
            return super().inbound(message, field, guards, now)
        return (lambda payload: (payload, None)), _exact(message)

    def pack(self, value: Any, meta: Meta | None = None, arrays: str = 'list') -> bytes:
        raise PayloadError('cdr cannot be written without the message type: see encoder')

    def unpack(self, payload: bytes) -> tuple[Any, Meta | None]:
        raise PayloadError('cdr cannot be read without the message type: see decoder')

    def reader(self, message: Message | None, field: str | None) -> Decode:
        return self.unpack if message is None else self.decoder(message)


def _exact(message: Message) -> ToCdr:
    """Return a function that checks a payload, and cuts off the padding that DDS appends."""
    end_of = cdr_read.checker(message)

    def exact(payload: bytes) -> bytes:
        try:
            end = end_of(payload)
        except PayloadError as error:
            raise malformed(payload, 'cdr', str(error)) from None
        if len(payload) - end >= _PADDED_TO:
            raise PayloadError(f'{message.name} ends after {end} bytes, got {len(payload)}')
        return payload[:end]

    return exact
