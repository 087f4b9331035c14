# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The client for processes without ROS: reads, watches and writes what bridges keep in Redis."""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal

from redis_bridge.client import robots
from redis_bridge.client.calls import Calls
from redis_bridge.client.decode import Update, decoder_for
from redis_bridge.client.follow import Notice
from redis_bridge.client.lease import Lease
from redis_bridge.client.listings import LeaseStatus, listed, read_leases
from redis_bridge.client.lookup import KIND_OF_TYPE, Lookup
from redis_bridge.client.publish import Target, find_target
from redis_bridge.client.queue import Queue, QueueStatus, Task
from redis_bridge.client.robots import RobotWatch
from redis_bridge.client.stored import Event, is_readable, read_command, stored
from redis_bridge.client.watch import Watch
from redis_bridge.errors import InterfaceError, NotFoundError, PayloadError
from redis_bridge.mapping.model import Login, RedisSettings, Tls
from redis_bridge.protocol import keys, names, registry
from redis_bridge.protocol.descriptions import NameInfo
from redis_bridge.protocol.fleet import RobotEvent
from redis_bridge.protocol.meta import Meta
from redis_bridge.protocol.robot_status import Robot

__all__ = [
    'Client', 'Lease', 'LeaseStatus', 'NameInfo', 'Notice', 'Queue', 'QueueStatus', 'Robot',
    'RobotEvent', 'RobotWatch', 'Target', 'Task', 'Update', 'Watch',
]  # fmt: skip

LOG = logging.getLogger('redis_bridge.client')
TARGET_FRESH_S = 2.0


