# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A Redis Cluster: which primary holds which slots, followed while that changes.

One thread asks the nodes in turn, once a second and as soon as a server says MOVED. What it finds
reaches everybody: connections to a server that holds a slot no more are broken, and `on_change`
has names move to the writers and sources of their new primaries. After a failover the names of a
shard stay together, and so do their writer and sources, which only connect again.
"""

from __future__ import annotations

import contextlib
import logging
import math
import select
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any
from weakref import WeakMethod

import redis
from redis.crc import key_slot

from redis_bridge.log_once import LogOnChange
from redis_bridge.mapping.model import RedisSettings
from redis_bridge.mapping.redis_url import Host, host_text
from redis_bridge.ports import CLUSTER_ROLE
from redis_bridge.protocol import keys
from redis_bridge.redis_io.address import Timing, parse_url
from redis_bridge.redis_io.connection import Command, CommandPrefix, Connection, Waker
from redis_bridge.redis_io.info import parse_info
from redis_bridge.redis_io.moving import MovingAddress
from redis_bridge.redis_io.resp import (
    Ask,
    Moved,
    Redirected,
    Reply,
    code_of,
    is_redirected,
    raise_if_error,
)

SLOTS = 16384
LOOK_S = 1.0  # between two looks at the map
# A server that says MOVED may know more than the one it names, for a moment.
DOUBTED_LOOK_S, DOUBT_S = 0.05, 1.0
MOST_S = 1.0  # that asking one node takes, because others wait to be asked
RECHECK = 5  # looks, after which one that did not answer is asked first again
# A node that does not answer may not hold up what is sent to the others: the claim on the robot's
# name is relied on for little more than a second.
PATIENCE_S = 0.5
AWAY_S = 2.0  # for which such a node is not tried again
REDIRECTIONS = 5
REDIRECT_PAUSE_S = 0.05
DOWN = 'is down: slots have no primary, or a primary hears too few others'
PLACE_OF_TIME = keys.FLEET  # the primary that holds this name keeps the time for all


Span = tuple[int, int]  # the first and the last of slots in a row


def slot_of(name: str | bytes) -> int:
    """Return the slot of a name."""
    return key_slot(name if isinstance(name, bytes) else name.encode())


class _Part(MovingAddress):
    """Leads to the primary of some slots; another server may become it."""

    why_replica = 'a replica by now'

    def __init__(
        self, cluster: Cluster, label: str, settings: RedisSettings, client_name: str,
        timing: Timing,
    ) -> None:  # fmt: skip
        super().__init__(settings, client_name, timing)
        self.label = label
        self._cluster = cluster

    def connection(self) -> Any:
        """Return a new connection to the primary, not yet connected.

        Raises redis.ConnectionError if it is not known.
        """
        self._cluster.find()
        host = self.leads_to()
        if host is None:
            raise redis.ConnectionError(self._cluster.why_unknown())
        return self.connection_to(host)

    def slot_of(self, name: str) -> int:
        return slot_of(name)

    def note_redirected(self, error: Redirected) -> None:
        self._cluster.note_redirected(error)


class Shard(_Part):
    """Leads to one of the primaries, whatever slots it holds."""

    host: Host | None = None
    since = math.inf  # monotonic, when the host was first seen as the primary
    spans: Sequence[Span] = ()  # that it holds

    @property
    def keeps_time(self) -> bool:
        """Whether its clock is the one by which ages are measured."""
        return self._cluster.node_of(PLACE_OF_TIME) is self

    def leads_to(self) -> Host | None:
        return self.host

    def is_needed(self) -> bool:
        return bool(self.spans)

    def primary_for_s(self) -> float:
        return time.monotonic() - self.since

    def open_within(self, timing: Timing) -> Connection:
        """Return a new connection that waits as other timing says; raises as `connection`."""
        made = self.connection()
        made.socket_connect_timeout, made.socket_timeout = timing.connect_s, timing.reply_s
        return Connection(made, self)

    def visit(self, host: Host) -> Connection:
        """Return a new connection to any node, not only to the primary; it is connected.

        :param host: without a name, the node is on the same host as the primary.
        """
        name, port = host
        made = self._class(**{
            **self._options_now(), 'host': name or (self.host or host)[0], 'port': port,
        })  # fmt: skip
        made.socket_connect_timeout = min(self.timing.connect_s, MOST_S)
        made.socket_timeout = min(self.timing.reply_s, MOST_S)
        connection = Connection(made)
        connection.connect()
        return connection


class SlotAddress(_Part):
    """Leads to whatever primary holds one slot."""

    def __init__(
        self, cluster: Cluster, slot: int, settings: RedisSettings, client_name: str,
        timing: Timing,
    ) -> None:  # fmt: skip
        super().__init__(cluster, f'slot {slot}', settings, client_name, timing)
        self._slot = slot

    def leads_to(self) -> Host | None:
        return self._cluster.holder(self._slot).host

    def primary_for_s(self) -> float:
        return self._cluster.holder(self._slot).primary_for_s()


class ClusterAddress(MovingAddress):
    """Leads to all names, by one connection to each primary that is asked."""

    def __init__(
        self, cluster: Cluster, settings: RedisSettings, client_name: str, timing: Timing
    ) -> None:
        super().__init__(settings, client_name, timing)
        self.where = f'the cluster {self.where}'
        self._cluster = cluster

    def open(self) -> Connection:
        """Return what connects to each primary once it is asked."""
        return ClusterConnection(self._cluster, self.timing)

    def leads_to(self) -> Host | None:
        return None  # to many servers

    def slot_of(self, name: str) -> int:
        return slot_of(name)

    def states(self) -> dict[str, str]:
        return self._cluster.states()

    def close(self, deadline: float) -> None:
        self._cluster.close(deadline)


class ClusterConnection(Connection):
    """Sends each command to the primary that holds its name, as a connection to one server does.

    Commands without a name, such as TIME, go to the primary that keeps the time. A command that is
    redirected was not carried out, and is sent to where it belongs. Whoever subscribes, blocks or
    needs a transaction asks for the connection to one name (`at`).
    """

    def __init__(self, cluster: Cluster, timing: Timing) -> None:
        super().__init__(None)
        self._cluster = cluster
        self._timing = timing
        self._open: dict[Shard, Connection] = {}
        self._away: dict[Host | None, tuple[float, str]] = {}  # until when, and why
        self._visits: dict[Host, Connection] = {}  # where servers have redirected commands to

    def connect(self) -> None:
        """Connect to a primary, so that a cluster that cannot be reached shows."""
        self._cluster.find()
        *others, last = sorted(
            self._cluster.shards(), key=lambda shard: shard.host != self._cluster.answered
        )
        for shard in others:
            with contextlib.suppress(redis.RedisError, OSError):
                self._to(shard)
                return
        self._to(last)

    def at(self, name: str) -> Connection:
        """See `Connection`; raises as `connect` does."""
        return self._to(self._cluster.node_of(name))

    def watchable(self, name: str, others: Sequence[bytes]) -> list[bytes]:
        return [other for other in others if slot_of(other) == slot_of(name)]

    def parts(self) -> list[Connection]:
        return [self._to(shard) for shard in self._cluster.shards()]

    def lose_broken(self) -> bool:
        for shard, connection in list(self._open.items()):
            if connection.is_broken:
                self._lose(shard)
        self._visits = {h: visit for h, visit in self._visits.items() if not visit.is_broken}
        return True

    def call(self, *command: object) -> Reply:
        """Send one command and return its reply; raises ResponseError."""
        return raise_if_error(self.pipe([command])[0])

    def pipe(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands at once; return their replies in this order."""
        parts: dict[Shard, list[int]] = {}
        for number, command in enumerate(commands):
            parts.setdefault(self._shard_of(command), []).append(number)
        connections = {shard: self._to(shard) for shard in parts}
        replies: list[Reply] = [None] * len(commands)
        try:
            for shard, numbers in parts.items():
                connections[shard].send([commands[number] for number in numbers])
            for shard, numbers in parts.items():
                for number in numbers:
                    replies[number] = connections[shard].reply()
        except BaseException:  # replies of the others may be outstanding
            for shard in parts:
                if not connections[shard].is_broken:
                    self._open.pop(shard).close()
            raise
        for number, reply in enumerate(replies):
            if is_redirected(reply):
                replies[number] = self._redirected(commands[number], reply)
        return replies

    def pause(self, seconds: float, waker: Waker) -> None:
        """Wait until woken; that a server closed its connection shows when it is asked."""
        if select.select([waker], [], [], max(0.0, seconds))[0]:
            waker.wait()

    def has_reply(self) -> bool:
        """Return whether a connection was closed, as nothing else can come."""
        return any(connection.has_reply() for connection in self._open.values())

    def interrupt(self) -> None:
        for connection in (*self._open.values(), *self._visits.values()):
            connection.interrupt()

    def close(self) -> None:
        for connection in (*self._open.values(), *self._visits.values()):
            connection.close()
        self._open.clear()
        self._visits.clear()

    def _shard_of(self, command: Command) -> Shard:
        name: object = PLACE_OF_TIME
        if isinstance(command[0], CommandPrefix):
            name = command[0].name
        elif len(command) > 1:
            name = command[1]
        return self._cluster.node_of(name if isinstance(name, bytes) else str(name))

    def _to(self, shard: Shard) -> Connection:
        """Return the connection to a primary."""
        connection = self._open.get(shard)
        if connection is not None and not connection.is_broken:
            return connection
        if connection is not None:
            self._lose(shard)
        until, reason = self._away.get(shard.host, (0.0, ''))
        if time.monotonic() < until:
            raise redis.ConnectionError(f'{shard.label} of the cluster, just now: {reason}')
        connection = shard.open_within(self._timing)
        try:
            connection.connect()
        except (redis.RedisError, OSError) as error:
            self._note_away(shard, str(error))
            raise
        self._open[shard] = connection
        return connection

    def _lose(self, shard: Shard) -> None:
        lost = self._open.pop(shard)
        lost.close()
        if lost.is_silent:  # else it may take a new connection at once, or another node does
            where = '' if shard.host is None else f'{host_text(shard.host)}: '
            self._note_away(shard, f'{where}no answer')

    def _note_away(self, shard: Shard, reason: str) -> None:
        now = time.monotonic()
        self._away = {host: why for host, why in self._away.items() if why[0] > now}
        self._away[shard.host] = now + AWAY_S, reason

    def _redirected(self, command: Command, reply: Reply) -> Reply:
        """Send a command to where the server says, as long as it is redirected."""
        for _ in range(REDIRECTIONS):
            shard = self._shard_of(command)
            if isinstance(reply, Moved):
                asking: list[Command] = [('ASKING',)] if isinstance(reply, Ask) else []
                if reply.host not in self._visits:
                    self._visits[reply.host] = shard.visit(reply.host)
                reply = self._visits[reply.host].pipe([*asking, command])[-1]
            else:  # TRYAGAIN, CLUSTERDOWN: it knows no better itself
                time.sleep(REDIRECT_PAUSE_S)
                reply = self._to(shard).pipe([command])[0]
            if not is_redirected(reply):
                break
        return reply


