# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A Redis Cluster as real processes: primaries, and their replicas."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import redis
from redis.crc import key_slot
from servers import FileServer, Proxy, free_port, plain_client
from support import eventually

SLOTS = 16384
PRIMARIES = 3
NODE_TIMEOUT_MS = 1000
FAILOVER_S = 20.0  # within which a failover is expected


class View(NamedTuple):
    """What a node says of itself or of another one."""

    flags: frozenset[str]
    primary_id: str  # of a replica, else '-'
    epoch: int
    is_linked: bool
    slots: frozenset[int]


class ClusterNode(FileServer):
    """One server of a cluster; it keeps over restarts what it knows of the others.

    :param source: the address that it connects from; then all others, clients too, reach it
        through proxies.
    """

    def __init__(
        self, program: str, folder: Path, *lines: str, tls: Path | None, source: str | None
    ) -> None:
        super().__init__(program, folder, 'cluster-enabled yes', *lines, tls=tls)
        self.bus_port = free_port()
        self.id = ''
        self.is_frozen = False
        self.source = source
        self._lines += (f'cluster-port {self.bus_port}',)
        if tls is not None:
            self._lines += ('tls-cluster yes',)
        self.proxies: tuple[Proxy, ...] = ()  # of the clients, and of the other nodes
        if source is not None:
            self.proxies = (Proxy(self.port), Proxy(self.bus_port))
            self._lines += (
                f'bind-source-addr {source}',
                'cluster-announce-ip 127.0.0.1',
                f'cluster-announce-port {self.proxies[0].port}',
                f'cluster-announce-bus-port {self.proxies[1].port}',
            )

    @property
    def seen_ports(self) -> tuple[int, ...]:
        """The ports that clients and other nodes use."""
        return tuple(proxy.port for proxy in self.proxies) or (self.port, self.bus_port)

    def answers(self) -> bool:
        """Return whether it runs, and was not frozen."""
        return self.runs() and not self.is_frozen

    def freeze(self) -> None:
        """See `Server.freeze`."""
        self.is_frozen = True
        super().freeze()

    def thaw(self) -> None:
        """See `Server.thaw`."""
        super().thaw()
        self.is_frozen = False

    def kill(self) -> None:
        """See `Server.kill`."""
        super().kill()
        self.is_frozen = False

    def ask(self, *command: object) -> bytes:
        """Return the reply to a command of CLUSTER."""
        with plain_client(self) as db:
            return db.execute_command('CLUSTER', *command)

    def views(self) -> dict[str, View]:
        """Return what it says of all nodes it knows, itself too, by id."""
        return dict(map(_view, self.ask('NODES').decode().splitlines()))

    def info(self) -> dict[str, str]:
        """Return what CLUSTER INFO says."""
        lines = self.ask('INFO').decode().split()
        return dict(line.split(':', 1) for line in lines)


