# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A client for processes without ROS: reads, follows and writes what bridges keep in Redis."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import redis

from redis_bridge.errors import (
    BridgeError,
    InterfaceError,
    NotFoundError,
    PayloadError,
    RedisError,
)
from redis_bridge.mapping.model import RedisSettings, Tls
from redis_bridge.messages import cdr, types
from redis_bridge.messages.types import Message, Primitive, String
from redis_bridge.payloads import codecs
from redis_bridge.protocol import names
from redis_bridge.protocol.meta import Meta
from redis_bridge.redis_io import watching
from redis_bridge.redis_io.connection import Address, Clock, Connection, Timing

LOG = logging.getLogger('redis_bridge.client')
KINDS = ('channel', 'key', 'stream')  # what can be published to
KIND_OF_TYPE = {'string': 'key', 'hash': 'hash', 'stream': 'stream'}  # by the reply of TYPE
CLOCK_FRESH_S = 10.0
TARGET_FRESH_S = 2.0
LOOK_UP_EVERY_S = 1.0
SENDERS_REMEMBERED = 1000
NUMBERS = ('protocol', 'since', 'stamp', 'pid')  # fields of a robot's hash

T = TypeVar('T')
Decoder = Callable[[Any], 'tuple[Any, Meta | None]']


class Update(NamedTuple):
    """One message, or one change of a key."""

    name: str
    kind: str  # channel | key | hash | stream
    value: Any  # None: the key or hash is gone
    meta: Meta | None = None  # who sent it, its number and the Redis server's time, where told
    id: str | None = None  # of a stream entry


class Notice(NamedTuple):
    """What is worth knowing about a watch beside its messages."""

    event: str  # connected | lost | gap | bad_payload | refused | bug
    name: str | None  # None: all names
    text: str
    missed: int | None = None  # how many messages a gap swallowed, where that can be known

    def __str__(self) -> str:
        return self.text if self.name is None else f'{self.name}: {self.text}'


