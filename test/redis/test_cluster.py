# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Redis Cluster: every name at its primary; nothing is lost unreported or doubled."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from clusters import ClusterGroup, ClusterNode, slot_of, url_by
from guarded import AFTER_MS, seconds_to_stop
from processes import end_all
from rivals import Rival, assert_never_at_once
from servers import (
    Recorder,
    all_connected,
    free_port,
    is_replica,
    make_certificate,
    plain_client,
    request,
    tls_program,
)
from support import eventually
from traffic import Commander, Out, Traffic, bridge_connections, stored

from redis_bridge import Client
from redis_bridge.cli.main import main
from redis_bridge.errors import RedisError
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    ChannelSourceConfig,
    HashSinkConfig,
    KeySinkConfig,
    KeySourceConfig,
    LeaseConfig,
    StreamSinkConfig,
    StreamSourceConfig,
    Tls,
)
from redis_bridge.ports import ChannelsRequest
from redis_bridge.protocol.descriptions import NameDescription, TypeDescription
from redis_bridge.protocol.keys import robot_key
from redis_bridge.protocol.leases import lease_keys
from redis_bridge.redis_io.address import Timing

LOG = logging.getLogger('redis_bridge.test')
# From a fault until data flows again: 1 s until a node is missed, an election, a look at the map,
# and a machine that is busy.
FOUND_S = 6.0
CALM_S = 15.0  # until traffic flows at first, and after the test's fault
CALM_TIMEOUT_MS = 15_000  # of nodes that shall not fail however busy the machine is


STRING = TypeDescription('std_msgs/msg/String', 'string data', 'RIHS01_x')


@pytest.fixture(scope='module')
def shared_group(server_program: str, tmp_path_factory) -> Iterator[ClusterGroup]:
    """Give three primaries and their replicas to tests that break them; see `group`."""
    with ClusterGroup(server_program, tmp_path_factory.mktemp('group')) as group:
        yield group


@pytest.fixture
def group(shared_group: ClusterGroup) -> ClusterGroup:
    """Give three primaries and their replicas, whole and empty."""
    return shared_group.renew()


@pytest.fixture(scope='module')
def shared_proxied_group(server_program: str, tmp_path_factory) -> Iterator[ClusterGroup]:
    """Give such a cluster in which nodes can be cut off; see `proxied_group`."""
    folder = tmp_path_factory.mktemp('proxied')
    with ClusterGroup(server_program, folder, is_proxied=True) as group:
        yield group


@pytest.fixture
def proxied_group(shared_proxied_group: ClusterGroup) -> ClusterGroup:
    """Give such a cluster, whole and empty."""
    return shared_proxied_group.renew()


@pytest.fixture(scope='module')
def calm_group(server_program: str, tmp_path_factory) -> Iterator[ClusterGroup]:
    """Give three primaries for all tests without a fault."""
    folder = tmp_path_factory.mktemp('calm')
    with ClusterGroup(
        server_program, folder, replicas=0, node_timeout_ms=CALM_TIMEOUT_MS
    ) as group:
        yield group


@pytest.fixture
def db(calm_group: ClusterGroup) -> Iterator[Any]:
    """Give a plain client of the calm cluster, which is empty."""
    with calm_group.renew().client() as db:
        yield db


@pytest.fixture
def client(calm_group: ClusterGroup) -> Iterator[Client]:
    """Give a client of the calm cluster."""
    with Client(calm_group.url, origin='me') as client:
        yield client


def names_at(group: ClusterGroup, node: ClusterNode) -> Callable[[str], str]:
    """Return what makes names that lie at a node now, each in a slot of its own."""
    slots = node.views()[node.id].slots

    def name_of(name: str) -> str:
        # The hash tag keeps the name and what is derived from it together.
        return next(
            numbered
            for numbered in (f'{{{name}{number}}}' for number in range(1000))
            if slot_of(numbered) in slots
        )

    return name_of


def name_at_each(group: ClusterGroup, name: str) -> list[str]:
    """Return one name at each node."""
    return [names_at(group, node)(name) for node in group.primaries()]


