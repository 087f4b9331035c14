# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One connection per role, that comes back by itself after every loss.

redis-py's own retries are off everywhere: they send writes twice and hide how long a call takes.
Each role has a thread (`ConnectionThread`) that connects, runs a session and, when that fails,
waits and tries again, without end.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import random
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis import connection as redis_connection

from redis_bridge.errors import RedisError
from redis_bridge.mapping.model import RedisSettings
from redis_bridge.redis_io.resp import Replies, raise_if_error

Command = Sequence[Any]  # of texts, numbers and bytes
LARGE_BYTES = 16 << 10  # a value beyond this is sent without a copy
Session = Callable[['Connection'], None]

# From the URL's query only these count. The rest is either a matter of this module (timeouts,
# retries, protocol) or would weaken TLS (ssl_cert_reqs, ssl_check_hostname).
URL_OPTIONS = {
    'host', 'port', 'path', 'db', 'username', 'password', 'connection_class',
    'ssl_ca_certs', 'ssl_certfile', 'ssl_keyfile', 'ssl_min_version',
}  # fmt: skip

TLS_VERSIONS = {'1.2': ssl.TLSVersion.TLSv1_2, '1.3': ssl.TLSVersion.TLSv1_3}

GATE_POLL_S = 0.05
CUT_S = 0.15  # for a thread to end once its connection was broken


@dataclass(frozen=True)
class Timing:
    """How long each role waits for what."""

    connect_s: float = 2.0
    reply_s: float = 5.0
    ping_s: float = 2.0
    pings: int = 3  # unanswered ones after which the peer counts as gone
    retry_first_s: float = 0.1  # doubles up to one of the next two, with full jitter
    retry_max_s: float = 5.0
    refused_max_s: float = 30.0  # wrong password or missing rights: nothing heals that quickly
    block_ms: int = 1000  # of a blocking read; less than reply_s


class NoReply(redis.ConnectionError):
    """The server has not answered for too long."""


class InvalidSettings(redis.ConnectionError):
    """A connection that cannot come about as the settings are (a file that cannot be read)."""


class Address:
    """Makes unconnected redis-py connections from settings, whichever redis-py is installed.

    Raises RedisError for settings that can never work.
    """

    def __init__(self, settings: RedisSettings, client_name: str, timing: Timing) -> None:
        self._settings = settings
        self._secrets: set[str] = set()
        options = self._url_options(settings.url)
        self._class = options.pop('connection_class', redis_connection.Connection)
        if self._class is redis_connection.UnixDomainSocketConnection:
            self.where = f'unix:{options.get("path", "")}'
        else:
            self.where = f'{options.get("host", "localhost")}:{options.get("port", 6379)}'
            options.update(socket_keepalive=True, socket_keepalive_options=_keepalive())
        if db := options.get('db'):
            self.where += f'/{db}'
        if settings.username is not None:
            options['username'] = settings.username
        if settings.tls is not None and not issubclass(
            self._class, redis_connection.SSLConnection
        ):
            raise RedisError(f'redis.tls needs a rediss:// URL, not that of {self.where}')
        known = _parameters(self._class)
        if issubclass(self._class, redis_connection.SSLConnection):
            options.update(self._tls_options(known))
        options.update(socket_timeout=timing.reply_s, client_name=client_name)
        # RESP2 has one shape of reply on every server and client and needs no HELLO. It also
        # keeps the notices of Redis Enterprise about its maintenance away.
        for name, value in (
            ('protocol', 2), ('driver_info', None), ('socket_connect_timeout', timing.connect_s),
        ):  # fmt: skip
            if name in known:
                options[name] = value
        if 'driver_info' not in known and 'lib_name' in known:
            options.update(lib_name=None, lib_version=None)
        self._options = options

    def _url_options(self, url: str) -> dict[str, Any]:
        # The text of the error is not passed on: it may hold a piece of the password.
        try:
            options = redis_connection.parse_url(url)
        except ValueError:
            raise RedisError(
                'redis.url: expected redis://, rediss:// or unix://, with special characters in '
                'the password percent-encoded'
            ) from None
        if password := options.get('password'):
            self._secrets.add(password)
        unknown = sorted(set(options) - URL_OPTIONS)
        if unknown:
            raise RedisError(f'redis.url: these options are not for the URL: {", ".join(unknown)}')
        return options

    def _tls_options(self, known: set[str]) -> dict[str, Any]:
        options: dict[str, Any] = {'ssl_cert_reqs': 'required', 'ssl_check_hostname': True}
        tls = self._settings.tls
        if tls is None:
            return options
        for name, value in (
            ('ssl_ca_certs', tls.ca), ('ssl_certfile', tls.cert), ('ssl_keyfile', tls.key),
        ):  # fmt: skip
            if value is not None:
                options[name] = value
        if tls.min_version is not None:
            version = TLS_VERSIONS.get(tls.min_version)
            if version is None:
                raise RedisError(
                    f'redis.tls.min_version: expected one of 1.2, 1.3, got {tls.min_version!r}'
                )
            if 'ssl_min_version' in known:
                options['ssl_min_version'] = version
            elif version > ssl.create_default_context().minimum_version:
                raise RedisError(
                    f'redis.tls.min_version: redis-py {redis.__version__} cannot hold to '
                    f'{tls.min_version}, install redis 5 or newer'
                )
        return options

    def connection(self) -> Any:
        """Return a new connection, not yet connected; the password is read now."""
        options = dict(self._options)
        path = self._settings.password_file
        if path is not None:
            try:
                options['password'] = Path(path).read_text(encoding='utf-8').rstrip('\r\n')
            except OSError as error:
                raise InvalidSettings(f'password_file {path}: {error.strerror}') from error
            except UnicodeDecodeError:
                raise InvalidSettings(f'password_file {path}: expected UTF-8 text') from None
            if options['password']:
                self._secrets.add(options['password'])
        return self._class(**options)

    def redact(self, error: BaseException) -> str:
        """Return the text of an error without secrets."""
        text = ' '.join(str(error).split()) or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, '***')
        return text