@dataclass(frozen=True)
class Robot:
    """A robot whose bridge gave a sign of life lately, and what that bridge tells of itself.

    `status` holds the other fields of the robot's hash: `host`, `pid`, `since` (seconds since
    1970), `state` (of each connection), and in `routes` what each route carries. `age` is the
    seconds since the last sign of life, None where the bridge does not tell.
    """

    name: str
    boot: str | None
    protocol: int | None
    age: float | None
    status: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Where and how to publish, as `Client.target` found it."""

    name: str
    kind: str  # channel | key | stream
    encoding: str  # msgpack | json | text | cdr
    type: str | None
    field: str | None
    encode: Callable[[Any, Meta | None], bytes] = dataclasses.field(repr=False, compare=False)


class _Type(NamedTuple):
    """A message type as Redis describes it."""

    message: Message
    hash: str


class _About(NamedTuple):
    """What bridges tell about a name."""

    out: dict[str, str]  # encoding by the kinds that a bridge writes
    into: dict[str, str]  # encoding by the kinds that a bridge reads
    type: str | None = None
    type_hash: str | None = None
    field: str | None = None
    from_type: str | None = None
    from_type_hash: str | None = None
    from_field: str | None = None

    @classmethod
    def read(cls, fields: dict[bytes, bytes]) -> _About:
        told = {key.decode(): value.decode() for key, value in fields.items()}
        kinds = (*KINDS, 'hash')
        return cls(
            {kind: told[kind] for kind in kinds if kind in told},
            {kind: told[f'from_{kind}'] for kind in kinds if f'from_{kind}' in told},
            told.get('type'),
            told.get('type_hash'),
            told.get('field'),
            told.get('from_type') or told.get('type'),
            told.get('from_type_hash'),
            told.get('from_field'),
        )

    def kinds(self) -> list[str]:
        """Return all kinds that bridges write or read the name as."""
        return list({**self.out, **self.into})

    def format_of(
        self, kind: str, *, inward: bool = False
    ) -> tuple[str, str | None, str | None, str | None] | None:
        """Return encoding, type, type hash and field, as a bridge writes them or first reads."""
        sides = [
            (self.out, self.type, self.type_hash, self.field),
            (self.into, self.from_type, self.from_type_hash, self.from_field),
        ]
        for encodings, *rest in reversed(sides) if inward else sides:
            if kind in encodings:
                return (encodings[kind], *rest)
        return None


class Client:
    """Reads, follows and writes the Redis side of bridges; needs no ROS.

    ::

        with redis_bridge.Client('redis://localhost:6379/0') as client:
            print(client.get('robot1:odom')['pose']['pose']['position'])
            client.publish('robot1:goal', {'pose': {'position': {'x': 1.5}}})
            for update in client.watch('robot1:odom', 'robot1:battery'):
                print(update.name, update.value)

    Values are plain: maps, lists, numbers, texts and bytes, nested as the ROS message is. Methods
    raise RedisError where Redis cannot be reached or refuses, PayloadError for values that do not
    fit, NotFoundError (also a KeyError) for names that do not exist. Nothing is sent twice: a call
    that fails was tried once. One client may be used by several threads.

    :param url: redis://, rediss:// or unix://; a password in it is used and never shown.
    :param username: ACL user, over the one in the URL.
    :param password_file: file whose first line is the password, read at each connect.
    :param tls: files for a rediss:// connection.
    :param origin: how this sender calls itself in `_meta`; bridges take anything but their own
        `robot/boot` for foreign. The default is `client/` and a random number.
    """

    def __init__(
        self,
        url: str = 'redis://localhost:6379/0',
        *,
        username: str | None = None,
        password_file: str | None = None,
        tls: Tls | None = None,
        origin: str | None = None,
    ) -> None:
        self.origin = origin or f'client/{secrets.token_hex(6)}'
        self._timing = Timing()
        settings = RedisSettings(url, username, password_file, tls)
        self._address = Address(settings, 'redis_bridge:client', self._timing)
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._clock = Clock()
        self._clock_read_at = -CLOCK_FRESH_S
        self._types: dict[tuple[str, str], _Type] = {}
        self._targets: dict[tuple, tuple[float, Target]] = {}
        self._seq: Counter[tuple[str, str]] = Counter()
        self._watches: list[Watch] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End all watches and close all connections; closing twice is harmless."""
        with self._lock:
            watches, self._watches = self._watches, []
        for watch in watches:
            watch.close()
        with self._lock:
            self._hang_up()

    # -- reading --------------------------------------------------------------------------------

    def get(self, name: str) -> Any:
        """Return what a key or hash holds, or the last entry of a stream.

        What a bridge writes or reads is decoded as that bridge says. Of anything else a payload
        is JSON if it parses as an object or a list, else text if it is UTF-8, else bytes; a hash
        is a map of such values, and so is a stream entry without a field `data`.

        :raises NotFoundError: nothing stands there.
        """
        return self.read(name).value

    def read(self, name: str) -> Update:
        """Return what `get` does, with its kind and metadata."""
        event, about = self._fetch(name)
        return _update(event, self._decoder(event.kind, about))

    def get_raw(self, name: str) -> bytes | dict[bytes, bytes]:
        """Return what stands there undecoded: bytes, or the fields of a hash or stream entry.

        Of an entry that a bridge or client wrote it is the payload alone.
        """
        event, _ = self._fetch(name)
        return _payload(event)

    def _fetch(self, name: str) -> tuple[watching.Event, _About]:
        """Return what stands under a name, and what bridges tell about it."""
        type_, about = self._look_up(name)
        if type_ == 'none':
            channel = 'channel' in {**about.out, **about.into}
            hint = '; it is a channel, which holds nothing: watch it' if channel else ''
            raise NotFoundError(f'nothing stands under {name!r}{hint}')
        if type_ not in KIND_OF_TYPE:
            raise PayloadError(f'{name!r} is a {type_}, which bridges neither read nor write')
        kind = KIND_OF_TYPE[type_]
        held = watching.held(kind, self._call(watching.read_command(name, kind)))
        if held is None:
            raise NotFoundError(f'nothing stands under {name!r}')
        return watching.Event(name, kind, held), about

    def _look_up(self, name: str) -> tuple[str, _About]:
        """Return what TYPE says of a name, and what bridges tell about it."""
        type_, told = self._pipe([('TYPE', name), ('HGETALL', names.meta_key(name))])
        return type_.decode(), _About.read(watching.pairs(told))

    def _decoder(self, kind: str, about: _About) -> Decoder:
        """Return what turns a payload into value and metadata."""
        format_ = about.format_of(kind)
        if format_ is None:
            return _guess_fields if kind == 'hash' else _guess
        encoding, type_, type_hash, field = format_
        if encoding == 'cdr':
            read = cdr.reader(self._type(type_, type_hash, exact=True).message)
            return lambda payload: (read(payload), None)
        known = self._type(type_, type_hash, exact=False) if type_ else None
        message = known and known.message
        if kind == 'hash':
            return lambda payload: (_nested(payload, message), None)
        if encoding == 'text':
            return _text_decoder(message, field)
        if encoding == 'json' and message is not None:
            return _json_decoder(message, field)
        return lambda payload: codecs.unpack(encoding, payload)

    def _type(self, name: str | None, type_hash: str | None, *, exact: bool) -> _Type | None:
        """Return a type as bridges describe it in Redis.

        :param type_hash: the type hash of what is to be read or written, where that is known.
        :param exact: raise InterfaceError unless the type is told and is that very version of it;
            otherwise None is returned where nobody tells the type.
        """
        try:
            known = self._described(name)
        except InterfaceError:
            if exact:
                raise
            return None
        if exact and type_hash is not None and type_hash != known.hash:
            raise InterfaceError(
                f'{name} has two versions: the one described in Redis has the type hash '
                f'{known.hash}, what is to be read or written has {type_hash}'
            )
        return known

    def _described(self, name: str | None) -> _Type:
        if name is None:
            raise InterfaceError('its message type is needed, and nobody tells it')
        reply = self._call(('HMGET', names.type_key(name), 'definition', 'type_hash', 'protocol'))
        definition, type_hash, protocol = (text and text.decode() for text in reply)
        if definition is None:
            raise InterfaceError(f'no bridge describes the type {name} in Redis')
        if protocol != str(names.PROTOCOL):
            raise InterfaceError(
                f'{name} is described in protocol {protocol}, and this client speaks protocol '
                f'{names.PROTOCOL}: update the older of the two'
            )
        known = self._types.get((name, definition))
        if known is None:
            message = types.parse_definition(name, definition)
            known = self._types[name, definition] = _Type(message, types.type_hash(message))
        if type_hash is not None and type_hash != known.hash:
            raise InterfaceError(
                f'the description of {name} in Redis is broken: it says {type_hash}, its '
                f'definition has {known.hash}'
            )
        return known

    # -- following ------------------------------------------------------------------------------

    def watch(
        self,
        *watched: str,
        kind: str | None = None,
        on_notice: Callable[[Notice], None] | None = None,
        raw: bool = False,
    ) -> Watch:
        """Return an endless iterator of what arrives at names from now on.

        A name is watched as all that bridges say it is; if none does, as what stands there; if
        nothing does, as a channel, and as more once a bridge says so. A key or hash is yielded as
        it stands, then at each change (of changes in quick succession the newest); its value is
        None when it is gone. Streams begin with the next entry. The connection is made again by
        itself; `on_notice` is told of that and of gaps, in the thread that iterates.

        :param kind: channel, key, hash or stream, for names to be watched as that alone.
        :param on_notice: default: the log `redis_bridge.client`.
        :param raw: yield payloads as they stand, undecoded.
        :raises RedisError: Redis cannot be reached, or refuses.
        """
        if not watched:
            raise ValueError('expected at least one name')
        watch = Watch(self, watched, kind, on_notice or _log_notice, raw)
        with self._lock:
            self._watches.append(watch)
        return watch

    # -- writing --------------------------------------------------------------------------------

    def publish(
        self,
        name: str,
        value: Any,
        *,
        kind: str | None = None,
        encoding: str | None = None,
        type: str | None = None,
    ) -> int:
        """Send a value to a channel, key or stream, as the bridge that reads it expects.

        A map is stamped with `_meta` (in a stream: with fields of the entry), so that bridges know
        its age. Where a bridge told the message type, the value is checked first. For `text`,
        `value` is one scalar.

        :param kind: default: what bridges read the name as; else a stream or key if one stands
            there; else channel.
        :param encoding: msgpack, json, text or cdr; default: what bridges expect, else json.
        :param type: 'pkg/msg/Name', where no bridge tells it.
        :returns: how many listened to the channel; 1 for a key or stream.
        :raises PayloadError: the value does not fit; the text says where.
        """
        asked = (name, kind, encoding, type)
        now = time.monotonic()
        found_at, target = self._targets.get(asked, (-TARGET_FRESH_S, None))
        if now - found_at >= TARGET_FRESH_S:
            target = self.target(name, kind=kind, encoding=encoding, type=type)
            self._targets[asked] = (now, target)
        return self.send(target, value)

    def target(
        self,
        name: str,
        *,
        kind: str | None = None,
        encoding: str | None = None,
        type: str | None = None,
    ) -> Target:
        """Find out where and how `publish` would send; `send` takes it, again and again."""
        if kind is not None and kind not in KINDS:
            raise PayloadError(f'kind: expected one of {", ".join(KINDS)}, got {kind!r}')
        if encoding is not None and encoding not in codecs.CODECS:
            raise PayloadError(
                f'encoding: expected one of {", ".join(codecs.CODECS)}, got {encoding!r}'
            )
        if problem := names.redis_name_problem(name):
            raise PayloadError(problem)
        stands_as, about = self._look_up(name)
        if kind is None:
            kind = _kind_to_publish(name, stands_as, about)
        # What a bridge writes tells nothing about what it would read; but where nobody reads the
        # name, other readers most likely expect the same.
        expected, told_type, type_hash, field = about.format_of(kind, inward=True) or (None,) * 4
        encoding = encoding or expected or 'json'
        exact = encoding == 'cdr'
        type_ = names.normal_type(type) if type else told_type
        if type_ != told_type:
            type_hash = None
        known = self._type(type_, type_hash, exact=exact) if type_ or exact else None
        message = known and known.message
        return Target(name, kind, encoding, type_, field, _encoder(message, encoding, field))

    def send(self, target: Target, value: Any) -> int:
        """Send a value to a target; see `publish`."""
        counted = (target.name, target.kind)
        with self._lock:
            meta = Meta(self.origin, self._seq[counted] + 1, self.now())
            payload = target.encode(value, None if target.kind == 'stream' else meta)
            self._seq[counted] = meta.seq
            if target.kind == 'channel':
                return self._call(('PUBLISH', target.name, payload))
            if target.kind == 'key':
                self._call(('SET', target.name, payload))
            else:
                self._call(
                    (
                        'XADD',
                        target.name,
                        '*',
                        'data',
                        payload,
                        'origin',
                        meta.origin,
                        'seq',
                        meta.seq,
                        'stamp',
                        repr(meta.stamp),
                    )
                )
        return 1

    def now(self) -> float:
        """Return the Redis server's time in seconds, from its TIME of a moment ago."""
        with self._lock:
            if time.monotonic() - self._clock_read_at >= CLOCK_FRESH_S:
                self._on_connection(self._measure)
                self._clock_read_at = time.monotonic()
            return self._clock.now()

    def _measure(self, connection: Connection) -> None:
        # Who may not ask for the time stamps by the own clock, which may be good enough.
        with contextlib.suppress(redis.exceptions.NoPermissionError):
            self._clock.measure(connection)

    # -- robots ---------------------------------------------------------------------------------

    def robots(self) -> list[Robot]:
        """Return all robots whose bridges gave a sign of life lately, by name.

        They are found by SCAN, which the user's rights must allow.
        """
        found: set[bytes] = set()
        cursor = b'0'
        pattern = names.robot_key('*')
        while True:
            cursor, keys = self._call(('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000))
            found.update(keys)
            if cursor == b'0':
                break
        robots = (self._robot(key.decode()[len(pattern) - 1 :]) for key in sorted(found))
        return [robot for robot in robots if robot is not None]

    def robot(self, name: str) -> Robot:
        """Return one robot.

        :raises NotFoundError: its bridge has given no sign of life lately.
        """
        robot = self._robot(name)
        if robot is None:
            raise NotFoundError(f'no bridge of a robot {name!r} has given a sign of life lately')
        return robot

    def status(self, name: str) -> dict[str, Any]:
        """Return what a robot's bridge tells of itself: `Robot.status`."""
        return self.robot(name).status

    def _robot(self, name: str) -> Robot | None:
        key = names.robot_key(name)
        reply = self._call(('HGETALL', key))
        return _robot(name, watching.pairs(reply), self.now()) if reply else None

    # -- the connection -------------------------------------------------------------------------

    def _call(self, command: tuple) -> Any:
        return self._pipe([command])[0]

    def _pipe(self, commands: list[tuple]) -> list[Any]:
        """Send commands once and return their replies; raises RedisError for what is refused."""
        replies = self._on_connection(lambda connection: connection.pipe(commands))
        for reply in replies:
            if isinstance(reply, redis.ResponseError):
                raise RedisError(
                    f'Redis at {self._address.where} refuses: {self._address.redact(reply)}'
                )
        return replies

    def _on_connection(self, use: Callable[[Connection], T]) -> T:
        """Use the connection, which is opened where there is none."""
        with self._lock:
            try:
                if self._connection is not None and self._is_stale(self._connection):
                    self._hang_up()
                if self._connection is None:
                    self._connection = Connection(self._address.connection())
                    self._connection.connect()
                    self._clock_read_at = -CLOCK_FRESH_S
                return use(self._connection)
            except (redis.RedisError, OSError) as error:
                self._hang_up()
                raise RedisError(
                    f'Redis at {self._address.where}: {self._address.redact(error)}'
                ) from error
            except BaseException:
                # Ctrl-C, say: a reply that is still to come would be taken for that of the next
                # command.
                self._hang_up()
                raise

    @staticmethod
    def _is_stale(connection: Connection) -> bool:
        """Tell whether the server closed the connection since it was last used."""
        try:
            return connection.has_reply()
        except (redis.RedisError, OSError):
            return True

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _forget(self, watch: Watch) -> None:
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)

    def _open_watch(self) -> watching.Watch:
        return watching.Watch(self._address, self._timing)


class Watch:
    """An endless iterator of updates, made by `Client.watch`; a context manager."""

    def __init__(
        self,
        client: Client,
        watched: Iterable[str],
        kind: str | None,
        on_notice: Callable[[Notice], None],
        raw: bool,
    ) -> None:
        self._client = client
        self._kind = kind
        self._tell = on_notice
        self._raw = raw
        self._abouts: dict[str, _About] = {}
        self._decoders: dict[tuple[str, str], Decoder] = {}
        self._followed: set[tuple[str, str]] = set()
        self._gaps = _Gaps()
        self._next_look = 0.0
        self._unknown: set[str] = set()  # names of which no bridge has told anything yet
        pairs = []
        for name in dict.fromkeys(watched):
            stands_as, about = client._look_up(name)
            self._note(name, about)
            kinds = [kind] if kind else about.kinds() or [KIND_OF_TYPE.get(stands_as, 'channel')]
            _refuse_other_kind(name, kind, stands_as)
            pairs += [(name, each) for each in kinds]
        self._source = client._open_watch()
        self._follow(pairs)

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Update:
        update = self.wait(None)
        if update is None:
            raise StopIteration
        return update

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration and close its connections; closing twice is harmless."""
        self._source.close()
        self._client._forget(self)

    def kinds(self, name: str) -> list[str]:
        """Return what a name is watched as; a bridge may add to it later."""
        return sorted(kind for followed, kind in self._followed if followed == name)

    def wait(self, seconds: float | None) -> Update | None:
        """Return the next update; None if none comes in time, or the watch is closed."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            if self._unknown and time.monotonic() >= self._next_look:
                self._look_again()
            left = None if end is None else max(0.0, end - time.monotonic())
            if self._unknown:
                left = LOOK_UP_EVERY_S if left is None else min(left, LOOK_UP_EVERY_S)
            item = self._source.get(left)
            if isinstance(item, watching.Word):
                self._take_word(item)
            elif item is not None:
                update = self._take(item)
                if update is not None:
                    return update
            elif self._source.closed or (end is not None and time.monotonic() >= end):
                return None

    def _follow(self, pairs: list[tuple[str, str]]) -> None:
        new = [pair for pair in pairs if pair not in self._followed]
        try:
            if new:
                self._source.follow(new)
                self._followed.update(new)
        except redis.RedisError as error:
            if not self._followed:
                self.close()
            raise RedisError(f'Redis at {self._client._address.where}: {error}') from error

    def _note(self, name: str, about: _About) -> None:
        self._abouts[name] = about
        (self._unknown.discard if about.kinds() else self._unknown.add)(name)

    def _look_again(self) -> None:
        """Ask Redis once more about names that no bridge had told of."""
        self._next_look = time.monotonic() + LOOK_UP_EVERY_S
        with contextlib.suppress(RedisError):  # away for now; the threads tell of it
            for name in list(self._unknown):
                self._renew(name)

    def _renew(self, name: str) -> None:
        _, about = self._client._look_up(name)
        self._note(name, about)
        self._forget_decoders(name)
        if self._kind is None:
            self._follow([(name, kind) for kind in about.kinds()])

    def _forget_decoders(self, name: str | None = None) -> None:
        self._decoders = {
            pair: decoder
            for pair, decoder in self._decoders.items()
            if name is not None and pair[0] != name
        }

    def _take_word(self, word: watching.Word) -> None:
        if word.event == 'connected':
            self._forget_decoders()
        self._tell(Notice(*word))

    def _take(self, event: watching.Event) -> Update | None:
        """Decode what came; None where that is not possible."""
        if self._raw:
            return Update(
                event.name,
                event.kind,
                None if event.held is None else _payload(event),
                None,
                _id(event),
            )
        try:
            update = self._decode(event)
        except BridgeError as error:
            self._tell(Notice('bad_payload', event.name, f'cannot be decoded: {error}'))
            return None
        missed = self._gaps.missed(update)
        if missed:
            self._tell(Notice('gap', event.name, f'{missed} missed', missed))
        return update

    def _decode(self, event: watching.Event) -> Update:
        pair = (event.name, event.kind)
        try:
            if pair not in self._decoders:
                self._decoders[pair] = self._client._decoder(event.kind, self._abouts[event.name])
            return _update(event, self._decoders[pair])
        except (PayloadError, InterfaceError):
            # Perhaps a bridge has changed its mind since.
            known = self._abouts[event.name]
            if time.monotonic() < self._next_look:
                raise
            self._next_look = time.monotonic() + LOOK_UP_EVERY_S
            self._renew(event.name)
            if self._abouts[event.name] == known:
                raise
            return _update(event, self._client._decoder(event.kind, self._abouts[event.name]))


class _Gaps:
    """Finds jumps in the numbers that senders give their messages."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], int] = {}

    def missed(self, update: Update) -> int:
        """Return how many messages of the same sender are missing before this one."""
        if update.meta is None or update.kind not in ('channel', 'stream'):
            return 0
        sender = (update.name, update.kind, update.meta.origin)
        last = self._last.pop(sender, None)
        self._last[sender] = update.meta.seq
        if len(self._last) > SENDERS_REMEMBERED:
            del self._last[next(iter(self._last))]
        return 0 if last is None else max(0, update.meta.seq - last - 1)


# -- decoding and encoding ------------------------------------------------------------------------


def _log_notice(notice: Notice) -> None:
    LOG.log(logging.INFO if notice.event == 'connected' else logging.WARNING, '%s', notice)


def _refuse_other_kind(name: str, kind: str | None, stands_as: str) -> None:
    """Refuse to watch a name as another kind than what stands there."""
    there = KIND_OF_TYPE.get(stands_as, stands_as)
    if kind not in (None, 'channel', there) and there != 'none':
        raise PayloadError(f'{name!r} is a {there}, not a {kind}')


def _kind_to_publish(name: str, stands_as: str, about: _About) -> str:
    if len(about.into) > 1:
        raise PayloadError(
            f'{name!r} is read as {" and as ".join(about.into)}: say which, by `kind`'
        )
    there = KIND_OF_TYPE.get(stands_as)
    return next(iter(about.into), there if there in KINDS else 'channel')


def _payload(event: watching.Event) -> bytes | dict[bytes, bytes]:
    if event.kind != 'stream':
        return event.held
    fields = event.held[1]
    return fields.get(b'data', fields)


def _id(event: watching.Event) -> str | None:
    return event.held[0].decode() if event.kind == 'stream' else None


def _update(event: watching.Event, decode: Decoder) -> Update:
    if event.held is None:
        return Update(event.name, event.kind, None)
    payload = _payload(event)
    if isinstance(payload, dict) and event.kind == 'stream':  # no entry of a bridge's making
        decode = _guess_fields
    try:
        value, meta = decode(payload)
    except PayloadError as error:
        raise PayloadError(f'{event.kind} {event.name!r}: {error}') from error
    if event.kind == 'stream':
        meta = _meta_of_entry(event.held[1]) or meta
    return Update(event.name, event.kind, value, meta, _id(event))


def _meta_of_entry(fields: dict[bytes, bytes]) -> Meta | None:
    try:
        return Meta(fields[b'origin'].decode(), int(fields[b'seq']), float(fields[b'stamp']))
    except (KeyError, ValueError):
        return None  # an entry of somebody who leaves them out, which is allowed


def _guess(payload: bytes) -> tuple[Any, Meta | None]:
    """Decode a payload of which nobody tells the encoding."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload, None
    if text.lstrip()[:1] in ('{', '['):
        with contextlib.suppress(PayloadError):
            return codecs.unpack('json', payload)
    return text, None


def _guess_fields(fields: dict[bytes, bytes]) -> tuple[dict[str, Any], None]:
    return {
        key.decode(errors='backslashreplace'): _guess(value)[0] for key, value in fields.items()
    }, None


def _nested(fields: dict[bytes, bytes], message: Message | None) -> dict[str, Any]:
    """Return the map that a hash of dotted fields was written from."""
    value: dict[str, Any] = {}
    for path, text in sorted((key.decode(), text) for key, text in fields.items()):
        *parents, last = path.split('.')
        inner = value
        for part in parents:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise PayloadError(f'{path}: its first part is a value of its own')
        inner[last] = _guess(text)[0] if message is None else _hash_field(message, path, text)
    return value


def _hash_field(message: Message, path: str, text: bytes) -> Any:
    try:
        type_ = types.field_at(message, path)
    except InterfaceError:  # of another version of the type
        return _guess(text)[0]
    encoding = 'text' if isinstance(type_, (Primitive, String)) else 'json'
    value, _ = codecs.decoder(message, encoding, field=path)(text)
    return _at(value, path)


def _text_decoder(message: Message | None, field: str | None) -> Decoder:
    """Return what reads one scalar; where nobody tells which field it is, it stays text."""
    with contextlib.suppress(InterfaceError):  # the type has several, and none was named
        if message is not None:
            decode = codecs.decoder(message, 'text', field=field)
            return lambda payload: (_innermost(decode(payload)[0]), None)
    return lambda payload: codecs.unpack('text', payload)


def _json_decoder(message: Message, field: str | None) -> Decoder:
    """Return what reads JSON and undoes, by type, what it is too narrow for (base64, "NaN")."""
    decode = codecs.decoder(message, 'json', field=field)

    def decoded(payload: bytes) -> tuple[Any, Meta | None]:
        if field is None and payload.lstrip()[:1] != b'{':
            return codecs.unpack('json', payload)  # a bare field, of which nobody tells the name
        value, meta = decode(payload)
        return _at(value, field), meta

    return decoded


def _at(value: Any, path: str | None) -> Any:
    for part in path.split('.') if path else ():
        value = value[part]
    return value


def _innermost(value: Any) -> Any:
    while isinstance(value, dict):
        (value,) = value.values()
    return value


def _encoder(
    message: Message | None, encoding: str, field: str | None
) -> Callable[[Any, Meta | None], bytes]:
    """Return what encodes a value, and checks it as its reader will where the type is known."""
    if encoding == 'cdr':
        write_all = cdr.writer(message)
        return lambda value, meta: write_all(_map(value))
    read = write = None
    if message is not None:
        with contextlib.suppress(InterfaceError):  # text of which the reader alone knows the field
            read, write = codecs.decoder(message, encoding, field=field), cdr.writer(message)

    def encode(value: Any, meta: Meta | None) -> bytes:
        is_map = isinstance(value, dict) and field is None
        payload = codecs.pack(encoding, value, meta if is_map else None)
        # A bare value is one field of the message; without its name it cannot be checked.
        if write is not None and (is_map or field is not None or encoding == 'text'):
            write(read(payload)[0])
        return payload

    return encode


def _map(value: Any) -> dict:
    if not isinstance(value, dict):
        raise PayloadError(f'expected a map of fields, got {value!r}')
    return value


def _robot(name: str, fields: dict[bytes, bytes], now: float) -> Robot:
    """Return the robot that a hash describes; fields that are not known are passed on."""
    told = {
        key: _told(key, value.decode(errors='backslashreplace'))
        for key, value in ((key.decode(), value) for key, value in fields.items())
    }
    boot, protocol, stamp = (told.pop(key, None) for key in ('boot', 'protocol', 'stamp'))
    routes = {key: told.pop(key) for key in list(told) if key.startswith('route:')}
    told['routes'] = [routes[key] for key in sorted(routes, key=_route_number)]
    return Robot(name, boot, protocol, _age(stamp, now), told)


def _age(stamp: Any, now: float) -> float | None:
    return max(0.0, round(now - stamp, 3)) if isinstance(stamp, (int, float)) else None


def _route_number(key: str) -> tuple[int, str]:
    number = key.partition(':')[2]
    return (int(number), '') if number.isdecimal() else (sys.maxsize, number)


def _told(key: str, text: str) -> Any:
    """Return one field of a robot's hash: numbers and JSON where they are meant, else text."""
    if key.partition(':')[0] in NUMBERS or text[:1] in ('{', '['):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    return text