# --- faults --------------------------------------------------------------------------------------
def kill(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    node.kill()
    group.await_failover(node)


def stop(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    node.freeze()
    group.await_failover(node)


def plan(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    group.fail_over(node)
    group.await_failover(node)


def migrate(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    to = next(other for other in group.primaries() if other is not node)
    for name in names:
        group.migrate(slot_of(name), to)


def restart_all(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    group.kill()
    group.start()


def come_and_go(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    new = group.join()
    for name in names:
        group.migrate(slot_of(name), new)
    group.leave(new)
    new.kill()


@pytest.mark.parametrize(
    ('fault', 'is_sharded'),
    [
        *((fault, False) for fault in (kill, stop, plan, migrate, restart_all, come_and_go)),
        *((fault, True) for fault in (kill, migrate)),
    ],
    ids=lambda value: getattr(value, '__name__', 'sharded' if value else 'ordinary'),
)
def test_nothing_is_lost_unreported_or_doubled_over(
    fault, is_sharded, group, started_side_at, record_property
):
    side = started_side_at(group.url, sharded_pubsub=is_sharded)
    nodes = group.primaries()
    names = [names_at(group, node) for node in nodes]
    with contextlib.closing(Traffic(side, group.url, names, is_sharded=is_sharded)) as traffic:
        traffic.flows(CALM_S)
        begun = time.monotonic()
        fault(group, nodes[0], traffic.lanes[0].names())
        traffic.flows(CALM_S)
        pauses = [lane.longest_pauses_s(begun) for lane in traffic.lanes]
        record_property('longest_pauses_s', pauses)
        LOG.info('%s: longest pauses %s', fault.__name__, pauses)
        assert max(max(each.values()) for each in pauses) < FOUND_S, pauses
        if fault is stop:
            nodes[0].thaw()
            eventually(lambda: is_replica(nodes[0]))
            eventually(group.is_ready, 20)
            traffic.flows(CALM_S)
        if fault is come_and_go:  # and nothing says that a node is missing
            eventually(lambda: all_connected(side))
        traffic.end()
        with group.client() as db:
            traffic.check(db)


# --- one node that cannot be reached -------------------------------------------------------------
@pytest.mark.parametrize('how', ['clients', 'nodes', 'both'])
def test_nothing_is_lost_while_a_primary_is_cut_off_from(
    how, proxied_group, started_side_at, record_property
):
    group = proxied_group
    calm, node = group.primaries()[1:]
    if how != 'clients':
        node = group.primary_of(robot_key('robot1'))  # it has the claim too
    side = started_side_at(group.url)
    names = [names_at(group, each) for each in (node, calm)]
    with contextlib.closing(Traffic(side, group.url, names)) as traffic:
        others = traffic.lanes[1]
        traffic.flows(CALM_S)
        begun = time.monotonic()
        group.cut_off(node, clients=how != 'nodes', nodes=how != 'clients')
        if how == 'clients':  # no failover: the other nodes reach it
            where = f'cluster node 127.0.0.1:{node.seen_ports[0]}'
            eventually(lambda: where in not_connected(side))
            traffic.flows(CALM_S, [others])
            assert max(others.longest_pauses_s(begun).values()) < FOUND_S / 2
            group.heal()
        else:
            group.await_failover(node)
        traffic.flows(CALM_S)
        pauses = [lane.longest_pauses_s(begun) for lane in traffic.lanes]
        record_property('longest_pauses_s', pauses)
        LOG.info('cut off from %s: longest pauses %s', how, pauses)
        group.heal()
        eventually(group.is_ready, 20)
        traffic.flows(CALM_S)
        traffic.end()
        with group.client() as db:
            traffic.check(db)


def test_messages_between_bridges_do_not_depend_on_the_cluster_bus(
    server_program, tmp_path, started_side_at
):
    with ClusterGroup(
        server_program, tmp_path, replicas=0, node_timeout_ms=CALM_TIMEOUT_MS, is_proxied=True
    ) as group:
        side = started_side_at(group.url)
        names = name_at_each(group, 'c')
        heard = {name: Recorder() for name in names}
        side.want([request(ChannelSourceConfig(name), heard[name]) for name in names])
        eventually(lambda: all_connected(side))
        with Client(group.url) as client:
            for node in group.nodes:
                group.cut_off(node, clients=False, nodes=True)
            for name in names:
                assert client.publish(name, {'n': 1}) == 1
            eventually(lambda: all(each.arrivals for each in heard.values()))
            group.heal()


def not_connected(side: Any) -> dict[str, str]:
    """Return the connections that are not connected, and why."""
    return {role: state for role, state in side.states().items() if state != 'connected'}


# --- one bridge per name, leases, queues ---------------------------------------------------------
def test_never_do_two_bridges_with_one_name_work_on_both_sides_of_a_failover(
    proxied_group, tmp_path
):
    group = proxied_group
    claim = robot_key('robot1')
    where = SimpleNamespace(url=group.url)
    made: list[Rival] = []
    commander = Commander(group.url, 'c')
    try:
        made.append(Rival(where, tmp_path))
        made[0].goes_on()
        made.append(Rival(where, tmp_path))
        first, second = made
        eventually(lambda: 'held by another bridge' in second.log)
        old = group.primary_of(claim)
        group.fail_over(old)
        group.await_failover(old)
        first.goes_on()
        eventually(group.is_ready, 20)
        old = group.primary_of(claim)
        old.freeze()
        group.await_failover(old)
        old.thaw()
        first.goes_on()
        eventually(group.is_ready, 20)
        old = group.primary_of(claim)  # it goes on for a while, on its side
        group.cut_off(old, clients=False, nodes=True)
        group.await_failover(old)
        group.heal()
        first.goes_on()
        eventually(group.is_ready, 20)
        assert second.counts() == {'channel': 0, 'key': 0, 'stream': 0}
        first.process.kill()
        old = group.primary_of(claim)
        old.kill()
        group.await_failover(old)
        second.goes_on()
        assert_never_at_once(first, second)
    finally:
        commander.close()
        end_all(made)


def test_a_promoted_server_gives_no_lease_that_somebody_may_hold_from_before(group):
    ttl_s = 2.0
    for node in group.nodes:  # of their uptime a second does not count
        with plain_client(node) as db:
            eventually(lambda db=db: db.info('server')['uptime_in_seconds'] > ttl_s + 1)
    with Client(group.url) as client:
        with client.lease('door', ttl_ms=100):  # known from now on, and free
            pass
        old = group.primary_of(lease_keys('door').holder)
        with plain_client(old) as db:
            assert db.wait(1, 5000) == 1
        begun = time.monotonic()
        group.fail_over(old)
        group.await_failover(old)
        with client.lease('door', ttl_ms=int(ttl_s * 1000), timeout_s=20):
            assert time.monotonic() - begun > ttl_s


def test_a_lease_is_lost_before_another_client_can_have_it(group):
    with Client(group.url, origin='a') as one, Client(group.url, origin='b') as other:
        lost_at: list[float] = []
        with one.lease(
            'door', ttl_ms=1000, on_lost=lambda lease: lost_at.append(time.monotonic())
        ):
            old = group.primary_of(lease_keys('door').holder)
            with plain_client(old) as db:
                assert db.wait(1, 5000) == 1
            old.freeze()
            eventually(lambda: lost_at, FOUND_S)
            group.await_failover(old)
            with other.lease('door', ttl_ms=1000, timeout_s=20):
                assert time.monotonic() > lost_at[0]


def test_no_task_is_lost_over_a_failover(group):
    name = '{tasks}'
    put: list[int] = []
    done: list[int] = []
    ended = threading.Event()
    with (
        Client(group.url) as sender,
        Client(group.url, origin='worker') as client,
        client.queue(name, return_after_ms=2000) as queue,
    ):

        def work() -> None:
            for task in queue.claim():
                done.append(task.value['n'])
                is_removed = False
                while not is_removed:
                    with contextlib.suppress(RedisError):
                        queue.done(task)
                        is_removed = True

        def send() -> None:
            tasks, number = sender.queue(name), 0
            while not ended.wait(0.01):
                number += 1
                with contextlib.suppress(RedisError):
                    tasks.put({'n': number})
                    put.append(number)

        threads = [threading.Thread(target=each) for each in (work, send)]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: len(done) > 20)
            safe = max(put)  # what comes later may be lost with the primary
            old = group.primary_of(name)
            with plain_client(old) as db:
                assert db.wait(1, 5000) == 1
            old.kill()
            group.await_failover(old)
            late = max(put)
            eventually(lambda: max(done) > late + 20, CALM_S)
        finally:
            ended.set()
            threads[1].join()
        eventually(lambda: max(done) == max(put), CALM_S)
        status = eventually(lambda: not (at := queue.status()).claimed and at, CALM_S)
        assert (status.waiting, status.dead_total) == (0, 0)
        queue.close()
        threads[0].join()
    assert {number for number in put if number <= safe or number > late} <= set(done)


def test_the_dead_man_stops_the_robot_long_before_a_failover_ends(group, tmp_path):
    took_s = seconds_to_stop(tmp_path, group.url, lambda: group.primary_of('c').freeze())
    assert took_s < AFTER_MS / 1000 + 0.3


# --- where names are -----------------------------------------------------------------------------
def test_a_client_finds_names_at_every_node(calm_group, client, db):
    for number, name in enumerate(name_at_each(calm_group, 'k')):
        client.publish(name, {'n': number}, kind='key')
        assert json.loads(db.get(name))['n'] == number
        assert client.get(name) == {'n': number}
    for number, name in enumerate(name_at_each(calm_group, 's')):
        client.publish(name, {'n': number}, kind='stream')
        assert client.get(name) == {'n': number}
    for number, name in enumerate(name_at_each(calm_group, 'h')):
        db.hset(name, 'n', number)
        assert client.get_raw(name) == {b'n': b'%d' % number}


def test_one_watch_follows_names_of_every_node(calm_group, client, db):
    kinds = {'c': 'channel', 'k': 'key', 's': 'stream'}
    names = {
        name: kind for letter, kind in kinds.items() for name in name_at_each(calm_group, letter)
    }
    for name, kind in names.items():
        if kind != 'channel':
            client.publish(name, {'n': 0}, kind=kind)
    seen = set()
    with client.watch(*names) as watch:
        for name, kind in names.items():
            client.publish(name, {'n': 1}, kind=kind)
        for update in watch:
            if update.value['n'] == 1:
                seen.add(update.name)
            if len(seen) == len(names):
                break


def test_channels_are_read_and_written_at_the_node_of_their_name(
    calm_group, started_side_at, client
):
    side = started_side_at(calm_group.url)
    names = name_at_each(calm_group, 'c')
    heard = {name: Recorder() for name in names}
    side.want([request(ChannelSourceConfig(name), heard[name]) for name in names])
    eventually(lambda: all_connected(side))
    for name, node in zip(names, calm_group.primaries()):
        for each in calm_group.primaries():
            with plain_client(each) as db:
                (at,) = db.pubsub_numsub(name)
                assert at[1] == (each is node)
        assert client.publish(name, {'n': 1}) == 1  # as many as are at the node itself
    eventually(lambda: all(each.arrivals for each in heard.values()))


def test_a_plain_client_at_any_node_hears_and_is_heard(calm_group, started_side_at):
    side = started_side_at(calm_group.url)
    nodes = calm_group.primaries()
    name, other = names_at(calm_group, nodes[0])('in'), names_at(calm_group, nodes[0])('out')
    heard = Recorder()
    side.want([request(ChannelSourceConfig(name), heard)])
    out = Out(side, ChannelSinkConfig(other, encoding='json'))
    eventually(lambda: all_connected(side))
    with plain_client(nodes[2]) as db, db.pubsub() as pubsub:
        pubsub.subscribe(other)
        db.publish(name, 'hello')
        eventually(lambda: heard.payloads == [b'hello'])
        out.write(1)

        def message() -> Any:
            return pubsub.get_message(ignore_subscribe_messages=True, timeout=0.1)

        assert json.loads(eventually(message)['data'])['n'] == 1


def test_a_sharded_channel_stays_at_its_node(calm_group, started_side_at):
    side = started_side_at(calm_group.url, sharded_pubsub=True)
    node, other, _ = calm_group.primaries()
    name_of = names_at(calm_group, node)
    name, mirrored = name_of('in'), name_of('out')
    heard = Recorder()
    side.want([request(ChannelSourceConfig(name), heard)])
    out = Out(side, ChannelSinkConfig(mirrored, encoding='json', is_sharded=True))
    eventually(lambda: all_connected(side))
    with plain_client(other) as db, db.pubsub() as elsewhere, plain_client(node) as at:
        elsewhere.subscribe(mirrored)
        elsewhere.get_message(timeout=5)
        assert at.execute_command('SPUBLISH', name, 'hello') == 1
        eventually(lambda: heard.payloads == [b'hello'])
        with at.pubsub() as pubsub:
            pubsub.execute_command('SSUBSCRIBE', mirrored)
            pubsub.parse_response()
            out.write(1)
            kind, _, payload = pubsub.parse_response(timeout=5)
            assert (kind, json.loads(payload)['n']) == (b'smessage', 1)
        assert elsewhere.get_message(timeout=0.1) is None


def test_patterns_hear_channels_of_every_node(calm_group, started_side_at, client):
    side = started_side_at(calm_group.url)
    names = name_at_each(calm_group, 'scan')
    found: set[str] = set()
    asked = ChannelsRequest('{scan*', False, found.update)
    side.discover([asked], None)
    eventually(lambda: side.source_state(asked) == 'open')
    for name in names:
        client.publish(name, {'n': 1}, kind='channel')
    eventually(lambda: found == set(names))


def test_lost_values_and_descriptions_come_back_at_every_node(calm_group, started_side_at, db):
    side = started_side_at(calm_group.url)
    keys, hashes = name_at_each(calm_group, 'k'), name_at_each(calm_group, 'h')
    told = [NameDescription(name, 'key', False, 'json', None, STRING) for name in (*keys, *hashes)]
    side.describe(told)
    sinks = [
        *(Out(side, KeySinkConfig(name, encoding='json', ttl_ms=60_000)) for name in keys),
        *(Out(side, HashSinkConfig(name, ttl_ms=60_000)) for name in hashes),
    ]
    for sink in sinks:
        sink.write(1)
    wanted = [*keys, *hashes, *(each.key() for each in told), robot_key('robot1')]

    def are_all_there() -> bool:
        return all(db.exists(name) for name in wanted) and all(db.pttl(n) > 0 for n in hashes)

    eventually(are_all_there)
    for node in calm_group.nodes:
        with plain_client(node) as one:
            one.flushall()
    eventually(are_all_there)
    assert [sink.dropped() for sink in sinks] == [0] * 6


def test_bridges_hold_leases_and_follow_the_registry(calm_group, redis_side_at, client, db):
    side = redis_side_at(calm_group.url, leases=[LeaseConfig('corridor', 1000)])
    registered: list[frozenset[tuple[str, str]]] = []
    side.discover([], registered.append)
    side.start(dict)
    eventually(lambda: side.states()['leases'] == 'connected')
    eventually(lambda: side.acquire_lease('corridor')[0])
    token = int(db.hget(lease_keys('corridor').holder, 'token'))
    assert side.lease_token('corridor') == token
    names = {('stream', name) for name in name_at_each(calm_group, 's')}
    for kind, name in names:
        client.register(kind, name)
    eventually(lambda: registered and registered[-1] == names)


def test_a_bridge_keeps_a_lease_over_a_connection_that_was_closed(calm_group, redis_side_at):
    side = redis_side_at(calm_group.url, timing=Timing(), leases=[LeaseConfig('dock', 2000)])
    side.start(dict)
    eventually(lambda: side.acquire_lease('dock')[0])
    token = side.lease_token('dock')
    lease = side._leases._leases['dock']
    with plain_client(calm_group.primary_of(lease_keys('dock').holder)) as node:
        node.client_kill_filter(_type='normal', skipme=True)
    killed_at = time.monotonic()
    eventually(lambda: side.lease_token('dock') is None or lease.renew_at > killed_at + 1)
    assert side.lease_token('dock') == token


def test_a_watch_of_robots_sees_who_comes_and_leaves(calm_group, started_side_at, client, db):
    with client.watch_robots() as watch:
        side = started_side_at(calm_group.url)
        assert next(watch)[:2] == ('online', 'robot1')
        assert [robot.name for robot in client.robots()] == ['robot1']
        side.close()
        assert next(watch)[:2] == ('offline', 'robot1')


def test_only_nodes_with_names_have_a_writer_and_readers(calm_group, started_side_at):
    side = started_side_at(calm_group.url)
    claim, node, other = calm_group.primaries()
    assert claim is calm_group.primary_of(robot_key('robot1'))
    name_of = names_at(calm_group, node)
    outs = [Out(side, KeySinkConfig(name_of(name), encoding='json')) for name in 'abc']
    heard = [Recorder() for _ in 'de']
    side.want([
        request(ChannelSourceConfig(name_of(name)), each) for name, each in zip('de', heard)
    ])  # fmt: skip
    for out in outs:
        out.write(1)
    eventually(lambda: all_connected(side) and all(out.carried() for out in outs))
    roles = [role for role in side.states() if role.startswith(('writer', 'channels'))]
    assert len(roles) == 3, roles  # one writer at the claim, one of each here
    before = len(bridge_connections(other))
    third = Out(side, KeySinkConfig(names_at(calm_group, other)('f'), encoding='json'))
    third.write(1)
    eventually(third.carried)
    assert len(bridge_connections(other)) == before + 1


# --- slots on their way --------------------------------------------------------------------------
def test_names_of_a_slot_that_is_half_moved_are_found(calm_group, started_side_at, client, db):
    side = started_side_at(calm_group.url)
    slot = slot_of('{x}')
    owner = calm_group.primary_of(slot)
    to = next(node for node in calm_group.primaries() if node is not owner)
    sinks = [
        Out(side, KeySinkConfig(f'{{x}}{name}', encoding='json')) for name in ('k-moved', 'k')
    ] + [Out(side, StreamSinkConfig(f'{{x}}{name}', encoding='json')) for name in ('s-moved', 's')]
    for sink in sinks:
        sink.write(1)
    eventually(lambda: all(sink.carried() for sink in sinks))
    calm_group.begin_migration(slot, to)
    try:
        calm_group.move_keys(slot, to, '{x}k-moved', '{x}s-moved')
        fresh = [
            Out(side, KeySinkConfig('{x}k-new', encoding='json')),
            Out(side, StreamSinkConfig('{x}s-new', encoding='json')),
        ]
        for number in range(2, 20):
            for sink in (*sinks, *fresh):
                sink.write(number)
        everything = [*sinks, *fresh]
        for name in [sink.name for sink in everything]:
            eventually(lambda name=name: client.get_raw(name) == b'19')
        client.publish('{x}k-client', 5, kind='key', encoding='text')
        assert client.get_raw('{x}k-client') == b'5'
    finally:
        calm_group.move_keys(slot, to)
        calm_group.end_migration(slot, to)
    for sink in everything:
        sink.write(20)
    for sink in sinks[2:]:
        eventually(lambda sink=sink: stored(db, sink.name) == list(range(1, 21)))
    eventually(lambda: stored(db, '{x}s-new') == list(range(2, 21)))
    assert [sink.dropped() for sink in (*sinks[2:], fresh[1])] == [0] * 3


def test_readers_go_on_when_a_slot_was_half_moved_for_a_while(
    calm_group, started_side_at, client, db
):
    side = started_side_at(calm_group.url)
    slot = slot_of('{y}')
    owner = calm_group.primary_of(slot)
    to = next(node for node in calm_group.primaries() if node is not owner)
    heard = {name: Recorder() for name in ('{y}s', '{y}s-moved', '{y}k', '{y}g')}
    for name in heard:
        db.delete(name)
        client.publish(name, {'n': 0}, kind='key' if name == '{y}k' else 'stream')
    side.want([
        request(StreamSourceConfig('{y}s', 'new'), heard['{y}s']),
        request(StreamSourceConfig('{y}s-moved', 'new'), heard['{y}s-moved']),
        request(KeySourceConfig('{y}k'), heard['{y}k']),
        request(StreamSourceConfig('{y}g', 'group', 'g'), heard['{y}g']),
    ])  # fmt: skip
    eventually(lambda: all_connected(side) and heard['{y}k'].arrivals)
    calm_group.begin_migration(slot, to)
    try:
        calm_group.move_keys(slot, to, '{y}s-moved', '{y}k', '{y}g')
        for number in range(1, 20):
            for name in heard:
                client.publish(name, {'n': number}, kind='key' if name == '{y}k' else 'stream')
    finally:
        calm_group.move_keys(slot, to)
        calm_group.end_migration(slot, to)

    def numbers(name: str) -> list[int]:
        return [json.loads(payload)['n'] for payload in heard[name].payloads]

    for name in ('{y}s', '{y}s-moved'):
        eventually(lambda name=name: numbers(name) == list(range(1, 20)))
    eventually(lambda: numbers('{y}g') == list(range(20)))
    eventually(lambda: numbers('{y}k')[-1] == 19)
    assert [each.gaps for each in heard.values()] == [[]] * 4


# --- errors and logins ---------------------------------------------------------------------------
def problem(url: str, **settings: Any) -> str:
    """Return the error of a client's call."""
    with pytest.raises(RedisError) as caught, Client(url, **settings) as client:
        client.get('x')
    return str(caught.value)


def test_a_bridge_works_with_one_of_three_hosts_and_says_which_are_dead(
    calm_group, started_side_at, caplog
):
    dead = [free_port(), free_port()]
    side = started_side_at(url_by(*dead, calm_group.nodes[0].port))
    problems = {
        f'cluster node 127.0.0.1:{port}': f'Error 111 connecting to 127.0.0.1:{port}. '
        'Connection refused.'
        for port in dead
    }
    expected = {node: f'connecting: {text}' for node, text in problems.items()}
    eventually(lambda: side.why_closed() is None and not_connected(side) == expected)
    for node, text in problems.items():
        assert f'{node}: {text}' in caplog.text


def test_a_bridge_waits_for_a_cluster_and_says_what_is_missing(
    server_program, tmp_path, started_side_at
):
    group = ClusterGroup(server_program, tmp_path, replicas=0)
    side = started_side_at(group.url)
    eventually(lambda: 'no node of the cluster answers' in side.states()['presence'])
    for node in group.nodes:
        assert f'127.0.0.1:{node.port}: Error 111' in side.states()['presence']
    assert 'no node of the cluster answers' in problem(group.url)
    with group:
        eventually(lambda: side.why_closed() is None and all_connected(side))


def test_a_single_server_is_no_cluster(redis_server, started_side_at):
    url = url_by(redis_server.port)
    assert 'it is no node of a cluster: use redis:// for a single server' in problem(url)
    side = started_side_at(url)
    eventually(lambda: 'no node of a cluster' in side.states()['presence'])


def test_a_node_of_a_cluster_is_no_single_server(calm_group):
    name = names_at(calm_group, calm_group.nodes[1])('k')
    text = problem(f'redis://127.0.0.1:{calm_group.nodes[0].port}').replace(name, 'k')
    assert 'redis+cluster://' in text


@pytest.mark.parametrize(
    ('more', 'settings', 'text'),
    [
        ('/1', {}, 'a cluster has database 0 alone'),
        ('/mymaster', {}, 'expected no database at the end of the url'),
        ('', {'sentinel_username': 'ann'}, 'redis.sentinel: needs a redis+sentinel:// url'),
        ('', {'tls': Tls(ca='ca.pem')}, 'redis.tls: needs a rediss:// url'),
    ],
)
def test_a_url_or_settings_that_can_never_work_are_an_error(calm_group, more, settings, text):
    assert text in problem(f'{calm_group.url}{more}', **settings)


def test_a_login_is_needed_and_never_shown(server_program, tmp_path, started_side_at, capsys):
    right, wrong = tmp_path / 'right.txt', tmp_path / 'wrong.txt'
    right.write_text('hunter2\n')
    wrong.write_text('hunter3\n')
    with ClusterGroup(server_program, tmp_path / 'group', replicas=0, password='hunter2') as group:
        side = started_side_at(group.url, password_file=str(right))
        eventually(lambda: all_connected(side))
        with Client(group.url, password_file=str(right)) as client:
            for name in name_at_each(group, 'k'):
                client.publish(name, 'v', kind='key', encoding='text')
        assert main(['get', name, '--url', group.url, '--password-file', str(right)]) == 0
        assert capsys.readouterr().out == 'v\n'
        for settings in ({}, {'password_file': str(wrong)}):
            text = problem(group.url, **settings)
            assert 'hunter' not in text
            assert f'127.0.0.1:{group.nodes[0].port}: ' in text
            assert 'uthenticat' in text or 'WRONGPASS' in text or 'password' in text
        strict, *others = group.nodes
        for node in others:
            with plain_client(node) as admin:
                admin.config_set('requirepass', '')
        name = names_at(group, strict)('x')
        with pytest.raises(RedisError, match='uthenticat'), Client(group.url) as client:
            client.get(name)


def test_a_user_needs_two_commands_of_cluster_and_is_told_which(calm_group, started_side_at):
    def allow(*rules: str) -> None:
        for node in calm_group.nodes:
            with plain_client(node) as db:
                db.execute_command(
                    'ACL', 'SETUSER', 'ann', 'reset', 'on', 'nopass', '~*', '&*', '+@all', *rules
                )

    allow('-cluster', '+cluster|info', '+cluster|slots')
    side = started_side_at(calm_group.url, username='ann')
    eventually(lambda: side.why_closed() is None)
    for missing in ('cluster|slots', 'role'):
        allow(f'-{missing}')
        assert f"'{missing}' command" in problem(calm_group.url, username='ann').lower()


def test_tls_reaches_all_nodes(tmp_path, started_side_at):
    give_up = pytest.fail if os.environ.get('CI') else pytest.skip  # CI installs what is needed
    program = tls_program(give_up)
    make_certificate(tmp_path)
    with ClusterGroup(program, tmp_path / 'group', replicas=1, tls=tmp_path) as group:
        side = started_side_at(group.url, tls=Tls(ca=str(tmp_path / 'ca.pem')))
        outs = [
            Out(side, KeySinkConfig(name, encoding='json')) for name in name_at_each(group, 'k')
        ]
        for out in outs:
            out.write(1)
        eventually(lambda: all_connected(side) and all(out.carried() for out in outs))
        old = group.primary_of(outs[0].name)
        group.fail_over(old)
        group.await_failover(old)
        outs[0].write(2)
        eventually(lambda: outs[0].carried() == 2)
        assert 'certificate' in problem(group.url).lower()
        side.close()  # first: Python leaks a socket whose peer ends just before the handshake


# --- the command line ----------------------------------------------------------------------------
SPREAD = """\
version: 1
vars: {robot: '${ROBOT}'}
redis: {url: 'redis+cluster://127.0.0.1:1'}
ros_to_redis:
  - {topic: /odom, type: nav_msgs/msg/Odometry, to: {key: 'NAME:odom', channel: 'NAME:odom/all'}}
"""


@pytest.mark.parametrize(('name', 'warns'), [('{robot}', True), ('{{robot}}', False)])
def test_check_warns_of_a_sample_that_goes_to_several_nodes(tmp_path, capsys, name, warns):
    file = tmp_path / 'm.yaml'
    file.write_text(SPREAD.replace('NAME', name))
    assert main(['check', str(file), '--robot', 'robot1']) == 0
    out, err = capsys.readouterr()
    text = 'key robot1:odom and channel robot1:odom/all may be at several nodes of the cluster'
    assert (text in out + err) is warns


def test_check_rejects_a_group_whose_dead_letters_are_elsewhere(tmp_path, capsys):
    file = tmp_path / 'm.yaml'
    route = '{stream: {name: tasks, from: group, group: g}, topic: /t, type: std_msgs/msg/String}'
    file.write_text(
        f"version: 1\nredis: {{url: 'redis+cluster://127.0.0.1:1'}}\nredis_to_ros:\n  - {route}\n"
    )
    assert main(['check', str(file), '--robot', 'robot1']) == 1
    assert "'tasks' and 'tasks:dead' must be in one slot" in capsys.readouterr().err


def test_commands_work_with_a_cluster(calm_group, client, started_side_at, db, capsys):
    side = started_side_at(calm_group.url)
    eventually(lambda: side.why_closed() is None)

    def shell(*words: str) -> str:
        assert main([*words, '--url', calm_group.url]) == 0
        return capsys.readouterr().out

    for name in name_at_each(calm_group, 'k'):
        shell('publish', name, '{a: 1}', '--kind', 'key')
        assert shell('get', name) == '{a: 1}\n'
        assert shell('watch', name, '--count', '1', '--json')
    assert shell('status').startswith('robot1, ')
    assert 'robot1' in eventually(lambda: shell('robots'))
    for name in name_at_each(calm_group, 'tasks'):
        client.queue(name).put({'shelf': 7})
        assert '1 waiting' in shell('queue', name)
