# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Which source reads which name, while names move between servers."""

from __future__ import annotations

from typing import Any

import pytest

from redis_bridge.mapping.model import RedisSettings
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.spread import Spread


class Heard:
    """A source that only notes, in one list for all, what it was asked to read."""

    def __init__(self, role: str, log: list[Any]) -> None:
        self.role = role
        self.names: list[str] = []
        self._known: set[str] = set()
        self._log = log

    def want(self, names: Any, came: Any = ()) -> None:
        self.names = sorted(names)
        self._log.append((self.role, self.names, sorted(came)))
        self._known |= {receiver for receivers in names.values() for receiver in receivers}

    def is_known(self, receiver: str) -> bool:
        return receiver in self._known

    def wait_until_left(self, receivers: Any, deadline: float) -> bool:
        self._log.append((self.role, 'left', sorted(receivers)))
        self._known -= set(receivers)
        return True


class Places:
    """Two servers, and which one holds a name."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.addresses = [Address(RedisSettings(), 'test', Timing()) for _ in 'ab']
        for address, label in zip(self.addresses, 'ab'):
            address.label = label
        self.at: dict[str, int] = {}
        self.spread = Spread[Any](
            'channels',
            lambda name: self.addresses[self.at.get(name, 0)],
            lambda role, address: Heard(role, self.log),  # type: ignore[arg-type,return-value]
        )

    def want(self, *names: str) -> list[Any]:
        self.spread.want({name: [f'receiver of {name}'] for name in names})
        return self.said()

    def said(self) -> list[Any]:
        said, self.log[:] = list(self.log), []
        return said


@pytest.fixture
def places() -> Places:
    return Places()


def test_each_name_is_read_at_its_server(places):
    places.at = {'y': 1}
    assert places.want('x', 'y') == [
        ('channels (a)', ['x'], []), ('channels (b)', ['y'], []),
    ]  # fmt: skip


def test_a_name_that_moves_is_left_before_another_source_reads_it(places):
    places.want('x', 'y')
    places.at = {'x': 1}
    places.spread.spread_anew()
    assert places.said() == [
        ('channels (a)', ['y'], []),
        ('channels (a)', 'left', ['receiver of x']),
        ('channels (a)', ['y'], []),
        ('channels (b)', ['x'], ['x']),
    ]


def test_two_names_that_change_places_are_both_left_first(places):
    places.at = {'y': 1}
    places.want('x', 'y')
    places.at = {'x': 1, 'y': 0}
    places.spread.spread_anew()
    said = places.said()
    assert said[-2:] == [('channels (a)', ['y'], ['y']), ('channels (b)', ['x'], ['x'])]
    assert [each[1] for each in said[:-2]] == [[], 'left', [], 'left']


def test_a_name_that_is_not_wanted_any_more_is_read_nowhere(places):
    places.at = {'y': 1}
    places.want('x', 'y')
    assert places.want('x') == [('channels (a)', ['x'], []), ('channels (b)', [], [])]


def test_what_nobody_has_read_before_has_not_come_from_elsewhere(places):
    places.want('x')
    places.at = {'z': 1}
    assert places.want('x', 'z')[-1] == ('channels (b)', ['z'], [])
