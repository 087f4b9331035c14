# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Chooses the type of a topic among those that its routes ask for and those that are published."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from redis_bridge.errors import InterfaceError
from redis_bridge.messages.types import Message
from redis_bridge.ports import WAITING
from redis_bridge.ros_io import types


class TopicType(NamedTuple):
    """A type that can be carried."""

    name: str
    message_class: type
    message: Message


class TopicTypes:
    """The type of one topic that is carried; routes may disagree about it.

    One type is carried at a time, because DDS allows a process no more: one that is asked for and
    published, if there is any. It stays as long as that is so.
    """

    def __init__(self) -> None:
        self.carried: TopicType | None = None
        self._published: Collection[str] = ()
        self._loaded: dict[str, TopicType] = {}
        self._problems: dict[str, str] = {}  # of types that are asked for, or published

    def choose(self, asked: Sequence[str | None], published: Collection[str]) -> TopicType | str:
        """Return the type to carry from now on, or as a string why there is none.

        :param asked: what each route asks for; None for the type that is published.
        """
        self._published = published
        self._problems = {}
        self._load({name for name in asked if name is not None})
        chosen = self._chosen(asked)
        if chosen is not None:
            self._load({chosen})
            if chosen in self._loaded:
                self.carried = self._loaded[chosen]
                return self.carried
        if len(published) > 1:
            return f'error: publishers of several types: {", ".join(sorted(published))}'
        return WAITING if chosen is None else f'error: {self._problems[chosen]}'

    def state_of(self, asked: str | None, state: str) -> str:
        """Return the state of a route that asks for a type; `state` is that of the carried one."""
        if asked in self._problems:
            return f'error: {self._problems[asked]}'
        if asked in (None, self._carried_name):
            return state
        if set(self._published) - {asked}:
            published = ', '.join(sorted(self._published))
            return f'error: expected {asked}, a publisher sends {published}'
        return WAITING

    @property
    def _carried_name(self) -> str | None:
        return None if self.carried is None else self.carried.name

    def _load(self, names: Collection[str]) -> None:
        for name in names:
            if name not in self._loaded:
                try:
                    message_class = types.load(name)
                    message = types.describe(message_class)
                    self._loaded[name] = TopicType(name, message_class, message)
                except InterfaceError as error:
                    self._problems[name] = str(error)

    def _chosen(self, asked: Sequence[str | None]) -> str | None:
        """Return the type to carry, of which one is published; None if it is unknown."""
        published, carried = self._published, self._carried_name
        usable = [name for name in asked if name is not None and name in self._loaded]
        candidates = [name for name in usable if name in published]
        if not candidates and None in asked:
            # Discovered, even if others ask for a type that is not published.
            if carried is not None and (not published or carried in published):
                return carried
            if published:
                return next(iter(published)) if len(published) == 1 else None
        candidates = candidates or usable
        if not candidates:
            return None
        return carried if carried in candidates else candidates[0]