def _parameters(kind: type) -> set[str]:
    """Return the names of all parameters that a connection class takes."""
    known: set[str] = set()
    for base in kind.__mro__:
        if '__init__' in vars(base):
            parameters = inspect.signature(base.__init__).parameters
            known |= set(parameters)
            if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
                break  # nothing is passed on to the next base
    return known


def _keepalive() -> dict[int, int]:
    wanted = {'TCP_KEEPIDLE': 5, 'TCP_KEEPINTVL': 2, 'TCP_KEEPCNT': 3, 'TCP_USER_TIMEOUT': 10000}
    return {
        getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)
    }


class Waker:
    """Lets one thread wake another that waits on a socket."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._lock = threading.Lock()
        self._set = False
        self._closed = False

    def fileno(self) -> int:
        """Return what to wait on."""
        return self._read

    def set(self) -> None:
        """Wake the waiting thread, now or as soon as it waits."""
        with self._lock:
            if not self._set and not self._closed:
                self._set = True
                os.write(self._write, b'!')

    def clear(self) -> None:
        """Forget that somebody woke us."""
        with self._lock:
            if self._set and not self._closed:
                self._set = False
                os.read(self._read, 1)

    def close(self) -> None:
        """Give the descriptors back; `set` has no effect afterwards."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._read)
                os.close(self._write)


class Start(bytes):
    """The first words of a command, packed once for all that begin with them; see `start`."""


def start(words: Command, count: int) -> Start:
    """Return the first words of commands of `count` words."""
    return Start(b''.join([b'*%d\r\n' % count, *map(_packed_word, words)]))


def _packed_word(word: Any) -> bytes:
    data = word if isinstance(word, bytes) else str(word).encode()
    return b'$%d\r\n%b\r\n' % (len(data), data)


def packed(commands: Iterable[Command]) -> list[bytes]:
    """Return commands as the server reads them (RESP), in pieces to be sent one after the other.

    Large values are sent as they are. redis-py's own packing copies them, with hiredis byte by
    byte: milliseconds for an image.
    """
    pieces: list[bytes] = []
    small: list[bytes] = []
    for command in commands:
        if command[0].__class__ is not Start:
            small.append(b'*%d\r\n' % len(command))
        for word in command:
            if word.__class__ is Start:
                small.append(word)
            elif word.__class__ is bytes and len(word) > LARGE_BYTES:
                small.append(b'$%d\r\n' % len(word))
                pieces += (b''.join(small), word)
                small = [b'\r\n']
            else:
                small.append(_packed_word(word))
    pieces.append(b''.join(small))
    return pieces