class ClusterGroup:
    """Three primaries with about as many slots each, and replicas of the first ones of them.

    :param replicas: how many of the primaries have one.
    :param node_timeout_ms: after which a silent node counts as failed.
    :param is_proxied: all reach each other through proxies, so that `cut_off` can be used.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        *,
        replicas: int = PRIMARIES,
        password: str | None = None,
        tls: Path | None = None,
        node_timeout_ms: int = NODE_TIMEOUT_MS,
        is_proxied: bool = False,
    ) -> None:
        self._program = program
        self._folder = folder
        self._lines = (
            'save ""',
            'repl-diskless-sync-delay 0',
            f'cluster-node-timeout {node_timeout_ms}',
            'cluster-allow-replica-migration no',  # replicas stay where they are
            *(() if password is None else (f'requirepass {password}', f'masterauth {password}')),
        )
        self._password = password
        self._tls = tls
        self._is_proxied = is_proxied
        self._made: list[ClusterNode] = []
        self.nodes = [self._make() for _ in range(PRIMARIES + replicas)]
        self._replicas = dict(zip(self.nodes[PRIMARIES:], self.nodes))  # at first, with whose
        self._is_formed = False
        self._moving: dict[int, ClusterNode] = {}  # slots at two nodes: the owner

    def _make(self) -> ClusterNode:
        number = len(self._made)
        source = f'127.0.0.{number + 2}' if self._is_proxied else None
        folder = self._folder / f'n{number}'
        node = ClusterNode(self._program, folder, *self._lines, tls=self._tls, source=source)
        node.password = self._password
        self._made.append(node)
        return node

    def __enter__(self) -> ClusterGroup:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all processes, and end the proxies."""
        self.kill()
        for node in self._made:
            for proxy in node.proxies:
                proxy.close()

    def kill(self) -> None:
        """Kill all processes; a stopped one too."""
        for node in self._made:
            node.kill()

    def start(self) -> ClusterGroup:
        """Start all nodes that do not run, and wait until each one can be written or followed."""
        for node in self.nodes:
            if not node.runs():
                node.start()
        if not self._is_formed:
            self._form()
            self._is_formed = True
        eventually(self.is_ready, FAILOVER_S)
        return self

    def renew(self) -> ClusterGroup:
        """Start all nodes again that do not run, and delete all data."""
        for node in self.nodes:
            if node.is_frozen:
                node.thaw()
        self.heal()
        self.start()
        for node in self.primaries():
            with plain_client(node) as db:
                db.flushall()
        return self

    def _form(self) -> None:
        for number, node in enumerate(self.nodes):
            node.id = node.ask('MYID').decode()
            node.ask('SET-CONFIG-EPOCH', number + 1)
            if number < PRIMARIES:
                first, end = (SLOTS * n // PRIMARIES for n in (number, number + 1))
                node.ask('ADDSLOTSRANGE', first, end - 1)
        for number, node in enumerate(self.nodes):
            self._meet(node, self.nodes[:number])
        eventually(self._is_connected, FAILOVER_S)
        for replica, primary in self._replicas.items():
            replica.ask('REPLICATE', primary.id)

    def _meet(self, node: ClusterNode, others: Iterable[ClusterNode]) -> None:
        for other in others:
            port, bus_port = node.seen_ports
            other.ask('MEET', '127.0.0.1', port, bus_port)

    # --- what is where ---------------------------------------------------------------------------
    @property
    def url(self) -> str:
        """The URL of the cluster."""
        url = url_by(*(node.seen_ports[0] for node in self.nodes))
        return url if self._tls is None else url.replace('redis', 'rediss', 1)

    @contextlib.contextmanager
    def client(self) -> Iterator[redis.RedisCluster]:
        """Give a plain client of the cluster, and close it."""
        node = next(node for node in self.nodes if node.answers())
        client = redis.RedisCluster(**{**node.kwargs, 'port': node.seen_ports[0]})
        yield client
        for each in client.get_nodes():
            each.redis_connection.connection_pool.disconnect()
        client.close()

    def primaries(self) -> list[ClusterNode]:
        """Return the nodes that own slots."""
        owners = self._owners()
        return [node for node in self.nodes if node in owners.values()]

    def primary_of(self, name: str | int) -> ClusterNode:
        """Return the node that owns the slot of a name, or a slot."""
        return self._owners()[name if isinstance(name, int) else slot_of(name)]

    def replica_of(self, primary: ClusterNode) -> ClusterNode:
        """Return the replica of a node."""
        return next(
            node
            for node in self.nodes
            if node.answers() and node.views()[node.id].primary_id == primary.id
        )

    def _owners(self) -> dict[int, ClusterNode]:
        """Return who owns each slot: of those that say so, the one with the newest claim."""
        epochs: dict[int, int] = {}
        owners: dict[int, ClusterNode] = {}
        for node in self.nodes:
            if node.answers():
                view = node.views()[node.id]
                for slot in view.slots:
                    if view.epoch > epochs.get(slot, -1):
                        epochs[slot], owners[slot] = view.epoch, node
        return owners

    def is_ready(self) -> bool:
        """Return whether all nodes know each other, all slots are served, and replicas follow."""
        answering = [node for node in self.nodes if node.answers()]
        if not self._is_connected():
            return False
        for node in answering:
            info = node.info()
            if (info['cluster_state'], info['cluster_slots_ok']) != ('ok', str(SLOTS)):
                return False
        with contextlib.ExitStack() as opened:
            roles = [
                opened.enter_context(plain_client(node)).execute_command('ROLE')
                for node in answering
            ]
        replicas = [role for role in roles if role[0] == b'slave']
        followers = sum(len(role[2]) for role in roles if role[0] == b'master')
        return all(role[3] == b'connected' for role in replicas) and followers == len(replicas)

    def _is_connected(self) -> bool:
        for node in self.nodes:
            if node.answers():
                views = node.views()
                for other in self.nodes:
                    view = views.get(other.id)
                    if view is None or not view.is_linked:
                        return False
                    if view.flags & {'handshake', 'noaddr', 'fail', 'fail?'}:
                        return False
        return True

    # --- failovers -------------------------------------------------------------------------------
    def fail_over(self, old: ClusterNode) -> None:
        """Begin a planned failover."""
        self.replica_of(old).ask('FAILOVER')

    def await_failover(self, old: ClusterNode) -> None:
        """Wait until all other nodes that answer know that others own what a node owned."""
        eventually(lambda: self._is_replaced(old), FAILOVER_S)

    def _is_replaced(self, old: ClusterNode) -> bool:
        others = [node for node in self.nodes if node.answers() and node is not old]
        return all(
            not node.views()[old.id].slots and node.info()['cluster_state'] == 'ok'
            for node in others
        )

    def cut_off(self, node: ClusterNode, *, clients: bool, nodes: bool) -> None:
        """Have nothing get through between a node and clients, the other nodes, or both.

        Replicas are clients.
        """
        if clients:
            node.proxies[0].stall()
        if nodes:
            node.proxies[1].stall()
            for other in self.nodes:
                other.proxies[1].stall(node.source)

    def heal(self) -> None:
        """Undo each `cut_off`."""
        for node in self.nodes:
            for proxy in node.proxies:
                proxy.flow()
                for other in self.nodes:
                    proxy.flow(other.source)

    # --- slots that move -------------------------------------------------------------------------
    def migrate(self, slot: int, to: ClusterNode) -> None:
        """Move a slot with its keys, as redis-cli does."""
        self.begin_migration(slot, to)
        self.move_keys(slot, to)
        self.end_migration(slot, to)

    def begin_migration(self, slot: int, to: ClusterNode) -> None:
        """Have a slot be at two nodes: its owner says ASK for keys that are not there."""
        owner = self._moving[slot] = self.primary_of(slot)
        to.ask('SETSLOT', slot, 'IMPORTING', owner.id)
        owner.ask('SETSLOT', slot, 'MIGRATING', to.id)

    def move_keys(self, slot: int, to: ClusterNode, *names: str) -> None:
        """Move all keys of a slot, or some."""
        with plain_client(self._moving[slot]) as db:
            while keys := names or db.execute_command('CLUSTER', 'GETKEYSINSLOT', slot, 100):
                db.migrate('127.0.0.1', to.port, keys, 0, 5000, auth=self._password)
                if names:
                    return

    def end_migration(self, slot: int, to: ClusterNode) -> None:
        """Make a node the owner of a slot; whoever does not know yet hears of it from others."""
        for node in (to, self._moving.pop(slot)):
            node.ask('SETSLOT', slot, 'NODE', to.id)

    # --- nodes that come and go ------------------------------------------------------------------
    def join(self) -> ClusterNode:
        """Add a primary without slots."""
        node = self._make()
        node.start()
        node.id = node.ask('MYID').decode()
        self._meet(node, self.nodes)
        self.nodes.append(node)
        eventually(self.is_ready, FAILOVER_S)
        return node

    def leave(self, node: ClusterNode) -> None:
        """Move the slots of a node without replica to others, and take it out; it still runs."""
        others = [other for other in self.primaries() if other is not node]
        for number, slot in enumerate(sorted(node.views()[node.id].slots)):
            self.migrate(slot, others[number % len(others)])
        self.nodes.remove(node)
        for other in self.nodes:
            other.ask('FORGET', node.id)
        node.ask('RESET')
        eventually(self.is_ready, FAILOVER_S)


def url_by(*ports: int) -> str:
    """Return the URL of a cluster by nodes at these ports."""
    return f'redis+cluster://{",".join(f"127.0.0.1:{port}" for port in ports)}'


def slot_of(name: str) -> int:
    """Return the slot of a name."""
    return key_slot(name.encode())


def _view(line: str) -> tuple[str, View]:
    node_id, _, flags, primary_id, _, _, epoch, link, *ranges = line.split()
    slots: set[int] = set()
    for text in ranges:
        if not text.startswith('['):  # one that moves
            first, _, last = text.partition('-')
            slots.update(range(int(first), int(last or first) + 1))
    view = View(
        frozenset(flags.split(',')), primary_id, int(epoch), link == 'connected', frozenset(slots)
    )
    return node_id, view