class Client:
    """Reads, watches and writes the Redis side of bridges; needs no ROS.

    ::

        with redis_bridge.Client('redis://localhost:6379/0') as client:
            print(client.get('robot1:odom')['pose']['pose']['position'])
            client.publish('robot1:goal', {'pose': {'position': {'x': 1.5}}})
            for update in client.watch('robot1:odom', 'robot1:battery'):
                print(update.name, update.value)

    Values are plain: maps, lists, numbers, strings and bytes, nested as the ROS message is.
    Methods raise RedisError if Redis cannot be reached or answers with an error, PayloadError for
    values that do not fit, NotFoundError (also a KeyError) for names that do not exist. Nothing is
    sent twice: a failed call was tried once. Several threads may share a client.

    :param url: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://; a password in
        it is used and never shown.
    :param username: ACL user; overrides the one in the URL.
    :param password_file: file whose first line is the password, read at each connect.
    :param tls: files for a rediss:// connection.
    :param sentinel_username: ACL user at the sentinels, which never get the login of the server.
    :param sentinel_password_file: file whose first line is the password of the sentinels.
    :param sharded_pubsub: in a cluster, use SPUBLISH and SSUBSCRIBE for channels, as the bridges
        do whose mapping says so.
    :param origin: the name of this sender in `_meta`. Bridges ignore only messages with their own
        `robot/boot`. The default is `client/` and a random number.
    """

    def __init__(
        self,
        url: str = 'redis://localhost:6379/0',
        *,
        username: str | None = None,
        password_file: str | None = None,
        tls: Tls | None = None,
        sentinel_username: str | None = None,
        sentinel_password_file: str | None = None,
        sharded_pubsub: bool = False,
        origin: str | None = None,
    ) -> None:
        self.origin = origin or f'client/{secrets.token_hex(6)}'
        login = Login(sentinel_username, sentinel_password_file)
        self._settings = RedisSettings(
            url, username, password_file, tls,
            sentinel=None if login == Login() else login,
            sharded_pubsub=sharded_pubsub,
        )  # fmt: skip
        self._calls = Calls(self._settings)
        self._lookup = Lookup(self._calls)
        self._lock = threading.RLock()
        self._targets: dict[tuple[str | None, ...], tuple[float, Target]] = {}
        self._seq: Counter[tuple[str, str]] = Counter()
        self._opened: list[Watch | RobotWatch | Lease | Queue] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End all watches, release all leases, give back all tasks, close all connections.

        Closing twice is harmless.
        """
        with self._lock:
            opened, self._opened = self._opened, []
        for each in opened:
            each.close()
        self._calls.close()

    # -- reading --------------------------------------------------------------------------------

    def get(self, name: str) -> Any:
        """Return the value of a key or hash, or of the last entry of a stream.

        If a bridge writes or reads the name, its description says how to decode. Any other payload
        is JSON if it parses as an object or a list, else a string if it is UTF-8, else bytes; a
        hash is a map of such values, and so is a stream entry without a field `data`.

        :raises NotFoundError: nothing is stored under the name.
        """
        return self.read(name).value

    def read(self, name: str) -> Update:
        """Return what `get` does, with its kind and metadata."""
        event, info = self._fetch(name)
        return decoder_for(self._lookup, event.kind, info).update(event)

    def get_raw(self, name: str) -> bytes | dict[bytes, bytes]:
        """Return what is stored, undecoded: bytes, or the fields of a hash or stream entry.

        Of an entry that a bridge or client wrote it is the payload alone.
        """
        event, _ = self._fetch(name)
        return {} if event.payload is None else event.payload

    def _fetch(self, name: str) -> tuple[Event, NameInfo]:
        """Return what is stored under a name, and what bridges say about the name."""
        redis_type, info = self._lookup.name(name)
        kind = KIND_OF_TYPE.get(redis_type, redis_type)
        if redis_type != 'none':
            if not is_readable(kind):
                raise PayloadError(f'{name!r} is a {kind}, which this client cannot read')
            reply = self._calls.call(*read_command(name, kind))
            event = stored(name, kind, reply)
            if event.payload is not None:
                return event, info
        elif 'channel' in info.kinds:
            raise NotFoundError(f'{name!r} is a channel, which stores nothing: watch it instead')
        raise NotFoundError(f'no key, hash or stream named {name!r} is known')

    # -- watching -------------------------------------------------------------------------------

    def watch(
        self,
        *watched: str,
        kind: str | None = None,
        on_notice: Callable[[Notice], None] | None = None,
        raw: bool = False,
        deliver: Literal['all', 'latest'] = 'all',
    ) -> Watch:
        """Return an endless iterator of what arrives at names from now on.

        A name is watched as every kind that bridges say it is; else as the kind that is stored;
        else as a channel, and as more kinds once a bridge says so. A key or hash yields its
        present value, then one update per change (of changes in quick succession only the newest);
        the value is None once it is gone. Streams begin with the next entry. A lost connection is
        restored; `on_notice` is called for that and for gaps, in the thread that iterates.

        :param kind: channel, key, hash or stream: watch the names as that kind only.
        :param on_notice: default: the log `redis_bridge.client`.
        :param raw: yield payloads undecoded.
        :param deliver: latest: of the updates of a name that wait, only the newest is yielded, so
            that a slow consumer does not fall behind; gaps are not reported.
        :raises RedisError: Redis cannot be reached, or answers with an error.
        """
        if not watched:
            raise ValueError('expected at least one name')
        if deliver not in ('all', 'latest'):
            raise ValueError(f'deliver: expected all or latest, got {deliver!r}')
        watch = Watch(
            self._calls, self._lookup, watched, kind, on_notice or _log_notice, raw,
            deliver == 'latest', self._forget,
        )  # fmt: skip
        self._remember(watch)
        return watch

    def _remember(self, opened: Watch | RobotWatch | Lease | Queue) -> None:
        with self._lock:
            self._opened.append(opened)

    def _forget(self, opened: Watch | RobotWatch | Lease | Queue) -> None:
        with self._lock:
            if opened in self._opened:
                self._opened.remove(opened)

    # -- publishing -----------------------------------------------------------------------------

    def publish(
        self,
        name: str,
        value: Any,
        *,
        kind: str | None = None,
        encoding: str | None = None,
        type: str | None = None,
    ) -> int:
        """Send a value to a channel, key or stream, in the format that its bridge expects.

        A map is stamped with `_meta` (in a stream: with fields of the entry), so that bridges know
        its age. If a bridge describes the message type, the value is checked first, also against
        the limits and required fields of the bridge's route. For `text`, `value` is one scalar.

        :param kind: default: the kind that bridges read the name as; else stream or key if one is
            stored; else channel.
        :param encoding: one of `payloads.CODECS`; default: what bridges expect, else json.
        :param type: 'pkg/msg/Name', if no bridge names it.
        :returns: the number of subscribers of the channel; 1 for a key or stream. It says that the
            value was delivered, not that a robot obeyed: a bridge may still reject it, for example
            as too old.
        :raises PayloadError: the value does not fit, and the text says where; or `kind` is not
            given, and what is stored under the name takes no messages, such as a list.
        """
        return self.send(self._fresh_target(name, kind, encoding, type), value)

    def target(
        self,
        name: str,
        *,
        kind: str | None = None,
        encoding: str | None = None,
        type: str | None = None,
    ) -> Target:
        """Return where and how `publish` would send; `send` takes it any number of times."""
        return find_target(self._lookup, name, kind, encoding, type)

    def send(self, target: Target, value: Any) -> int:
        """Send a value to a target; see `publish`."""
        reply = self._send(target, value)
        return int(reply) if target.kind == 'channel' else 1

    def _fresh_target(
        self, name: str, kind: str | None, encoding: str | None = None, type_: str | None = None
    ) -> Target:
        """Return a target that was looked up lately."""
        asked = (name, kind, encoding, type_)
        now = time.monotonic()
        known = self._targets.get(asked)
        if known is None or now - known[0] >= TARGET_FRESH_S:
            target = self.target(name, kind=kind, encoding=encoding, type=type_)
            known = self._targets[asked] = (now, target)
        return known[1]

    def _send(self, target: Target, value: Any) -> Any:
        """Send a value to a target, and return what the server replied."""
        counted = (target.name, target.kind)
        with self._lock:  # so that entries arrive in the order of their numbers
            meta = Meta(self.origin, self._seq[counted] + 1, self.now())
            command = target.command(value, meta)
            self._seq[counted] = meta.seq
            if target.kind == 'channel' and self._settings.sharded_pubsub:
                command = ('SPUBLISH', *command[1:])
            return self._calls.call(*command)

    def register(self, kind: str, name: str) -> None:
        """Register a key or stream that this program writes, so that bridges' patterns find it.

        ::

            client.register('key', 'robot9:speed')
            client.publish('robot9:speed', {'data': 0.5}, kind='key')

        Bridges register what they write. Channels are found without. Once is enough, unless Redis
        loses its data. It is the field `key:robot9:speed` of the hash `redis_bridge:names`.

        :param kind: key or stream; lease or queue only for `leases` and `queues`.
        :raises PayloadError: the kind or the name is invalid.
        """
        self._calls.call('HSET', keys.NAMES, _field_of(kind, name), self.origin)

    def unregister(self, kind: str, name: str) -> None:
        """Undo `register`, whoever registered it; what is stored stays."""
        self._calls.call('HDEL', keys.NAMES, _field_of(kind, name))

    def now(self) -> float:
        """Return the Redis server's time in seconds."""
        return self._calls.now()

    # -- coordination ---------------------------------------------------------------------------

    def lease(
        self,
        name: str,
        *,
        ttl_ms: int = 2000,
        timeout_s: float | None = None,
        on_lost: Callable[[Lease], None] | None = None,
    ) -> Lease:
        """Return a lease: one process at a time holds it, within `with`.

        ::

            with client.lease('dock-1', ttl_ms=2000) as lease:
                dock(fence=lease.token)  # an integer that only grows
                if lease.lost.is_set():  # or lease.lost.wait(), or on_lost
                    stop()

        Who waits gets it in the order of coming. It is renewed in the background, over a
        connection of its own. If that fails, `lease.lost` is set before others can have it.

        :param ttl_ms: the time to live in ms: after a holder died, others wait so long. It should
            be the same for all. The first use of a name on a server takes so long too.
        :param timeout_s: the longest wait in seconds; None: no limit; 0: one try.
        :param on_lost: called with the lease once it is lost, in a thread of its own.
        :raises BridgeError: the name or the time to live is invalid.
        """
        lease = Lease(self._settings, name, ttl_ms, timeout_s, on_lost, self.origin, self._forget)
        self._remember(lease)
        return lease

    def queue(self, name: str, *, return_after_ms: int = 30_000) -> Queue:
        """Return a queue of tasks, each of which goes to one worker at least once.

        ::

            queue = client.queue('tasks')
            queue.put({'shelf': 7})
            for task in queue.claim(timeout_s=10):
                try:
                    fetch(task.value['shelf'])
                except OSError as error:
                    queue.fail(task, str(error))  # tried again; after three tries it is dead
                else:
                    queue.done(task)

        It is the stream of this name. The group `workers` reads it, also as a route with
        `from: group`. A worker has its tasks as long as it lives, however long they take.

        :param return_after_ms: when nothing was heard of a worker for so long, others take its
            tasks. It should be the same for all.
        :raises BridgeError: the name or the time is invalid, or the name holds something else,
            such as a stream that a bridge mirrors a topic to.
        :raises RedisError: Redis cannot be reached, or answers with an error.
        """
        return Queue(
            self._settings, self._calls, self._lookup, name, return_after_ms, self.origin,
            lambda value: self._send(self._fresh_target(name, 'stream'), value),
            self._remember, self._forget,
        )  # fmt: skip

    def leases(self) -> list[LeaseStatus]:
        """Return who has which lease, by name: all leases that were ever used on this server.

        `unregister('lease', name)` takes one out of the list.
        """
        return read_leases(self._calls)

    def queues(self) -> list[str]:
        """Return the names of all queues that clients have used on this server.

        `unregister('queue', name)` takes one out of the list.
        """
        return listed(self._calls, registry.QUEUE)

    # -- robots ---------------------------------------------------------------------------------

    def robots(
        self,
        names: Iterable[str] | None = None,
        *,
        on_notice: Callable[[Notice], None] | None = None,
    ) -> list[Robot]:
        """Return the robots whose heartbeat is in Redis, by name.

        :param names: only these robots; None: all. They are found by SCAN, which needs a
            permission of the user. Among them are bridges that do not have their robot's name,
            see `Robot.is_closed`.
        :param on_notice: called for a robot's name that holds something else; default: the log
            `redis_bridge.client`.
        """
        return robots.read_robots(self._calls, names, on_notice or _log_notice)

    def robot(self, name: str) -> Robot:
        """Return one robot.

        :raises NotFoundError: no heartbeat of it is in Redis.
        """
        robot = robots.read_robot(self._calls, name)
        if robot is None:
            raise NotFoundError(
                f'no bridge of a robot {name!r} is online: its heartbeat is missing or has expired'
            )
        return robot

    def roster(self) -> list[RobotEvent]:
        """Return the last change of each robot, by name: who is online, and who is not any more.

        A robot that left or was lost is listed for a day.
        """
        return robots.last_events(self._calls)

    def watch_robots(self, *, on_notice: Callable[[Notice], None] | None = None) -> RobotWatch:
        """Return an endless iterator of changes: robots that come, leave in order, or are lost.

        ::

            for event in client.watch_robots():
                if event.event == 'lost':
                    print(event.robot, 'on', event.host)

        It begins with what `roster` returns, oldest first. After a lost connection, which is
        restored, it yields the last change of each robot that has changed meanwhile.

        :param on_notice: called for lost connections, in the thread that iterates; default: the
            log `redis_bridge.client`.
        :raises RedisError: Redis cannot be reached, or denies the roster.
        """
        watch = RobotWatch(self._calls, on_notice or _log_notice, self._forget)
        self._remember(watch)
        return watch

    def described(self, names: Iterable[str]) -> dict[str, dict[str, NameInfo]]:
        """Return what the bridges of these robots write and read: by robot, then by Redis name.

        ::

            for robot, names in client.described(['robot1']).items():
                for name, info in names.items():
                    print(robot, name, info.written_as, info.read_as)

        A name appears once its message type is known.
        """
        return robots.described(self._calls, names)

    def batteries(self, names: Iterable[str]) -> dict[str, float]:
        """Return the charge of the robots among `names` whose bridges write it; 1.0 is full.

        It is the `percentage` of a sensor_msgs/msg/BatteryState in a key or hash.
        """
        found = {}
        for robot, name in robots.battery_names(self._calls, names):
            with contextlib.suppress(NotFoundError, PayloadError, InterfaceError):
                value = self.get(name)
                value = value.get('percentage') if isinstance(value, dict) else value
                if isinstance(value, (int, float)) and math.isfinite(value):
                    found[robot] = float(value)
        return found

    def status(self, name: str) -> dict[str, Any]:
        """Return what a robot's bridge reports: `Robot.status`."""
        return self.robot(name).status


def _field_of(kind: str, name: str) -> str:
    """Return the field that registers a name; raises PayloadError."""
    kinds = (*registry.KINDS, registry.LEASE, registry.QUEUE)
    if kind not in kinds:
        raise PayloadError(f'kind: expected one of {", ".join(kinds)}, got {kind!r}')
    if problem := names.redis_name_problem(name):
        raise PayloadError(problem)
    return registry.field_of(kind, name)


def _log_notice(notice: Notice) -> None:
    LOG.log(logging.INFO if notice.event == 'connected' else logging.WARNING, '%s', notice)