class Connection:
    """One connection to the server; used by one thread, but for `interrupt`."""

    def __init__(self, redis_py: Any) -> None:
        self._redis_py = redis_py

    def connect(self) -> None:
        """Connect, log in, select the database."""
        self._redis_py.connect()
        self._replies = Replies(self._socket(), self._redis_py.socket_timeout)

    def send(self, commands: Iterable[Command]) -> None:
        """Send commands without waiting for their replies."""
        self._redis_py.send_packed_command(packed(commands), check_health=False)

    def reply(self) -> Any:
        """Return the next reply; what the server refuses comes as a ResponseError, not raised."""
        return self._replies.take()

    def replies(self, most: int) -> list[Any]:
        """Return the next reply and what came on channels right after it."""
        return self._replies.take_all(most)

    def call(self, *command: Any) -> Any:
        """Send one command and return its reply; raises ResponseError."""
        self.send([command])
        return raise_if_error(self.reply())

    def pipe(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands at once and return their replies; refusals are among them as values."""
        self.send(commands)
        return [self.reply() for _ in commands]

    def has_reply(self, seconds: float = 0) -> bool:
        """Tell whether something can be read, now or within a time that nothing else cuts short.

        Raises ConnectionError where the peer left.
        """
        return self._replies.look(seconds)

    def wait(self, seconds: float, waker: Waker) -> bool:
        """Wait for a reply, or until woken; return whether there is something to read."""
        if self._replies.waits():
            return True
        sock = self._socket()
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(waker, select.POLLIN)
        ready = [number for number, _ in poll.poll(max(0.0, seconds) * 1000)]
        if waker.fileno() in ready:
            waker.clear()
        return sock.fileno() in ready and self.has_reply()

    def _socket(self) -> socket.socket:
        sock = self._redis_py._sock  # there is no public way to it in any version
        if sock is None:
            raise redis.ConnectionError('the connection was closed')
        return sock

    def interrupt(self) -> None:
        """Make whoever reads or writes here fail at once; may be called from any thread."""
        with contextlib.suppress(OSError, redis.ConnectionError):
            # Not the method of SSLSocket, which is not made for another thread's reading.
            socket.socket.shutdown(self._socket(), socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; closing twice is harmless."""
        self._redis_py.disconnect()


class Pings:
    """Notices that a subscribed connection's peer fell silent; redis-py's own check never does."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._open = 0
        self._next = time.monotonic() + timing.ping_s

    def wait_s(self) -> float:
        """Return how long until the next ping is due."""
        return max(0.0, self._next - time.monotonic())

    def heard(self) -> None:
        """Note that the peer sent something."""
        self._open = 0

    def tick(self, connection: Connection) -> None:
        """Send a ping if one is due; raises NoReply if too many went unanswered."""
        now = time.monotonic()
        if now < self._next:
            return
        if self._open >= self._timing.pings:
            raise NoReply(f'no answer to {self._open} pings')
        self._next = now + self._timing.ping_s
        self._open += 1
        connection.send([('PING',)])


class Clock:
    """The Redis server's clock, from our monotonic one and what TIME answered."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self._samples: deque[tuple[float, float]] = deque(maxlen=8)  # round trip, offset

    def now(self) -> float:
        """Return the server's time in seconds; our own wall clock until `measure` succeeded."""
        return time.monotonic() + self._offset

    def measure(self, connection: Connection) -> None:
        """Compare with the server's clock; of the last measurements the tightest counts."""
        before = time.monotonic()
        seconds, micros = connection.call('TIME')
        after = time.monotonic()
        offset = int(seconds) + int(micros) / 1e6 - (before + after) / 2
        round_trip = after - before
        # Where this one cannot be reconciled with the others, a clock was set, or it is another
        # server: then those are worth nothing.
        if any(abs(offset - old) > round_trip + trip for trip, old in self._samples):
            self._samples.clear()
        self._samples.append((round_trip, offset))
        self._offset = min(self._samples)[1]


class Health:
    """Which role is connected and why another is not; logs only what changed, in its order.

    What is logged is logged under the lock: who sees a state finds it in the log, and a loss never
    stands there before the connection that it ended.
    """

    def __init__(self, log: logging.Logger, where: str) -> None:
        self._log = log
        self._where = where
        self._lock = threading.Lock()
        self._problems: dict[str, str | None] = {}
        self._told: set[str] = set()
        self.bugs = 0

    def add(self, role: str) -> None:
        """Make a role known, as not yet connected."""
        with self._lock:
            self._problems[role] = 'not started'

    def remove(self, role: str) -> None:
        """Forget a role that needs no connection now."""
        with self._lock:
            self._problems.pop(role, None)

    def mark_connected(self, role: str) -> None:
        """Note that a role is connected."""
        with self._lock:
            was, self._problems[role] = self._problems.get(role, 'idle'), None
            if was is None or any(self._problems.values()):
                return
            self._told.clear()
            self._log.info('Redis at %s: connected', self._where)

    def mark_disconnected(self, role: str, problem: str, *, quiet: bool = False) -> None:
        """Note that a role is not connected, and why."""
        with self._lock:
            self._problems[role] = problem
            if quiet or problem in self._told:
                return
            self._told.add(problem)
            self._log.warning('Redis at %s (%s): %s', self._where, role, problem)

    def bug(self, role: str, text: str) -> None:
        """Note an error of our own, with its traceback."""
        self.bugs += 1
        self._log.exception('Redis (%s): internal error: %s', role, text)

    def states(self) -> dict[str, str]:
        """Return role -> 'connected' or 'connecting: reason'."""
        with self._lock:
            return {
                role: f'connecting: {problem}' if problem else 'connected'
                for role, problem in self._problems.items()
            }


class ConnectionThread:
    """A role's thread: connects, runs a session, comes back after each loss.

    `session` runs with a fresh connection until `closing` is set or the connection fails; it
    calls `up` once it is set up. `gate`, where given, says why the role may not connect now. A
    session that `breaks` waits where no waker reaches it: its connection is broken to end it.
    """

    def __init__(
        self,
        role: str,
        address: Address,
        session: Session,
        *,
        health: Health,
        timing: Timing,
        on_disconnect: Callable[[], None] = lambda: None,
        gate: Callable[[], str | None] = lambda: None,
        is_idle: Callable[[], bool] = lambda: False,
        interrupt_to_stop: bool = False,
    ) -> None:
        self.role = role
        self.timing = timing
        self.waker = Waker()
        self.closing = threading.Event()
        self._address = address
        self._session = session
        self._health = health
        self._on_disconnect = on_disconnect
        self._gate = gate
        self._is_idle = is_idle  # whether the role needs no connection now
        self._interrupt_to_stop = interrupt_to_stop
        self._is_up = False
        self._pause_s = timing.retry_first_s
        self._connection: Connection | None = None
        self._extra: Connection | None = None
        self._thread = threading.Thread(target=self._run, name=f'redis {role}', daemon=True)
        health.add(role)

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    def mark_connected(self) -> None:
        """Note that the session is set up, from within it; raises where the gate has shut."""
        reason = self._gate()
        if reason is not None:
            raise redis.ConnectionError(reason)
        self._is_up = True
        self._pause_s = self.timing.retry_first_s
        self._health.mark_connected(self.role)

    def second_connection(self) -> Connection:
        """Return a second connection that lives as long as the session, from within it."""
        self._extra = Connection(self._address.connection())
        self._extra.connect()
        return self._extra

    def redact(self, error: BaseException) -> str:
        """Return the text of an error without secrets."""
        return self._address.redact(error)

    def finish(self) -> None:
        """Ask the session to end in its own time."""
        self.closing.set()
        if self._interrupt_to_stop:
            self.interrupt()
        self.waker.set()

    def interrupt(self) -> None:
        """Break the connection; the thread goes on with the next one, or ends if closing."""
        for connection in (self._connection, self._extra):
            if connection is not None:
                connection.interrupt()
        self.waker.set()

    def join(self, deadline: float) -> bool:
        """Wait for the thread's end, until a moment of the monotonic clock; tell if it came."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def close(self, deadline: float) -> None:
        """End the session, in its own time until `deadline`, then without asking."""
        self.finish()
        last = max(deadline, time.monotonic()) + CUT_S
        while not self.join(deadline) and time.monotonic() < last:
            self.interrupt()  # again and again, as a connection may just be coming about
            deadline = time.monotonic() + 0.01
        if self._thread.ident is None:
            self.waker.close()

    def _run(self) -> None:
        while not self.closing.is_set():
            if self._is_idle():
                self._health.remove(self.role)
                self.closing.wait(GATE_POLL_S)
                continue
            reason = self._gate()
            if reason is not None:
                self._health.mark_disconnected(self.role, reason, quiet=True)
                self.closing.wait(GATE_POLL_S)
                continue
            self._is_up = False
            refused = False
            problem = 'the session ended'
            try:
                self._hold_session()
            except (
                redis.AuthenticationError,
                redis.exceptions.NoPermissionError,
                InvalidSettings,
            ) as e:
                refused, problem = True, self.redact(e)
            except (redis.RedisError, OSError) as e:
                problem = self.redact(e)
            except Exception as e:  # a bug must not end the role; it is told with its traceback
                problem = f'internal error: {self.redact(e)}'
                self._health.bug(self.role, self.redact(e))
            finally:
                self._hang_up()
            if not self.closing.is_set() and not self._is_idle():
                self._recover(problem, refused)
        self._health.mark_disconnected(self.role, 'closed', quiet=True)
        self.waker.close()

    def _hold_session(self) -> None:
        self._connection = Connection(self._address.connection())
        self._connection.connect()
        self._session(self._connection)

    def _hang_up(self) -> None:
        for connection in (self._connection, self._extra):
            if connection is not None:
                connection.close()
        self._connection = self._extra = None

    def _recover(self, problem: str, refused: bool) -> None:
        """Tell of the loss and wait before the next attempt."""
        shut = self._gate() is not None  # then it was broken on purpose
        self._health.mark_disconnected(self.role, problem, quiet=shut)
        if self._is_up:
            try:
                self._on_disconnect()
            except Exception as e:  # a bug of a receiver; see above
                self._health.bug(self.role, self.redact(e))
        pause_s = random.uniform(0, self._pause_s)
        longest_s = self.timing.refused_max_s if refused else self.timing.retry_max_s
        self._pause_s = min(2 * self._pause_s, longest_s)
        self.closing.wait(pause_s)
