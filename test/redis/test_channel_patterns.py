# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Patterns of channels: names are heard, and no message of those that are wanted is lost."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import pytest
from servers import Recorder, all_connected, request
from support import eventually

from redis_bridge.mapping.model import ChannelSourceConfig
from redis_bridge.ports import ChannelsRequest, SourceRequest
from redis_bridge.redis_io import channel_source
from redis_bridge.redis_io.side import RedisSide


class Core:
    """Reads each channel that is heard of its patterns, as the core does."""

    def __init__(
        self,
        side: RedisSide,
        *globs: str,
        is_command: bool = False,
        accepts: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.side = side
        self.globs = list(globs)
        self.is_command = is_command
        self.accepts = accepts
        self.asked: list[tuple[str, str]] = []
        self.receivers: dict[tuple[str, str], Recorder] = {}
        self.exact: list[SourceRequest] = []
        self._lock = threading.Lock()

    def start(self) -> Core:
        """Start the side, and wait until all is subscribed."""
        self.discover()
        self.side.start(dict)
        eventually(lambda: all_connected(self.side) and self.is_open())
        return self

    def is_open(self) -> bool:
        return all(self.side.source_state(each) == 'open' for each in self.requests())

    def requests(self) -> list[ChannelsRequest]:
        return [
            ChannelsRequest(glob, self.is_command, partial(self.hear, glob)) for glob in self.globs
        ]

    def discover(self) -> None:
        self.side.discover(self.requests(), None)

    def change(self, *globs: str) -> None:
        """Have other patterns, as a reload does."""
        with self._lock:
            self.globs = list(globs)
            self.want()
            self.discover()

    def hear(self, glob: str, names: Sequence[str]) -> None:
        new = [(glob, name) for name in names if self.accepts(name)]
        self.asked += [(glob, name) for name in names]
        with self._lock:
            self.receivers.update((each, Recorder()) for each in new if each not in self.receivers)
            self.want()

    def want(self) -> None:
        self.side.want([
            *self.exact,
            *(self.request(glob, name) for glob, name in self.receivers if glob in self.globs),
        ])  # fmt: skip

    def request(self, glob: str, name: str) -> SourceRequest:
        config = ChannelSourceConfig(name, glob)
        return request(config, self.receivers[glob, name], self.is_command)

    def numbers(self, glob: str, name: str) -> list[int]:
        receiver = self.receivers.get((glob, name))
        return [] if receiver is None else [int(payload) for payload in receiver.payloads]


def test_the_first_message_of_a_new_channel_arrives_and_those_behind_it(
    each_server, redis_side_at
):
    core = Core(redis_side_at(each_server.url), '*:c').start()
    with each_server.client() as db:
        with db.pipeline(transaction=False) as pipe:
            for number in range(300):
                pipe.publish(f'r{number % 3}:c', number)
            pipe.execute()
        db.publish('r0:d', 5)
        eventually(lambda: len(core.numbers('*:c', 'r2:c')) == 100)
    for robot in range(3):
        assert core.numbers('*:c', f'r{robot}:c') == list(range(robot, 300, 3))
    assert sorted(set(core.asked)) == [('*:c', f'r{robot}:c') for robot in range(3)]
    assert len(core.asked) == 3
    assert [receiver.gaps for receiver in core.receivers.values()] == [[], [], []]


def publish_all(server, channels: Iterable[str], count: int) -> None:
    """Publish numbers to each channel, as fast as one sender can."""

    def send(channel: str) -> None:
        with server.client() as db:
            for number in range(count):
                db.publish(channel, number)

    threads = [threading.Thread(target=send, args=(channel,)) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_several_new_channels_under_load_lose_nothing(redis_server, db, redis_side_at):
    class Slow(Core):
        def hear(self, glob, names):
            begun = time.monotonic()
            eventually(lambda: time.monotonic() - begun > 0.05)  # as a publisher takes to open
            super().hear(glob, names)

    core = Slow(redis_side_at(redis_server.url), '*:c').start()
    robots = [f'r{number}:c' for number in range(6)]
    publish_all(redis_server, robots, 1000)
    eventually(lambda: all(len(core.numbers('*:c', robot)) >= 1000 for robot in robots))
    assert all(core.numbers('*:c', robot) == list(range(1000)) for robot in robots)
    assert len(core.asked) == len(robots)


def test_a_route_of_its_own_and_each_pattern_get_a_copy(redis_server, db, redis_side_at):
    core = Core(redis_side_at(redis_server.url), '*:c', 'r1:*')
    own = Recorder()
    core.exact = [request(ChannelSourceConfig('r1:c'), own)]
    core.want()
    core.start()
    for number in range(50):
        db.publish('r1:c', number)
        db.publish('r2:c', number)
    eventually(lambda: len(core.numbers('*:c', 'r2:c')) == len(own.payloads) == 50)
    eventually(lambda: len(core.numbers('r1:*', 'r1:c')) == 50)
    for glob in ('*:c', 'r1:*'):
        assert core.numbers(glob, 'r1:c') == list(range(50))
    assert own.payloads == [b'%d' % number for number in range(50)]
    assert core.numbers('*:c', 'r2:c') == list(range(50))
    assert ('r1:*', 'r2:c') not in core.receivers


def test_special_characters_of_names_are_escaped_in_the_glob(redis_server, db, redis_side_at):
    glob = r'a\*b\?\[c\]\\:*'
    core = Core(redis_side_at(redis_server.url), glob).start()
    for name in ('aXb?[c]\\:r1', r'a*b?[c]:r1', r'a*b?c\:r1'):
        assert db.publish(name, 1) == 0
    assert db.publish('a*b?[c]\\:r1', 2) == 1
    eventually(lambda: core.numbers(glob, 'a*b?[c]\\:r1') == [2])


def test_names_that_no_route_may_have_are_not_heard(redis_server, db, redis_side_at):
    core = Core(redis_side_at(redis_server.url), '*').start()
    for name in ('redis_bridge:fleet', '__redis__:x', 'a\nb', b'\xff\xfe', ' '):
        db.publish(name, 1)
    db.publish('last', 2)
    eventually(lambda: core.numbers('*', 'last') == [2])
    assert core.asked == [('*', 'last')]


def test_after_an_outage_each_matched_route_reports_a_gap_and_goes_on(
    redis_server, db, proxy, redis_side_at
):
    core = Core(redis_side_at(proxy.url), '*:c').start()
    for robot in ('r1:c', 'r2:c'):
        db.publish(robot, 1)
        eventually(lambda: core.numbers('*:c', robot) == [1])  # noqa: B023
    for outage in (1, 2):
        proxy.cut()
        heard = list(core.receivers.values())
        eventually(lambda: [each.losses for each in heard] == [outage, outage])  # noqa: B023
        eventually(lambda: [each.gaps for each in heard] == [[None] * outage] * 2)  # noqa: B023
    for robot in ('r1:c', 'r2:c', 'r3:c'):
        db.publish(robot, 2)
        eventually(lambda: core.numbers('*:c', robot)[-1:] == [2])  # noqa: B023
    assert core.receivers['*:c', 'r3:c'].gaps == []
    redis_server.restart()
    eventually(lambda: core.receivers['*:c', 'r3:c'].gaps == [None])


def test_nothing_is_handed_on_while_the_name_is_another_bridges(redis_server, db, redis_side_at):
    core = Core(redis_side_at(redis_server.url), '*:c').start()
    db.publish('r1:c', 1)
    eventually(lambda: core.numbers('*:c', 'r1:c') == [1])
    db.hset('redis_bridge:robot:robot1', 'boot', 'other')
    eventually(lambda: core.receivers['*:c', 'r1:c'].losses == 1)
    eventually(lambda: db.publish('r1:c', 2) == 0)
    db.publish('r2:c', 2)
    for each in (core.requests()[0], core.request('*:c', 'r1:c')):
        assert core.side.source_state(each).startswith('closed: the name robot1 is held')
    db.delete('redis_bridge:robot:robot1')
    eventually(lambda: db.publish('r2:c', 3) == 1)
    eventually(lambda: core.numbers('*:c', 'r2:c') == [3])
    assert core.numbers('*:c', 'r1:c') == [1]
    eventually(lambda: core.side.source_state(core.request('*:c', 'r1:c')) == 'open')


def test_one_pattern_that_is_denied_has_a_state_of_its_own(
    redis_server, db, redis_side_at, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(channel_source, 'RETRY_S', 0.1)
    caplog.set_level(logging.INFO, 'redis_bridge.test')
    user = ('ACL', 'SETUSER', 'ann', 'on', '>pw', '~redis_bridge:*', '+@all')
    db.execute_command(*user, 'resetchannels', '&*:c', '&r1:*', '&redis_bridge:fleet')
    (tmp_path / 'password').write_text('pw')
    side = redis_side_at(
        redis_server.url, username='ann', password_file=str(tmp_path / 'password')
    )
    # What it matches is allowed, but it is no pattern of the user: Redis compares literally.
    core = Core(side, '*:c', 'r1:d*')
    core.discover()
    side.start(dict)
    allowed, denied = core.requests()
    state = eventually(lambda: 'NOPERM' in side.source_state(denied) and side.source_state(denied))
    assert state.startswith('error: cannot be read: NOPERM')
    assert state.endswith('the channel pattern &r1:d* in exactly these characters')
    eventually(lambda: side.source_state(allowed) == 'open')
    assert db.publish('r1:c', 1) == 1
    eventually(lambda: core.numbers('*:c', 'r1:c') == [1])
    eventually(lambda: all_connected(side))
    db.execute_command('ACL', 'SETUSER', 'ann', '&r1:d*')
    eventually(lambda: side.source_state(denied) == 'open')
    assert db.publish('r1:d2', 1) == 1
    eventually(lambda: core.numbers('r1:d*', 'r1:d2') == [1])
    texts = [record.getMessage().partition(': NOPERM')[0] for record in caplog.records]
    assert [text for text in texts if text.startswith('channels ')] == [
        'channels r1:d*: cannot be read', 'channels r1:d*: can be read',
    ]  # fmt: skip


def test_patterns_that_come_and_go_cost_those_that_stay_nothing(redis_server, db, redis_side_at):
    core = Core(redis_side_at(redis_server.url), '*:c').start()
    count = 400
    for number in range(count):
        if number % 20 == 0:
            core.change('*:c', *(['r1:*'] if number % 40 else []))
        db.publish('r1:c', number)
    eventually(lambda: core.numbers('*:c', 'r1:c')[-1:] == [count - 1])
    assert core.numbers('*:c', 'r1:c') == list(range(count))
    assert core.receivers['*:c', 'r1:c'].gaps == []
    core.change('r1:*')
    eventually(lambda: db.pubsub_numpat() == 1)
    assert db.publish('r2:c', 0) == 0


def test_without_patterns_there_is_no_connection(redis_server, db, redis_side_at):
    side = redis_side_at(redis_server.url)
    side.start(dict)
    eventually(lambda: all_connected(side))
    before = len(db.client_list())
    core = Core(side, '*:c')
    core.discover()
    eventually(lambda: core.is_open() and db.pubsub_numpat() == 1)
    assert side.states()['channel patterns'] == 'connected'
    side.discover([], None)
    eventually(lambda: len(db.client_list()) == before)
    eventually(lambda: 'channel patterns' not in side.states())
    assert 'keys' not in side.states()


def test_commands_have_a_connection_of_their_own(redis_server, db, redis_side_at):
    side = redis_side_at(redis_server.url)
    telemetry, commands = Core(side, '*:c'), Core(side, '*:c', is_command=True)
    side.want = lambda requests: None  # both hear, and neither reads
    side.discover([*telemetry.requests(), *commands.requests()], None)
    side.start(dict)
    eventually(lambda: telemetry.is_open() and commands.is_open())
    assert {'channel patterns', 'channel patterns (commands)'} <= set(side.states())
    eventually(lambda: db.publish('r1:c', 1) == 2)
    eventually(lambda: telemetry.asked and commands.asked)


def test_one_who_joins_a_pattern_hears_of_channels_that_are_read_already(
    redis_server, db, redis_side_at
):
    side = redis_side_at(redis_server.url)
    core = Core(side, '*:c').start()
    db.publish('r1:c', 1)
    eventually(lambda: core.numbers('*:c', 'r1:c') == [1])
    heard: list[str] = []
    side.discover([*core.requests(), ChannelsRequest('*:c', False, heard.extend)], None)
    assert db.pubsub_numpat() == 1
    for number in (2, 3, 4):
        db.publish('r1:c', number)
    eventually(lambda: core.numbers('*:c', 'r1:c') == [1, 2, 3, 4])
    assert heard == ['r1:c']


def test_a_flood_of_names_that_nobody_wants_leaves_nothing_behind(redis_server, db, redis_side_at):
    class Counting(Core):
        count = 0

        def hear(self, glob, names):
            self.count += len(names)
            if 'wanted:c' in names:
                super().hear(glob, ['wanted:c'])

    core = Counting(redis_side_at(redis_server.url), '*:c').start()

    def flood(first: int, names: int) -> None:
        for start in range(first, first + names, 1000):
            with db.pipeline(transaction=False) as pipe:
                for number in range(start, start + 1000):
                    pipe.publish(f'{number}:c', b'x')
                pipe.execute()
        eventually(lambda: core.count == first + names, 30)

    flood(0, 2000)
    gc.collect()
    before = len(gc.get_objects())
    flood(2000, 20_000)
    gc.collect()
    assert len(gc.get_objects()) - before < 2000

    def arrives() -> bool:  # on a busy machine the bridge may just be subscribing anew
        db.publish('wanted:c', 7)
        return 7 in core.numbers('*:c', 'wanted:c')

    eventually(arrives, every=0.1)


@pytest.mark.parametrize('is_command', [False, True])
def test_a_matched_route_can_be_wanted_without_being_heard(
    redis_server, db, redis_side_at, is_command
):
    core = Core(redis_side_at(redis_server.url), '*:c', is_command=is_command)
    core.accepts = lambda name: name != 'r2:c'
    core.receivers['*:c', 'r1:c'] = Recorder()
    core.want()
    core.start()
    db.publish('r1:c', 1)
    db.publish('r2:c', 2)
    eventually(lambda: core.numbers('*:c', 'r1:c') == [1])
    eventually(lambda: ('*:c', 'r2:c') in core.asked)
    assert ('*:c', 'r2:c') not in core.receivers
