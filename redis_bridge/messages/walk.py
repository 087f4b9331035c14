# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The one place where a type is narrowed: a base for all that treats each kind differently."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from redis_bridge.messages.types import Array, FieldType, Message, Primitive, Sequence, String

A = TypeVar('A')  # what goes down: a variable, a place, a value
R = TypeVar('R')  # what comes back


class Walk(ABC, Generic[A, R]):
    """A walk over a type, with one method per kind of type."""

    def visit(self, type_: FieldType, at: A) -> R:
        """Call the method for the kind of `type_`."""
        if isinstance(type_, Primitive):
            return self.number(type_, at)
        if isinstance(type_, String):
            return self.string(type_, at)
        if isinstance(type_, Message):
            return self.message(type_, at)
        if isinstance(type_.item, Primitive):
            return self.numbers(type_, type_.item, at)
        return self.items(type_, type_.item, at)

    @abstractmethod
    def number(self, type_: Primitive, at: A) -> R:
        """Visit a number or a boolean."""

    @abstractmethod
    def string(self, type_: String, at: A) -> R:
        """Visit a string."""

    @abstractmethod
    def message(self, type_: Message, at: A) -> R:
        """Visit a message."""

    @abstractmethod
    def numbers(self, type_: Array | Sequence, item: Primitive, at: A) -> R:
        """Visit an array or a sequence of numbers or booleans."""

    @abstractmethod
    def items(self, type_: Array | Sequence, item: String | Message, at: A) -> R:
        """Visit an array or a sequence of strings or messages."""
