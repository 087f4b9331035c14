# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Connections: settings, credentials, loss and return, silence, and an end without remains."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
import redis
from servers import Recorder, Server, all_connected, programs, request
from support import eventually

from redis_bridge.counters import Counters
from redis_bridge.errors import RedisError
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    ChannelSourceConfig,
    KeySinkConfig,
    KeySourceConfig,
    RedisSettings,
    StreamSinkConfig,
    StreamSourceConfig,
    Tls,
)
from redis_bridge.ports import Write
from redis_bridge.protocol.descriptions import NameDescription, TypeDescription
from redis_bridge.protocol.meta import Meta
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import LARGE_BYTES, Connection, pack
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health

SECRET = 'hunter2/#%'


def everything(endpoints):
    """Give a bridge one of each kind of sink and source, so that each role is at work."""
    counts = Counters()
    sinks = [
        endpoints.open_sink(KeySinkConfig('k', ttl_ms=60_000), counts),
        endpoints.open_sink(StreamSinkConfig('s'), counts),
        endpoints.open_sink(ChannelSinkConfig('c'), counts),
    ]
    heard = [Recorder() for _ in range(5)]
    sources = [
        (ChannelSourceConfig('c'), False),
        (ChannelSourceConfig('c'), True),
        (KeySourceConfig('k'), False),
        (StreamSourceConfig('s', 'beginning'), False),
        (StreamSourceConfig('s', 'group', 'g'), False),
    ]
    endpoints.want([
        request(source, listener, command)
        for listener, (source, command) in zip(heard, sources)
    ])  # fmt: skip
    return sinks, heard, counts


def write(endpoints, sinks, number):
    for sink in sinks:
        sink.write([Write(b'%d' % number, Meta(endpoints.origin, number, endpoints.now()))])


def address(url, **settings):
    return Address(RedisSettings(url=url, **settings), 'test', Timing())


def redis_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith('redis ')]


def open_files():
    return len(os.listdir('/proc/self/fd'))


@pytest.mark.parametrize(
    ('url', 'text'),
    [
        ('http://localhost', 'expected a url such as redis://host:6379/0, rediss://'),
        ('redis://u:pa/ss@h:6379', 'percent-encode'),
        ('rediss://h?ssl_cert_reqs=none', 'takes no option but db'),
        ('redis://h?socket_timeout=0', 'takes no option but db'),
    ],
)
def test_a_url_that_cannot_work_is_rejected_without_being_repeated(url, text):
    with pytest.raises(RedisError) as caught:
        address(url)
    assert text in str(caught.value)
    assert 'ss@h' not in str(caught.value)


def test_tls_is_always_verified_and_keeps_to_its_floor(tmp_path):
    made = address('rediss://h', tls=Tls(ca='ca.pem')).connection()
    assert (made.cert_reqs, made.check_hostname, made.ca_certs) == (
        ssl.CERT_REQUIRED, True, 'ca.pem',
    )  # fmt: skip
    with pytest.raises(RedisError, match='expected one of'):
        address('rediss://h', tls=Tls(min_version='1.1'))
    with pytest.raises(RedisError, match='rediss://'):
        address('redis://h', tls=Tls(ca='ca.pem'))
    if redis.__version__.startswith('4.'):
        with pytest.raises(RedisError, match='install redis 5'):
            address('rediss://h', tls=Tls(min_version='1.3'))
    else:
        newest = address('rediss://h', tls=Tls(min_version='1.3')).connection()
        assert newest.ssl_min_version == ssl.TLSVersion.TLSv1_3