class Cluster:
    """Knows which primary holds which slots; see `topology.Topology`.

    Its thread runs from the first connection until `close`.
    """

    def __init__(
        self, settings: RedisSettings, client_name: str, timing: Timing, log: logging.Logger
    ) -> None:
        url = parse_url(settings)
        quick = replace(
            timing,
            connect_s=min(timing.connect_s, PATIENCE_S),
            reply_s=min(timing.reply_s, PATIENCE_S),
        )
        self.address = ClusterAddress(self, settings, client_name, timing)
        self.quick = ClusterAddress(self, settings, client_name, quick)
        self._make_shard = partial(
            Shard, self, settings=settings, client_name=client_name, timing=timing
        )
        self._make_slot = partial(
            SlotAddress, self, settings=settings, client_name=client_name, timing=timing
        )
        first = self._make_shard('node 1')
        first.spans = [(0, SLOTS - 1)]  # until the nodes say more
        self._numbers = count(2)
        self._shards = [first]
        self._holders = [first] * SLOTS
        self._slots: dict[int, SlotAddress] = {}
        self._reactions: list[WeakMethod[Callable[[], None]]] = []
        self._epoch = -1
        self._map: dict[Host, list[Span]] | None = None  # what the primaries hold
        self._seeds = url.hosts
        self._nodes = {host: Node(host, first, log) for host in url.hosts}
        self._next = 0  # counts the looks
        self._ask_first: Host | None = None  # a server that was named as the holder of a slot
        self._doubted_until = 0.0  # monotonic
        self.answered: Host | None = None  # the node that did so last
        self._log = log
        self._state = LogOnChange(log, 'the cluster')
        self._starting = threading.Lock()  # also over who reacts
        self._thread: threading.Thread | None = None
        self._has_looked = threading.Event()
        self._hurry = threading.Event()
        self._closing = threading.Event()

    # --- see `topology.Topology` ----------------------------------------------------------------
    def node_of(self, name: str | bytes) -> Shard:
        return self._holders[slot_of(name)]

    def reader_of(self, name: str) -> SlotAddress:
        slot = slot_of(name)
        return self._slots.get(slot) or self._slots.setdefault(slot, self._make_slot(slot))

    def on_change(self, react: Callable[[], None]) -> None:
        with self._starting:  # threads may share a client
            self._reactions = [r for r in self._reactions if r() is not None] + [WeakMethod(react)]

    # --- what addresses ask ---------------------------------------------------------------------
    def holder(self, slot: int) -> Shard:
        """Return the primary that holds a slot."""
        return self._holders[slot]

    def shards(self) -> list[Shard]:
        """Return all primaries that hold slots."""
        return list(self._shards)

    def find(self) -> None:
        """Have the nodes asked now; return once all were, unless the primaries are known."""
        with self._starting:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name='cluster', daemon=True)
                self._thread.start()
        self._hurry.set()
        if self._map is None:
            self._has_looked.wait(MOST_S * len(self._seeds) + MOST_S)

    def note_redirected(self, error: Redirected) -> None:
        """Look at once whether the map has changed."""
        if isinstance(error, Moved) and error.host[0]:
            self._ask_first = error.host
        self._doubted_until = time.monotonic() + DOUBT_S
        self._hurry.set()

    def why_unknown(self) -> str:
        """Return why no primaries are known."""
        if any(node.is_down for node in self._nodes.values()):
            return f'the cluster {DOWN}'
        problems = (f'{node}: {node.problem}' for node in self._nodes.values() if node.problem)
        return f'no node of the cluster answers: {"; ".join(problems) or "closed"}'

    def states(self) -> dict[str, str]:
        """See `Address.states`."""
        return {
            f'{CLUSTER_ROLE}{node}': f'connecting: {node.problem}' if node.problem else 'connected'
            for node in self._nodes.values()
        }

    def close(self, deadline: float) -> None:
        """End the thread by then; closing twice is harmless."""
        with self._starting:
            self._closing.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))

    # --- the thread -----------------------------------------------------------------------------
    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._look()
            except Exception:  # a bug; nothing else follows the cluster
                self._log.exception('the cluster: internal error')
            self._has_looked.set()
            is_doubted = time.monotonic() < self._doubted_until
            self._hurry.wait(DOUBTED_LOOK_S if is_doubted else LOOK_S)
            self._hurry.clear()
        for node in self._nodes.values():
            node.close()

    def _look(self) -> None:
        """Ask one node after the other, until one knows."""
        older: list[tuple[int, Node, Reply]] = []
        nodes = self._in_turn()
        for node in nodes:
            found = node.ask()
            if found is None:
                continue
            epoch, slots = found
            self.answered = node.host
            if epoch >= self._epoch:
                return self._take(epoch, node.host, slots)
            older.append((epoch, node, slots))
        if len(older) * 2 > len(nodes):  # the cluster was made anew
            epoch, node, slots = max(older, key=lambda each: each[0])
            self._take(epoch, node.host, slots)
        elif any(node.is_down for node in nodes):
            self._state.update(DOWN, logging.WARNING)

    def _in_turn(self) -> list[Node]:
        """Return the nodes in the order to ask: those that did not answer come last.

        Now and then one of these comes first, so that it shows when it is back.
        """
        self._next += 1
        first, self._ask_first = self._ask_first, None
        nodes = list(self._nodes.values())
        turn = self._next % len(nodes)
        nodes = nodes[turn:] + nodes[:turn]
        if self._next % RECHECK:
            nodes.sort(key=lambda node: node.problem is not None)
        return sorted(nodes, key=lambda node: node.host != first)

    def _take(self, epoch: int, asked: Host, slots: Reply) -> None:
        """Take a map of slots; let everybody follow who is concerned."""
        self._epoch = epoch
        self._state.update('is up')
        spans: dict[Host, list[Span]] = {}
        for first, last, (name, port, *_) in sorted(row[:3] for row in slots):
            host = (name.decode() if name else asked[0], int(port))
            spans.setdefault(host, []).append((first, last))
        if spans == self._map:
            return
        is_first, self._map = self._map is None, spans
        self._doubted_until = 0.0
        self._assign(spans)
        self._follow_nodes({*spans})
        moving = [self.address, self.quick, *self._shards, *self._slots.values()]
        for address in moving:
            address.leave_others()
        for address in moving:
            address.hasten_all()
        for reaction in self._reactions:
            if (react := reaction()) is not None:
                react()
        self._log.info(
            'the primaries of the cluster are %s%s',
            ', '.join(host_text(shard.host) for shard in self._shards if shard.host is not None),
            '' if is_first else ' now, or hold other slots',
        )

    def _assign(self, spans: dict[Host, list[Span]]) -> None:
        """Give each primary its shard: the one it had, else the one whose slots it has taken."""
        free = [shard for shard in self._shards if shard.host not in spans]
        known = {shard.host: shard for shard in self._shards}
        now = time.monotonic()
        shards = []
        for host, held in spans.items():
            shard = known.get(host) or self._heir(free, held)
            if shard.host != host:
                shard.host, shard.since = host, now
            shard.spans = held
            shards.append(shard)
        for gone in free:
            gone.spans = []
        holders = list(self._holders)
        for shard in shards:
            for first, last in shard.spans:
                holders[first : last + 1] = [shard] * (last + 1 - first)
        self._holders, self._shards = holders, shards

    def _heir(self, free: list[Shard], held: list[Span]) -> Shard:
        """Return the shard that held most of some slots before, or a new one."""
        common = {
            shard: sum(self._holders[first : last + 1].count(shard) for first, last in held)
            for shard in free
        }
        best = max(free, key=lambda shard: common[shard], default=None)
        if best is None or not common[best]:
            return self._make_shard(f'node {next(self._numbers)}')
        free.remove(best)
        return best

    def _follow_nodes(self, primaries: set[Host]) -> None:
        """Ask the primaries of now, and the hosts of the URL."""
        wanted = [*dict.fromkeys([*self._seeds, *sorted(primaries)])]
        nodes = {
            host: self._nodes.get(host) or Node(host, self._shards[0], self._log)
            for host in wanted
        }
        for host, node in self._nodes.items():
            if host not in nodes:
                node.close()
        self._nodes = nodes


