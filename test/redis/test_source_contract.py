# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What every kind of source promises while the set of wanted names changes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import pytest
from servers import Recorder, all_connected, request
from support import eventually

from redis_bridge.mapping.model import ChannelSourceConfig, KeySourceConfig, StreamSourceConfig
from redis_bridge.redis_io import channel_source, key_source, stream_source


@dataclass(frozen=True)
class Kind:
    """A kind of source: how a name of it is read and written."""

    name: str
    role: str
    keeps_all: bool = True  # else only the last of several fast writes is promised

    def config(self, name: str) -> Any:
        return {
            'channel': ChannelSourceConfig(name),
            'pattern': ChannelSourceConfig(name, pattern=name),
            'key': KeySourceConfig(name),
            'stream': StreamSourceConfig(name, 'beginning'),
            'group': StreamSourceConfig(name, 'group', 'g'),
        }[self.name]

    def write(self, db: Any, name: str, value: str) -> None:
        if self.name in CHANNELS:
            db.publish(name, value)
        elif self.name == 'key':
            db.set(name, value)
        else:
            db.xadd(name, {'data': value})


CHANNELS = ('channel', 'pattern')
KINDS = [
    Kind('channel', 'channels'),
    Kind('pattern', 'channel patterns'),
    Kind('key', 'keys', keeps_all=False),
    Kind('stream', 'streams'),
    Kind('group', 'group g'),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


class Bench:
    """A started Redis side with no sources, and what is wanted of it."""

    def __init__(self, kind: Kind, db: Any, side: Any) -> None:
        self.kind = kind
        self.db = db
        self.side = side
        self.requests: dict[Any, Any] = {}
        side.start(dict)
        eventually(lambda: all_connected(side))

    def want(self, **receivers: Recorder) -> None:
        """Have exactly these names read, and wait until each is."""
        self.side.want([
            request(self.kind.config(name), receiver) for name, receiver in receivers.items()
        ])  # fmt: skip
        for name, receiver in receivers.items():
            self.reaches(name, receiver)

    def reaches(self, name: str, receiver: Recorder) -> None:
        """Write a marker until it arrives: then the name is read.

        What waits in a stream is handed on by the first read, before that says that all is well.
        """
        number = len(receiver.payloads)

        def arrives() -> bool:
            nonlocal number
            number += 1
            self.kind.write(self.db, name, f'marker {number}')
            return any(b'marker' in payload for payload in receiver.payloads)

        if not any(b'marker' in payload for payload in receiver.payloads):
            eventually(arrives, every=0.05)
        eventually(lambda: self.state(name, receiver) == 'open')

    def state(self, name: str, receiver: Recorder) -> str:
        return self.side.source_state(request(self.kind.config(name), receiver))

    def write(self, name: str, *values: int) -> None:
        for value in values:
            self.kind.write(self.db, name, str(value))


def numbers(receiver: Recorder) -> list[int]:
    return [int(payload) for payload in receiver.payloads if payload.isdigit()]


@pytest.fixture
def bench(kind, redis_server, db, proxy, redis_side_at) -> Bench:
    return Bench(kind, db, redis_side_at(proxy.url))


def test_a_name_is_read_once_it_is_wanted(bench):
    first, second = Recorder(), Recorder()
    bench.want(a=first)
    bench.want(a=first, b=second)
    bench.write('b', 1)
    eventually(lambda: numbers(second) == [1])
    assert numbers(first) == []


def test_a_name_is_not_read_once_it_is_not_wanted(bench):
    stays, goes = Recorder(), Recorder()
    bench.want(a=stays, b=goes)
    bench.want(a=stays)
    bench.write('a', 1)
    eventually(lambda: numbers(stays) == [1])
    if bench.kind.name == 'channel':
        eventually(lambda: bench.db.pubsub_numsub('b') == [(b'b', 0)])
    bench.write('b', 2)
    bench.write('a', 3)
    eventually(lambda: numbers(stays)[-1:] == [3])
    assert numbers(goes) == []


def test_a_name_that_is_wanted_again_is_read_again(bench):
    stays = Recorder()
    for number in range(3):
        again = Recorder()
        bench.want(stays=stays, b=again)
        bench.write('b', number)
        eventually(lambda: numbers(again)[-1:] == [number])  # noqa: B023
        bench.side.want([request(bench.kind.config('stays'), stays)])
        if bench.kind.name == 'channel':
            eventually(lambda: bench.db.pubsub_numsub('b') == [(b'b', 0)])
        elif bench.kind.name == 'pattern':
            eventually(lambda: bench.db.pubsub_numpat() == 1)


def test_names_that_stay_lose_nothing_while_others_come_and_go(bench):
    stays = Recorder()
    bench.want(stays=stays)
    count = 300
    for number in range(count):
        if number % 10 == 0:
            other = {f'n{number % 3}': Recorder()} if number % 20 else {}
            bench.side.want([
                request(bench.kind.config(name), receiver)
                for name, receiver in {'stays': stays, **other}.items()
            ])  # fmt: skip
            if not bench.kind.keeps_all:
                eventually(lambda: number == 0 or numbers(stays)[-1:] == [number - 1])  # noqa: B023
        bench.write('stays', number)
    eventually(lambda: numbers(stays)[-1:] == [count - 1])
    if bench.kind.keeps_all:
        assert numbers(stays) == list(range(count))
    else:
        assert numbers(stays) == sorted(set(numbers(stays)))
    assert (stays.gaps, stays.losses) == ([], 0)


def test_two_receivers_of_a_name_get_the_same(bench):
    if bench.kind.name == 'group':
        pytest.skip('in a group each entry goes to one reader')
    first, second = Recorder(), Recorder()
    config = bench.kind.config('a')
    bench.want(a=first)
    bench.side.want([request(config, first), request(config, second)])
    bench.reaches('a', second)
    bench.write('a', 1)
    eventually(lambda: numbers(first) == numbers(second) == [1])


def test_without_names_there_is_no_connection(bench):
    receiver = Recorder()
    before = len(bench.db.client_list())
    bench.want(a=receiver)
    assert bench.kind.role in bench.side.states()
    bench.side.want([])
    eventually(lambda: len(bench.db.client_list()) == before)
    eventually(lambda: bench.kind.role not in bench.side.states())
    assert receiver.losses == 0
    again = Recorder()
    bench.want(a=again)
    bench.write('a', 1)
    eventually(lambda: numbers(again) == [1])
    assert (numbers(receiver), again.gaps) == ([], [])


def test_after_an_outage_all_names_are_read_again(bench, proxy):
    first, second = Recorder(), Recorder()
    bench.want(a=first, b=second)
    for outage in range(1, 3):
        proxy.cut()
        eventually(lambda: first.losses == second.losses == outage)  # noqa: B023
        eventually(lambda: all_connected(bench.side))
        bench.write('a', outage)
        bench.write('b', outage)
        eventually(lambda: numbers(first)[-1:] == numbers(second)[-1:] == [outage])  # noqa: B023
        assert first.losses == second.losses == outage


def test_a_name_wanted_during_an_outage_is_read_after_it(bench, redis_server):
    first, second = Recorder(), Recorder()
    bench.want(a=first)
    redis_server.kill()
    eventually(lambda: first.losses == 1)
    bench.side.want([request(bench.kind.config('b'), second)])
    redis_server.start()
    bench.reaches('b', second)
    bench.write('b', 1)
    eventually(lambda: numbers(second) == [1])
    assert (first.losses, second.losses) == (1, 0)


def test_nothing_is_handed_on_once_the_name_is_lost(bench):
    receiver = Recorder()
    bench.want(a=receiver)
    bench.db.hset('redis_bridge:robot:robot1', 'boot', 'other')
    eventually(lambda: receiver.losses == 1)
    bench.write('a', 1)
    eventually(lambda: 'held by another' in bench.side.states()[bench.kind.role])
    assert bench.state('a', receiver).startswith('closed: the name robot1 is held by another')
    bench.write('a', 2)
    assert numbers(receiver) == []


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what could not be read tried again at once."""
    monkeypatch.setattr(channel_source, 'RETRY_S', 0.1)
    monkeypatch.setattr(key_source, 'RETRY_S', 0.1)
    monkeypatch.setattr(stream_source, 'LOOK_AGAIN_S', 0.1)


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    """Return what was logged of a name, without the reasons."""
    found = [[*r.getMessage().split(': '), ''] for r in caplog.records]
    return [said for what, said, *_ in found if what.endswith(f' {name}') and 'read' in said]


@pytest.mark.usefixtures('quick_retries')
def test_a_name_that_is_denied_has_a_state_of_its_own_until_it_is_allowed(
    kind, redis_server, db, redis_side_at, tmp_path, caplog
):
    caplog.set_level(logging.INFO, 'redis_bridge.test')
    allowed = ('~a', '~redis_bridge:*', '&a', '&__redis__:invalidate')
    db.execute_command('ACL', 'SETUSER', 'ann', 'on', '>pw', *allowed, '+@all')
    (tmp_path / 'password').write_text('pw')
    side = redis_side_at(
        redis_server.url, username='ann', password_file=str(tmp_path / 'password')
    )
    bench = Bench(kind, db, side)
    a, b = Recorder(), Recorder()
    side.want([request(kind.config('a'), a), request(kind.config('b'), b)])
    bench.reaches('a', a)
    state = eventually(lambda: bench.state('b', b) != 'open' and bench.state('b', b))
    assert state.startswith('error: cannot be read: NOPERM')
    assert bench.state('a', a) == 'open'
    assert set(side.states().values()) == {'connected'}
    db.execute_command('ACL', 'SETUSER', 'ann', '~b', '&b')
    eventually(lambda: bench.state('b', b) == 'open')
    bench.reaches('b', b)
    assert lines(caplog, 'b') == ['cannot be read', 'can be read']
    assert lines(caplog, 'a') == []


@pytest.mark.usefixtures('quick_retries')
def test_a_name_of_another_type_has_a_state_of_its_own_until_it_is_replaced(bench, caplog):
    if bench.kind.name in CHANNELS:
        pytest.skip('a channel has no type')
    caplog.set_level(logging.INFO, 'redis_bridge.test')
    a, b = Recorder(), Recorder()
    bench.want(a=a, b=b)
    bench.db.sadd('other', 'x')
    bench.db.rename('other', 'b')
    state = eventually(lambda: bench.state('b', b) != 'open' and bench.state('b', b))
    assert state.startswith('error: cannot be read: WRONGTYPE')
    assert bench.state('a', a) == 'open'
    bench.db.delete('b')
    bench.write('b', 1)
    eventually(lambda: numbers(b) == [1])
    eventually(lambda: bench.state('b', b) == 'open')
    assert lines(caplog, 'b') == ['cannot be read', 'can be read']


def test_a_lost_connection_is_the_state_of_its_names(bench, redis_server):
    receiver = Recorder()
    bench.want(a=receiver)
    assert bench.state('a', receiver) == 'open'
    redis_server.kill()
    eventually(lambda: bench.state('a', receiver).startswith('Redis: connecting: '))
    redis_server.start()
    eventually(lambda: bench.state('a', receiver) == 'open')


def test_a_connection_that_is_denied_is_the_state_of_its_names(
    redis_server, db, redis_side_at, tmp_path
):
    db.execute_command(
        'ACL', 'SETUSER', 'ann', 'on', '>pw', '~*', '&*', '+@all', '-client|tracking'
    )
    (tmp_path / 'password').write_text('pw')
    side = redis_side_at(
        redis_server.url, username='ann', password_file=str(tmp_path / 'password')
    )
    channel, _, key, *_ = KINDS
    a, b = request(key.config('a'), Recorder()), request(channel.config('b'), Recorder())
    side.want([a, b])
    side.start(dict)
    eventually(lambda: 'tracking' in side.source_state(a))
    assert side.source_state(a).startswith('Redis: connecting: ')
    eventually(lambda: side.source_state(b) == 'open')