@pytest.fixture
def tls_server(tmp_path):
    program = programs().get('redis')
    # CI installs them, so there it is an error that they are missing.
    give_up = pytest.fail if os.environ.get('CI') else pytest.skip
    if program is None or shutil.which('openssl') is None:
        give_up('needs redis-server and openssl')
    subprocess.run(
        [
            'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
            '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-addext',
            'subjectAltName=IP:127.0.0.1', '-keyout', 'key.pem', '-out', 'ca.pem',
        ],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    server = Server(program, tmp_path / 'tls')
    tls_port = Server(program, tmp_path).port
    server.options = (
        '--tls-port', str(tls_port), '--tls-cert-file', str(tmp_path / 'ca.pem'),
        '--tls-key-file', str(tmp_path / 'key.pem'), '--tls-ca-cert-file',
        str(tmp_path / 'ca.pem'), '--tls-auth-clients', 'no',
    )  # fmt: skip
    try:
        server.start()
    except RuntimeError as error:
        if 'Bad directive' not in str(error):
            raise
        give_up('this redis-server is built without TLS')
    yield f'rediss://127.0.0.1:{tls_port}', str(tmp_path / 'ca.pem')
    server.kill()


def test_tls_works_with_the_right_authority_only(tls_server, redis_side_at):
    url, ca = tls_server
    endpoints = redis_side_at(url, tls=Tls(ca=ca))
    sinks, heard, _ = everything(endpoints)
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    write(endpoints, sinks, 1)
    eventually(lambda: all(listener.payloads == [b'1'] for listener in heard))
    stranger = redis_side_at(url, 'robot2')
    stranger.start(dict)
    eventually(lambda: 'certificate' in stranger.states()['writer'].lower())
    wrong_host = redis_side_at(url.replace('127.0.0.1', 'localhost'), 'robot3', tls=Tls(ca=ca))
    wrong_host.start(dict)
    eventually(lambda: 'certificate' in wrong_host.states()['writer'].lower())


def test_what_comes_over_tls_is_read_to_its_end(tls_server):
    url, ca = tls_server
    made = address(url, tls=Tls(ca=ca)).connection()
    connection = Connection(made)
    connection.connect()
    value = os.urandom(300_000)  # many records
    assert connection.pipe([('SET', 'k', value), ('GET', 'k'), ('PING',)]) == [
        b'OK',
        value,
        b'PONG',
    ]
    # The server may have sent what is none of its replies.
    assert not connection.has_reply()
    connection.send([('SUBSCRIBE', 'c')])
    assert connection.reply() == [b'subscribe', b'c', 1]
    with redis.Redis.from_url(url, ssl_ca_certs=ca) as db:
        for number in range(3):
            db.publish('c', b'%d' % number * 20_000)
    got = []
    while len(got) < 3:
        eventually(connection.has_reply)
        got += connection.replies(1000)
    assert [payload for _, payload in got] == [b'%d' % number * 20_000 for number in range(3)]
    connection.close()


def test_a_unix_socket_serves_as_well(redis_server, tmp_path, redis_side_at):
    redis_server.kill()
    path = tmp_path / 'socket'
    redis_server.options = ('--unixsocket', str(path))
    redis_server.start()
    endpoints = redis_side_at(f'unix://{path}')
    sinks, heard, _ = everything(endpoints)
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    write(endpoints, sinks, 1)
    eventually(lambda: all(listener.payloads == [b'1'] for listener in heard))


def test_a_bridge_that_starts_before_its_server_waits_for_it(redis_server, redis_side_at):
    redis_server.kill()
    endpoints = redis_side_at(redis_server.url)
    sinks, heard, counts = everything(endpoints)
    endpoints.start(dict)
    eventually(lambda: 'refused' in endpoints.states()['writer'])
    write(endpoints, sinks, 1)
    redis_server.start()
    eventually(lambda: all_connected(endpoints))
    eventually(lambda: heard[3].payloads == heard[4].payloads == [b'1'])
    assert counts.snapshot()['dropped'] == {'disconnected': 1}  # the channel's


def test_these_rights_are_enough(each_server, tmp_path, redis_side_at, caplog):
    rights = (
        '+ping +info +client|setname +client|id +client|tracking +time +subscribe +publish '
        '+set +hset +hget +hmget +hgetall +hdel +del +pexpire +exists +getrange '
        '+watch +unwatch +multi +exec +zadd +zrem +zrangebyscore '
        '+xadd +xrange +xrevrange +xread +xreadgroup +xack +xgroup|create '
        '+xinfo|stream +xinfo|groups'
    )
    with each_server.client() as db:
        db.execute_command(
            'ACL', 'SETUSER', 'bridge', 'on', '>pw', 'resetkeys', 'resetchannels',
            '~redis_bridge:*', '~k', '~s', '~s:dead',
            '&c', '&redis_bridge:fleet', '&__redis__:invalidate', '-@all', *rights.split(),
        )  # fmt: skip
        (tmp_path / 'password').write_text('pw')
        endpoints = redis_side_at(
            each_server.url, username='bridge', password_file=str(tmp_path / 'password')
        )
        sinks, heard, counts = everything(endpoints)
        heard[4].verdict = False
        string = TypeDescription('std_msgs/msg/String', '', '')
        endpoints.describe([NameDescription('k', 'key', False, 'json', None, string)])
        endpoints.start(dict)
        eventually(lambda: all_connected(endpoints))
        write(endpoints, sinks, 1)
        eventually(lambda: all(listener.payloads == [b'1'] for listener in heard))
        sinks[0].renew()
        eventually(lambda: db.xlen('s:dead') == 1)
        db.delete('k')
        eventually(lambda: db.get('k') == b'1')
        eventually(lambda: db.exists('redis_bridge:meta:k'))
        eventually(lambda: db.hget('redis_bridge:fleet', 'robot1'))
        each_server.restart()  # the user is gone with the rest
        eventually(lambda: 'password' in endpoints.states()['writer'])
    assert counts.snapshot()['dropped'] == {}
    assert not [r for r in caplog.records if 'permission' in r.getMessage()]


def test_a_wrong_password_is_told_and_a_corrected_file_is_read(
    redis_server, tmp_path, redis_side_at, caplog
):
    caplog.set_level(logging.DEBUG)
    with redis_server.client() as db:
        db.config_set('requirepass', SECRET)
    redis_server.password = SECRET
    path = tmp_path / 'password'
    endpoints = redis_side_at(redis_server.url, password_file=str(path))
    everything(endpoints)
    endpoints.start(dict)
    eventually(lambda: 'No such file' in endpoints.states()['writer'])
    path.write_text('wrong-password\n')
    eventually(lambda: 'password' in endpoints.states()['writer'])
    eventually(lambda: 'No such file' not in endpoints.states()['writer'])
    path.write_text(f'{SECRET}\n')
    eventually(lambda: all_connected(endpoints))
    said = '\n'.join([caplog.text, *endpoints.states().values()])
    assert 'wrong-password' not in said and SECRET not in said


@pytest.mark.parametrize('rest', ['', '\n', '\r\n', '\nof the robots\n', '\r\n\r\nof the robots'])
def test_the_first_line_of_its_file_is_the_password(redis_server, tmp_path, rest):
    with redis_server.client() as db:
        db.config_set('requirepass', SECRET)
    path = tmp_path / 'password'
    path.write_bytes(f'{SECRET}{rest}'.encode())
    connection = Connection(address(redis_server.url, password_file=str(path)).connection())
    connection.connect()
    assert connection.call('PING') == b'PONG'
    connection.close()


def test_no_secret_reaches_a_log_whatever_the_server_says(tmp_path, redis_side_at, caplog):
    caplog.set_level(logging.DEBUG)
    server = socket.create_server(('127.0.0.1', 0))
    port = server.getsockname()[1]

    def answer():
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            with peer:
                asked = peer.recv(4096).decode().split()
                peer.sendall(f'-ERR unknown command, with args {" ".join(asked)}\r\n'.encode())

    thread = threading.Thread(target=answer)
    thread.start()
    (tmp_path / 'password').write_text('from-a-file')
    for settings in (
        {'url': f'redis://user:from-a-url@127.0.0.1:{port}'},
        {
            'url': f'redis://127.0.0.1:{port}', 'username': 'user',
            'password_file': str(tmp_path / 'password'),
        },
    ):  # fmt: skip
        endpoints = redis_side_at(**settings)
        endpoints.start(dict)
        eventually(lambda: 'unknown command' in endpoints.states()['writer'])  # noqa: B023
        assert 'from-a' not in str(endpoints.states())
        endpoints.close()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    assert 'unknown command' in caplog.text
    assert 'from-a' not in caplog.text


def test_only_changes_of_state_are_logged(redis_server, redis_side_at, caplog):
    caplog.set_level(logging.INFO, 'redis_bridge')
    endpoints = redis_side_at(redis_server.url)
    everything(endpoints)
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    redis_server.kill()
    since = time.monotonic() + 1  # many attempts
    eventually(lambda: time.monotonic() > since)
    redis_server.start()
    eventually(lambda: all_connected(endpoints))
    said = [r.getMessage() for r in caplog.records if r.name == 'redis_bridge.test']
    assert len(said) < 10
    assert sum(text.endswith(': connected') for text in said) == 2
    assert sum('refused' in text for text in said) == 1


def test_who_sees_a_state_finds_it_in_the_log():
    said = []

    class Slow(logging.Handler):
        def emit(self, record):
            asking.start()
            asking.join(0.2)  # who asks must wait for us, so this runs out
            said.append('logged')

    log = logging.Logger('slow')
    log.addHandler(Slow())
    health = Health(log, 'there')
    asking = threading.Thread(target=lambda: said.append(health.states()['role']))
    health.mark_connected('role')
    asking.join()
    assert said == ['logged', 'connected']


def test_a_server_that_hangs_is_noticed_by_every_duty(redis_server, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    sinks, heard, _ = everything(endpoints)
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    redis_server.freeze()
    eventually(
        lambda: all(state != 'connected' for state in endpoints.states().values()), seconds=4
    )
    redis_server.thaw()
    eventually(lambda: all_connected(endpoints))
    assert [listener.losses for listener in heard] == [1] * 5
    write(endpoints, sinks, 1)
    eventually(lambda: all(b'1' in listener.payloads for listener in heard))


def test_a_role_that_may_not_connect_sleeps_until_it_is_woken(redis_server):
    reasons, asked, sessions = ['not now'], [], []

    def gate():
        asked.append(1)
        return reasons[0] if reasons else None

    def session(connection):
        sessions.append(connection.call('PING'))
        thread.closing.wait(5)

    health = Health(logging.getLogger('redis_bridge.test'), 'there')
    thread = ConnectionThread('role', address(redis_server.url), session, health=health, gate=gate)
    thread.start()
    eventually(lambda: health.states()['role'] == 'connecting: not now')
    since = time.monotonic() + 0.2
    eventually(lambda: time.monotonic() > since)
    assert len(asked) == 1
    reasons.clear()
    thread.waker.set()
    eventually(lambda: sessions == [b'PONG'])
    thread.close(time.monotonic() + 1)
    assert redis_threads() == []


def test_fifty_killed_connections_leave_no_thread_and_no_file(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    sinks, heard, _ = everything(endpoints)
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    me = db.client_id()
    threads, files = len(redis_threads()), open_files()
    for number in range(1, 51):
        db.execute_command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
        db.execute_command('CLIENT', 'KILL', 'TYPE', 'pubsub')
        write(endpoints, sinks, number)
    eventually(lambda: all_connected(endpoints))
    assert db.client_id() == me
    assert len(redis_threads()) == threads
    eventually(lambda: open_files() <= files)
    # That a connection was killed may be noticed later than `all_connected` was asked.
    numbers = list(range(1, 51))
    eventually(lambda: [int(fields[b'data']) for _, fields in db.xrange('s')] == numbers)
    eventually(lambda: heard[3].payloads == [b'%d' % number for number in range(1, 51)])


@pytest.mark.parametrize('state', ['up', 'down', 'hanging', 'never started'])
def test_closing_takes_little_time_and_leaves_nothing(redis_server, redis_side_at, state):
    gc.collect()  # so that nothing of other tests goes away in between
    files = open_files()
    endpoints = redis_side_at(redis_server.url, timing=Timing())  # the ordinary, long ones
    sinks, _, _ = everything(endpoints)
    if state != 'never started':
        endpoints.start(dict)
        eventually(lambda: all_connected(endpoints))
        write(endpoints, sinks, 1)
    if state == 'down':
        redis_server.kill()
        eventually(lambda: endpoints.states()['writer'] != 'connected')
    elif state == 'hanging':
        redis_server.freeze()
        write(endpoints, sinks, 2)
    begun = time.monotonic()
    endpoints.close()
    assert time.monotonic() - begun < 1.5
    endpoints.close()
    assert redis_threads() == []
    assert open_files() <= files
    if state == 'hanging':
        redis_server.thaw()


def test_a_bug_in_a_listener_is_told_with_its_traceback_and_does_not_end_the_duty(
    redis_server, db, redis_side_at, caplog
):
    class Broken(Recorder):
        def receive(self, arrivals):
            super().receive(arrivals)
            if arrivals[0].payload == b'bad':
                raise ZeroDivisionError('a bug')

    endpoints = redis_side_at(redis_server.url)
    heard = Broken()
    endpoints.want([request(ChannelSourceConfig('c'), heard, False, 100)])
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    db.publish('c', 'bad')
    eventually(lambda: heard.gaps == [None])
    db.publish('c', 'good')
    eventually(lambda: heard.payloads == [b'bad', b'good'])
    assert any(record.exc_info and 'a bug' in record.getMessage() for record in caplog.records)


class FakeTime:
    """Answers TIME as a server would, after so long."""

    def __init__(self, clock):
        self.offset = 100.0
        self.trip_s = 0.001
        self.clock = clock

    def call(self, *command):
        self.clock.now += self.trip_s
        said = self.clock.now - self.trip_s / 10 + self.offset
        return [b'%d' % int(said), b'%d' % int(said % 1 * 1e6)]


def test_of_several_measurements_of_the_clock_the_tightest_counts(monkeypatch):
    class Now:
        now = 1000.0

    monkeypatch.setattr(time, 'monotonic', lambda: Now.now)
    server, clock = FakeTime(Now), Clock()

    def assert_between(offset: float, uncertainty_s: float) -> None:
        assert clock.now() <= Now.now + offset <= clock.latest()
        assert clock.latest() - clock.now() <= uncertainty_s + 1e-6

    clock.measure(server)
    assert_between(100, 0.001)
    server.trip_s = 2.0
    clock.measure(server)
    assert_between(100, 0.001)
    server.trip_s, server.offset = 0.01, 50.0  # the server's clock was set
    clock.measure(server)
    assert_between(50, 0.01)


def test_a_slow_answer_makes_the_clock_uncertain_not_wrong(monkeypatch):
    class Now:
        now = 1000.0

    monkeypatch.setattr(time, 'monotonic', lambda: Now.now)
    server, clock = FakeTime(Now), Clock()
    server.trip_s = 2.0
    clock.measure(server)
    assert clock.now() <= Now.now + 100 <= clock.latest()
    assert abs(clock.uncertainty_s() - 2.0) < 1e-6


def test_commands_are_packed_as_the_protocol_says():
    assert b''.join(pack([('SET', 'ключ', b'\0\r\n', 'PX', 100), ('PING',)])) == (
        b'*5\r\n$3\r\nSET\r\n$8\r\n' + 'ключ'.encode() + b'\r\n$3\r\n\0\r\n\r\n'
        b'$2\r\nPX\r\n$3\r\n100\r\n*1\r\n$4\r\nPING\r\n'
    )


def test_a_large_value_is_sent_without_a_copy(redis_server):
    value = os.urandom(3 * LARGE_BYTES)
    assert any(piece is value for piece in pack([('SET', 'k', value), ('PING',)]))
    made = address(redis_server.url).connection()
    connection = Connection(made)
    connection.connect()
    assert connection.pipe([('SET', 'k', value), ('GET', 'k'), ('PING',)]) == [
        b'OK',
        value,
        b'PONG',
    ]
    made.disconnect()