class Node:
    """One node that is asked for the map; used by one thread."""

    def __init__(self, host: Host, address: Shard, log: logging.Logger) -> None:
        self.host = host
        self.problem: str | None = None  # why it does not answer
        self.is_down = False  # it answers, and says so of the cluster
        self._address = address
        self._connection: Connection | None = None
        self._state = LogOnChange(log, f'{CLUSTER_ROLE}{self}')

    def __str__(self) -> str:
        return host_text(self.host)

    def ask(self) -> tuple[int, Reply] | None:
        """Return the epoch of the cluster, and the reply to CLUSTER SLOTS; None if it cannot."""
        try:
            if self._connection is None:
                self._connection = self._address.visit(self.host)
            info, slots = map(
                raise_if_error,
                self._connection.pipe([('CLUSTER', 'INFO'), ('CLUSTER', 'SLOTS')]),
            )
            about = parse_info(info)
        except (redis.RedisError, OSError) as error:
            self.close()
            self.is_down = False
            text = self._address.redact(error)
            if isinstance(error, redis.ResponseError) and code_of(error) == 'ERR':
                text = 'it is no node of a cluster: use redis:// for a single server'
            self.problem = text
            self._state.update(text, logging.WARNING)
            return None
        self.problem = None
        self._state.update('answers')
        # One that is cut off from most others says this too, and does not know who took its place.
        self.is_down = about.get(b'cluster_state') != b'ok'
        return None if self.is_down else (int(about[b'cluster_current_epoch']), slots)

    def close(self) -> None:
        """Close its connection, which `ask` opens again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
