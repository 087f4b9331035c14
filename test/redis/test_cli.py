# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command `redis-bridge`, run as a process against a real server."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support import eventually

from redis_bridge import Client
from redis_bridge.cli import main
from redis_bridge.messages import cdr_write
from redis_bridge.messages.definition import definition_text, parse_definition, type_hash
from redis_bridge.payloads import CODECS
from redis_bridge.protocol import keys
from redis_bridge.protocol.fleet import RobotEvent
from redis_bridge.protocol.meta import Meta

ROOT = Path(main.__file__).resolve().parents[2]
CLI = 'redis_bridge.cli'
COMMAND = [sys.executable, '-m', CLI]
COMMANDS = (
    'run', 'check', 'demo', 'robots', 'status', 'get', 'watch', 'publish', 'queue',
)  # fmt: skip
TWIST = parse_definition(
    'demo_msgs/msg/Scan', 'float64 x\nfloat32[] ranges\nuint8[] data\nstring text\n'
)
SCALAR = parse_definition('std_msgs/msg/Float64', 'float64 data\n')
MAPPING = """\
version: 1
vars: {robot: '${ROBOT}'}
ros_to_redis:
  - {topic: /odom, type: nav_msgs/msg/Odometry, to: {key: '{robot}:odom'}}
"""


def environment(url=None, **more):
    env = {key: value for key, value in os.environ.items() if key not in ('REDIS_URL', 'ROBOT')}
    env['PYTHONPATH'] = os.pathsep.join([str(ROOT), env.get('PYTHONPATH', '')])
    return {**env, **({'REDIS_URL': url} if url else {}), **more}


class Shell:
    """Runs the command against one server."""

    def __init__(self, url):
        self.url = url
        self._started = []

    def __call__(self, *args, stdin='', **more):
        """Run to the end; return status, stdout, stderr."""
        done = subprocess.run(
            [*COMMAND, *args], input=stdin, capture_output=True, timeout=60, text=True,
            env=environment(self.url, **more),
        )  # fmt: skip
        assert 'Traceback' not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def start(self, *args, **options):
        process = subprocess.Popen(
            [*COMMAND, *args],
            **{
                'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True,
                'env': environment(self.url), **options,
            },
        )  # fmt: skip
        self._started.append(process)
        return process

    def close(self):
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def shell(redis_server):
    shell = Shell(redis_server.url)
    yield shell
    shell.close()


@pytest.fixture
def nowhere():
    return Shell('redis://127.0.0.1:1/0')


def describe(db, message, name, **kinds):
    db.hset(
        keys.type_key(message.name),
        mapping={
            'definition': definition_text(message),
            'type_hash': type_hash(message),
            'protocol': '1',
        },
    )
    db.hset(keys.meta_key(name), mapping={'type': message.name, 'robot': 'r', **kinds})


def is_watched(db, channel):
    return dict(db.pubsub_numsub(channel)).get(channel.encode())


# --- help and usage ----------------------------------------------------------------------------
def test_help_of_every_command_has_examples_and_exit_codes(shell):
    status, out, _ = shell('--help')
    assert status == 0
    assert all(re.search(rf'^  +{command}\b', out, re.M) for command in COMMANDS)
    for command in COMMANDS:
        status, out, _ = shell(command, '--help')
        assert status == 0
        assert f'redis-bridge {command}' in out.partition('examples:')[2]
        assert 'exit status:' in out
        assert max(map(len, out.splitlines())) <= 120


def test_help_and_check_need_neither_ros_nor_redis(tmp_path):
    (tmp_path / 'm.yaml').write_text(MAPPING)
    code = (
        'import sys\n'
        "for name in ('redis', 'rclpy'): sys.modules[name] = None\n"
        'from redis_bridge.cli import main\n'
        "assert main.main(['check', sys.argv[1], '--robot', 'robot1']) == 0\n"
        "main.main(['--help'])"
    )
    done = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path / 'm.yaml')],
        capture_output=True, text=True, timeout=60, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'robot1:odom' in done.stdout


@pytest.mark.parametrize(
    'args',
    [
        (),
        ('fly',),
        ('get',),
        ('get', 'a', 'b'),
        ('watch', 'a', '--count', '0'),
        ('watch', 'a', '--json', '--raw'),
        ('publish', 'a', '1', '--rate', '-1'),
        ('publish', 'a', '1', '--kind', 'hash'),
        ('publish', 'a', '1', '--lines'),
        ('publish', 'a', '-', '--lines', '--rate', '1'),
        ('check', 'x', '--distro', 'humble'),
        ('check', 'x', '--var', 'novalue'),
        ('get', 'a', '--ros-args'),
        ('--username', 'ann', 'check', 'a'),
        ('--username', 'ann', 'run', 'a'),
        ('--url', 'gopher://x', 'get', 'a'),
        ('--url', 'redis://:sesame@localhost', 'get', 'a'),
        ('get', 'a', '--url', 'redis://localhost?password=sesame'),
        ('run', 'x.yaml', '--redis-url', 'redis://ann:sesame@localhost'),
    ],
)
def test_a_wrong_command_line_is_status_2(nowhere, args):
    status, out, err = nowhere(*args)
    assert (status, out) == (2, '')
    assert 'sesame' not in err.replace("'redis://ann:sesame@localhost'", '')
    assert 'redis-bridge' in err


def test_a_password_on_the_command_line_is_rejected_with_advice(nowhere):
    _, _, err = nowhere('get', 'a', '--url', 'redis://:sesame@localhost')
    assert 'REDIS_URL' in err
    assert '--password-file' in err
    assert len(err.splitlines()) == 1


# --- check and run -----------------------------------------------------------------------------
@pytest.fixture
def mapping(tmp_path):
    path = tmp_path / 'm.yaml'
    path.write_text(MAPPING)
    return path


def test_check_prints_the_plan(nowhere, mapping):
    status, out, _ = nowhere('check', str(mapping), '--robot', 'robot1')
    assert status == 0
    assert '/odom' in out
    assert 'robot1:odom' in out
    assert 'redis_bridge:robot:robot1' in out
    assert nowhere('check', str(mapping), ROBOT='robot2')[1].count('robot2:odom')


def test_check_takes_variables(nowhere, tmp_path):
    path = tmp_path / 'm.yaml'
    path.write_text(MAPPING.replace('{robot:', "{floor: '1', robot:").replace(':odom', ':{floor}'))
    assert 'robot1:1' in nowhere('check', str(path), '--robot', 'robot1')[1]
    assert 'robot1:7' in nowhere('check', str(path), '--robot', 'robot1', '--var', 'floor=7')[1]


def test_check_prints_all_errors_with_their_lines(nowhere, tmp_path):
    path = tmp_path / 'm.yaml'
    path.write_text(MAPPING.replace('topic', 'topik').replace('version: 1', 'version: 9'))
    status, out, err = nowhere('check', str(path), '--robot', 'robot1')
    assert (status, out) == (1, '')
    lines = err.splitlines()
    assert len(lines) >= 2
    assert any(line.startswith(f'{path}:1: version: ') for line in lines)
    assert any(line.startswith(f'{path}:4: ros_to_redis[0]') for line in lines)


def test_check_of_a_missing_file_is_status_1(nowhere):
    status, _, err = nowhere('check', '/nowhere.yaml')
    assert status == 1
    assert '/nowhere.yaml' in err


def test_check_rejects_forwarding_loops(nowhere, tmp_path):
    path = tmp_path / 'm.yaml'
    path.write_text(
        textwrap.dedent("""\
        version: 1
        vars: {robot: r}
        defaults: {encoding: text}
        ros_to_redis:
          - {topic: /say, type: std_msgs/msg/String, to: {channel: words}}
        redis_to_ros:
          - {channel: words, topic: /say, type: std_msgs/msg/String}
        """)
    )
    status, _, err = nowhere('check', str(path))
    assert status == 1
    assert 'error: ' in err


@pytest.mark.parametrize('command', [('run', 'm.yaml'), ('demo', '--seconds', '1')])
def test_without_ros_run_and_demo_say_how_to_install_it(command):
    code = (
        'import sys\n'
        'sys.modules["rclpy"] = None\n'
        'from redis_bridge.cli import main\n'
        f'sys.exit(main.main({list(command)!r}))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, env=environment()
    )
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert 'pip install' in done.stderr
    assert 'rosdep' in done.stderr


def test_run_hands_the_node_what_it_needs(monkeypatch):
    from redis_bridge import node

    given = []
    monkeypatch.setattr(node, 'main', lambda args: given.append(args) or 0)
    args = ['run', 'my map.yaml', '--robot', '7', '--redis-url', 'redis://h:1/2']
    assert main.main([*args, '--ros-args', '-r', '__ns:=/a']) == 0
    assert given == [
        [
            '--ros-args',
            '-p', 'mapping:="my map.yaml"',
            '-p', 'robot:="7"',
            '-p', 'redis_url:="redis://h:1/2"',
            '-r', '__ns:=/a',
        ]
    ]  # fmt: skip


# --- get ---------------------------------------------------------------------------------------
def test_get_prints_values_for_people_and_for_machines(shell, db):
    describe(db, SCALAR, 'Temperature', key='text')
    db.set('Temperature', '21.5')
    assert shell('get', 'Temperature') == (0, '21.5\n', '')
    describe(db, TWIST, 'scan', key='cdr')
    value = {'x': 1.5, 'ranges': [0.5, float('inf')], 'data': b'\x00\xff', 'text': 'Grüße'}
    db.set('scan', cdr_write.writer(TWIST)(value))
    status, out, err = shell('get', 'scan', '--json')
    assert (status, err) == (0, '')
    assert out == '{"x":1.5,"ranges":[0.5,"Infinity"],"data":"AP8=","text":"Grüße"}\n'
    status, out, _ = shell('get', 'scan')
    assert (status, out.splitlines()[:2]) == (0, ['x: 1.5', 'ranges: [0.5, .inf]'])
    db.set('word', 'hello: world')
    assert shell('get', 'word') == (0, 'hello: world\n', '')
    assert shell('get', 'word', '--json') == (0, '"hello: world"\n', '')
    db.hset('h', mapping={'a': '1'})
    assert shell('get', 'h') == (0, "{a: '1'}\n", '')


def test_get_raw_writes_the_payload_and_nothing_else(shell, db, redis_server):
    db.set('raw', b'\x00\xff\n')
    done = subprocess.run(
        [*COMMAND, 'get', 'raw', '--raw'], capture_output=True, timeout=60,
        env=environment(redis_server.url),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b'\x00\xff\n')


def test_get_says_by_its_status_what_went_wrong(shell, nowhere, db):
    status, out, err = shell('get', 'nothing')
    assert (status, out) == (4, '')
    assert err == "redis-bridge: no key, hash or stream named 'nothing' is known\n"
    status, _, err = nowhere('get', 'nothing')
    assert status == 3
    assert re.fullmatch(r'redis-bridge: Redis at 127\.0\.0\.1:1: .*refused.*\n', err)
    db.zadd('ranks', {'a': 1})
    assert shell('get', 'ranks')[0] == 1


def test_the_url_is_taken_from_the_option_before_the_environment(shell, nowhere, db):
    db.set('k', 'x')
    url = shell.url
    assert nowhere('--url', url, 'get', 'k')[:2] == (0, 'x\n')
    assert nowhere('get', 'k', '--url', url)[:2] == (0, 'x\n')


def test_a_password_file_is_used(shell, nowhere, db, tmp_path):
    db.execute_command('ACL', 'SETUSER', 'ann', 'on', '>sesame', '~*', '&*', '+@all')
    db.set('k', 'x')
    path = tmp_path / 'password'
    path.write_text('sesame\n')
    assert shell('get', 'k', '--username', 'ann', '--password-file', str(path))[:2] == (0, 'x\n')
    path.write_text('other')
    status, _, err = shell('get', 'k', '--username', 'ann', '--password-file', str(path))
    assert status == 3
    assert 'other' not in err


# --- watch -------------------------------------------------------------------------------------
def test_watch_prints_a_line_a_message_and_ends_after_its_count(shell, db):
    describe(db, TWIST, 'scan', channel='msgpack')
    encode = CODECS['msgpack'].encoder(TWIST)
    cdr = cdr_write.writer(TWIST)({'ranges': [float('nan')]})
    process = shell.start('watch', 'scan', '--json', '--count', '2')
    eventually(lambda: is_watched(db, 'scan'))
    for seq in (5, 6, 7):
        db.publish('scan', encode(cdr, Meta('r/1', seq, 12.5)))
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, '')
    first, second = map(json.loads, out.splitlines())
    assert first['value'] == {'x': 0.0, 'ranges': ['NaN'], 'data': '', 'text': ''}
    assert first['meta'] == {'origin': 'r/1', 'seq': 5, 'stamp': 12.5}
    assert (first['name'], first['kind']) == ('scan', 'channel')
    assert second['time'] >= first['time'] > 1e9


def test_watch_prints_time_name_and_value(shell, db):
    db.set('k', 'Grüße')
    status, out, _ = shell('watch', 'k', '--count', '1')
    assert status == 0
    assert re.fullmatch(r'\d\d:\d\d:\d\d\.\d{3} k "Grüße"\n', out)


def test_watch_raw_prints_payloads(shell, db):
    db.set('k', '{"a": 1}')
    assert shell('watch', 'k', '--raw', '--count', '1')[:2] == (0, '{"a": 1}\n')


def test_watch_says_when_a_key_is_gone(shell, db):
    db.set('k', 'x')
    process = shell.start('watch', 'k', '--count', '2')
    assert process.stdout.readline().endswith(' k "x"\n')
    db.delete('k')
    assert process.stdout.readline().endswith(' k deleted\n')
    assert process.wait(10) == 0


def test_watch_flushes_each_line_and_ends_by_ctrl_c_silently(shell, db):
    process = shell.start('watch', 'c')
    eventually(lambda: is_watched(db, 'c'))
    db.publish('c', 'hello')
    assert process.stdout.readline().endswith(' c "hello"\n')
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == ('', '')
    assert process.returncode == 130


def test_watch_ends_quietly_when_its_reader_has_enough(shell, db, redis_server):
    pipe = f'{sys.executable} -m {CLI} watch c | head -n 1; echo ${{PIPESTATUS[0]}}'
    process = subprocess.Popen(
        ['bash', '-c', pipe], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(redis_server.url),
    )  # fmt: skip
    try:
        eventually(lambda: is_watched(db, 'c'))

        def is_done():
            db.publish('c', 'x')
            return process.poll() is not None

        eventually(is_done, every=0.05)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
    assert err == ''
    assert out.splitlines()[-1] == '0'


@pytest.mark.parametrize('args', ['--help', 'get k', 'status robot9', 'watch k --count 1'])
def test_a_reader_that_is_gone_is_no_error(shell, db, redis_server, args):
    db.set('k', 'x')
    pipe = f'{sys.executable} -m redis_bridge.cli {args} 2>/dev/stdout | true'
    done = subprocess.run(
        ['bash', '-c', f'{pipe}; echo ${{PIPESTATUS[0]}}'],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(redis_server.url),
    )
    assert done.stdout.strip() in ('0', '4')
    assert done.stderr == ''


def test_watch_names_the_kind_if_a_name_has_several(shell, db):
    describe(db, SCALAR, 'both', channel='text', key='text')
    db.set('both', '1.5')
    _, out, _ = shell('watch', 'both', '--count', '1')
    assert out.endswith(' both (key) 1.5\n')


def test_watch_reports_a_lost_connection_on_stderr_and_goes_on(shell, db, redis_server):
    db.set('k', 'before')
    process = shell.start('watch', 'k')
    assert process.stdout.readline().endswith(' k "before"\n')
    redis_server.kill()
    assert process.stderr.readline().startswith('redis-bridge: no connection to Redis: ')
    redis_server.restart()
    assert any(line.endswith('connected to Redis again\n') for line in process.stderr)
    assert process.stdout.readline().endswith(' k deleted\n')
    db.set('k', 'after')
    assert process.stdout.readline().endswith(' k "after"\n')


def test_watch_without_a_server_is_status_3(nowhere):
    assert nowhere('watch', 'x')[0] == 3


def test_a_terminal_gets_lines_of_its_width_and_no_control_characters(shell, db):
    db.set('long', 'x' * 500)
    db.set('evil', 'a\x1b[31mb')
    lines = []
    for args in (('watch', 'long', '--count', '1'), ('get', 'evil')):
        main, terminal = pty.openpty()
        process = shell.start(*args, stdout=terminal, stderr=terminal)
        os.close(terminal)
        read = b''
        while True:
            try:
                some = os.read(main, 4096)
            except OSError:  # how Linux tells that the other end is closed
                break
            if not some:
                break
            read += some
        os.close(main)
        assert process.wait(10) == 0
        lines.append(read.decode().strip())
    assert len(lines[0]) == 80
    assert lines[0].endswith('…')
    assert lines[1] == r'a\x1b[31mb'


# --- publish -----------------------------------------------------------------------------------
def test_publish_sends_yaml_in_the_encoding_that_is_read(shell, db):
    describe(db, TWIST, 'in', from_key='msgpack')
    assert shell('publish', 'in', '{x: 1e-3, text: on}') == (0, '', '')
    value, meta = CODECS['msgpack'].decoder(TWIST)(db.get('in'))
    assert value == {'x': 1e-3, 'text': 'on'}
    assert meta.origin.startswith('client/')


def test_publish_reads_its_value_from_stdin(shell, db):
    assert shell('publish', 'k', '-', '--kind', 'key', stdin='{"a": [1]}\n')[0] == 0
    assert json.loads(db.get('k'))['a'] == [1]
    lines = '{"data": 1}\n\n{"data": 2}\n'
    assert shell('publish', 's', '-', '--kind', 'stream', '--lines', stdin=lines)[0] == 0
    assert [json.loads(f[b'data'])['data'] for _, f in db.xrange('s')] == [1, 2]


def test_publish_sends_text_unchanged(shell, db):
    args = ('publish', 'word', 'hello: [world', '--kind', 'key', '--encoding', 'text')
    assert shell(*args) == (0, '', '')
    assert db.get('word') == b'hello: [world'
    describe(db, SCALAR, 'learning_rate', from_key='text')
    assert shell('publish', 'learning_rate', '0.001')[0] == 0
    assert db.get('learning_rate') == b'0.001'


def test_publish_says_where_a_value_is_wrong(shell, db):
    describe(db, TWIST, 'in', from_key='json')
    status, out, err = shell('publish', 'in', '{x: fast}')
    assert (status, out) == (1, '')
    assert err.startswith('redis-bridge: x: ')
    assert shell('publish', 'in', '{y: 1}')[0] == 1
    assert shell('publish', 'in', '{x: [')[0] == 1
    assert shell('publish', 'in', '{x: 1, x: 2}')[0] == 1
    assert not db.exists('in')


def test_publish_says_when_there_are_no_subscribers(shell):
    status, out, err = shell('publish', 'void', '{a: 1}')
    assert (status, out) == (0, '')
    assert 'channel void has no subscribers' in err


def test_publish_repeats_at_a_rate(shell, db):
    args = ('publish', 's', '{a: 1}', '--kind', 'stream', '--rate', '50', '--count', '5')
    assert shell(*args)[0] == 0
    entries = [fields for _, fields in db.xrange('s')]
    assert [entry[b'seq'] for entry in entries] == [b'1', b'2', b'3', b'4', b'5']
    stamps = [float(entry[b'stamp']) for entry in entries]
    assert 0.07 <= stamps[-1] - stamps[0] <= 1.0


def test_publish_at_a_rate_ends_by_ctrl_c(shell, db):
    process = shell.start('publish', 's', '{a: 1}', '--kind', 'stream', '--rate', '100')
    eventually(lambda: db.xlen('s') > 2)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == ('', '')
    assert process.returncode == 130


def test_watch_and_publish_compose(shell, db, redis_server):
    db.set('from', '{"data": 4}')
    pipe = (
        f'{sys.executable} -m redis_bridge.cli watch from --raw --count 1 | '
        f'{sys.executable} -m redis_bridge.cli publish to - --lines --kind key'
    )
    subprocess.run(['bash', '-c', pipe], check=True, timeout=60, env=environment(redis_server.url))
    assert json.loads(db.get('to'))['data'] == 4


# --- status ------------------------------------------------------------------------------------
@pytest.fixture
def robot(db):
    seconds, _ = db.time()
    route = {
        'route': '/odom -> key robot1:odom', 'direction': 'ros_to_redis', 'state': 'open',
        'carried': 1203, 'dropped': {'over_rate': 33}, 'rate_hz': 20.04, 'latency_ms': 0.812,
    }  # fmt: skip
    db.hset(
        keys.robot_key('robot1'),
        mapping={
            'boot': '3f2a', 'protocol': '1', 'host': 'pi4', 'pid': '77',
            'since': str(seconds - 3700), 'stamp': str(seconds - 1),
            'state': '{"writer": "connected", "keys": "connecting: no route"}',
            'route:0': json.dumps(route), 'route:1': '{"route": "/x -> channel x"}',
        },
    )  # fmt: skip
    return route


def test_status_shows_robots_and_routes(shell, robot):
    status, out, err = shell('status')
    assert (status, err) == (0, '')
    assert re.search(r'^robot1, seen \d\.\d s ago, up 1 h 1 min, host pi4', out)
    assert 'keys: connecting: no route' in out
    row = next(line for line in out.splitlines() if '/odom' in line)
    assert row.split('  ')[1] == '/odom -> key robot1:odom'
    for cell in ('open', '1203', '20.0 Hz', '0.8 ms', 'over_rate 33'):
        assert cell in row
    assert '/x -> channel x' in out
    assert shell('status', 'robot1')[1].startswith('robot1, ')


def test_status_as_json(shell, robot):
    found = json.loads(shell('status', '--json')[1])
    assert [each['name'] for each in found] == ['robot1']
    assert found[0]['routes'][0] == robot
    one = json.loads(shell('status', 'robot1', '--json')[1])
    assert (one['name'], one['boot'], one['protocol']) == ('robot1', '3f2a', 1)
    assert one['state']['writer'] == 'connected'


def test_a_foreign_value_hides_no_robot(shell, robot, db):
    db.set(keys.robot_key('foo'), 'foreign')
    db.rpush(keys.robot_key('list'), 'foreign')
    db.hset(b'redis_bridge:robot:\xff', 'boot', 'x')
    strange = {'since': 'NaN', 'stamp': '9' * 400, 'pid': '[]', 'route:x': '5', 'state': '[1]'}
    db.hset(keys.robot_key('strange'), mapping=strange)
    status, out, err = shell('status')
    assert status == 0
    for name in ('robot1', 'strange', r'\xff'):
        assert f'\n{name}, ' in f'\n{out}'
    assert err.splitlines() == [
        f'redis-bridge: {name}: this is no robot: the stored value is no hash'
        for name in ('foo', 'list')
    ]
    found = json.loads(shell('status', '--json')[1])
    assert [each['name'] for each in found] == ['robot1', 'strange', r'\xff']
    status, out, err = shell('status', 'foo')
    assert (status, out) == (3, '')
    assert err == 'redis-bridge: foo: this is no robot: the stored value is no hash\n'


def test_status_of_nobody(shell):
    status, out, err = shell('status')
    assert (status, out) == (0, '')
    assert 'no robot' in err
    assert shell('status', '--json')[:2] == (0, '[]\n')
    assert shell('status', 'robot9')[0] == 4


# --- queue -------------------------------------------------------------------------------------
@pytest.fixture
def tasks(redis_server):
    """Give a queue with a dead task, a claimed one and a waiting one."""
    with Client(redis_server.url, origin='me') as client:
        queue = client.queue('tasks')
        queue.put({'n': 0})
        for _ in range(3):
            queue.fail(next(queue.claim(0)), 'the shelf is empty')
        queue.put({'n': 1})
        queue.put({'n': 2})
        next(queue.claim(0))
        yield queue


def test_queue_shows_what_waits_is_claimed_and_is_dead(shell, tasks):
    status, out, err = shell('queue', 'tasks')
    assert (status, err) == (0, '')
    first, *lines = out.splitlines()
    assert first == 'tasks: 1 waiting, 1 claimed, 1 dead'
    assert re.fullmatch(r'  CLAIMED +TRY  SINCE  BY', lines[0])
    assert re.fullmatch(r'  \d+-0 +1  \d s    me@\S+/\d+-\w+', lines[1])
    assert re.fullmatch(r'  \d+-0 +3  the shelf is empty  \{"n":0\}', lines[3])


def test_queue_shows_a_long_reason_as_one_short_line(shell, tasks):
    (dead,) = tasks.status().dead
    tasks.requeue(dead.id)
    for _ in range(3):
        tasks.fail(next(tasks.claim(0)), 'Traceback:\n  File "x.py"\n' + 'x' * 500 + '\nthe end')
    _, out, _ = shell('queue', 'tasks')
    (line,) = [line for line in out.splitlines() if 'Traceback' in line]
    assert len(line) < 120
    assert re.search(r'Traceback: File "x.py" x+…x+ the end  \{"n":\d\}$', line)


def test_queue_as_json(shell, tasks):
    status, out, _ = shell('queue', 'tasks', '--json')
    assert status == 0
    said = json.loads(out)
    assert (said['name'], said['waiting'], said['dead_total']) == ('tasks', 1, 1)
    assert said['claimed'][0]['tries'] == 1
    assert said['dead'][0]['reason'] == 'the shelf is empty'
    assert said['dead'][0]['value'] == {'n': 0}


@pytest.mark.parametrize('which', ['all', 'id'])
def test_queue_puts_dead_tasks_back(shell, tasks, which):
    (dead,) = tasks.status().dead
    status, out, _ = shell('queue', 'tasks', '--requeue', dead.id if which == 'id' else 'all')
    assert status == 0
    assert re.fullmatch(rf'{dead.id} is task \d+-\d+ now\n', out)
    assert (tasks.status().waiting, tasks.status().dead_total) == (2, 0)


def test_queue_says_what_it_cannot_find(shell, db, tasks):
    assert shell('queue', 'tasks', '--requeue', '1-1') == (
        4, '', "redis-bridge: queue 'tasks' has no dead task '1-1'\n",
    )  # fmt: skip
    status, _, err = shell('queue', 'tasks', '--requeue', 'x')
    assert (status, 'Invalid stream ID' in err) == (3, True)
    assert shell('queue', 'nothing')[1] == 'nothing: 0 waiting, 0 claimed, 0 dead\n'
    db.set('key', 'x')
    assert shell('queue', 'key')[0] == 1


# --- robots ------------------------------------------------------------------------------------
@pytest.fixture
def fleet(db, robot):
    """Leave the roster of a robot that is online, one that was lost, one that left."""
    now = db.time()[0]
    shadow = {'boot': '99', 'host': 'pi4', 'state': '{}', 'route:0': '{"state": "closed: held"}'}
    db.hset(keys.robot_key('robot1/99'), mapping=shadow)
    events = [
        RobotEvent('online', 'robot1', 'pi4', '3f2a', now - 120),
        RobotEvent('lost', 'robot2', 'pi5', '4a', now - 60),
        RobotEvent('offline', 'robot3', 'pi6', '5b', now - 2 * 86400),
        RobotEvent('online', 'robot4', 'pi7', '6c', now - 600),  # and nobody reports its loss
    ]
    db.hset(keys.FLEET, mapping={event.robot: event.to_json() for event in events})
    db.zadd(keys.FLEET_DUE, {'robot1': now + 60, 'robot4': now - 30})
    names = {'robot1:battery': ['key'], 'robot1:odom': ['key'], 'robot1:cmd_vel': ['from_channel']}
    db.hset(keys.described_key('robot1'), 'names', json.dumps(names))
    battery = {'key': 'json', 'type': 'sensor_msgs/msg/BatteryState'}
    db.hset(keys.meta_key('robot1:battery'), mapping=battery)
    db.hset(keys.meta_key('robot1:odom'), mapping={'key': 'json', 'type': 'nav_msgs/msg/Odometry'})
    db.set('robot1:battery', '{"percentage": 0.754}')
    return events


def test_robots_are_listed_one_per_line(shell, fleet):
    status, out, err = shell('robots')
    assert (status, err) == (0, '')
    head, *rows = out.splitlines()
    assert head.split() == [
        'ROBOT', 'STATE', 'SINCE', 'HOST', 'ROUTES', 'RATE', 'DROPPED', 'BATTERY', 'CONNECTION',
    ]  # fmt: skip
    assert [row.split()[:2] for row in rows] == [
        ['robot1', 'online'], ['robot1/99', 'closed'], ['robot2', 'lost'], ['robot4', 'lost'],
    ]  # fmt: skip
    cells = re.split('  +', rows[0])
    assert cells[3:] == ['pi4', '1/2', '20.0 Hz', '33', '75%', 'keys: connecting: no route']
    assert cells[2].startswith('2 min')
    assert re.split('  +', rows[2])[2].startswith('1 min')


def test_robots_as_json(shell, fleet):
    found = {each['name']: each for each in json.loads(shell('robots', '--json')[1])}
    assert [name for name, each in found.items() if each['state'] == 'online'] == ['robot1']
    assert found['robot1'] == {
        'name': 'robot1', 'state': 'online', 'since': fleet[0].stamp, 'host': 'pi4',
        'boot': '3f2a', 'routes': 2, 'routes_open': 1, 'rate_hz': 20.04, 'dropped': 33,
        'battery': 0.754, 'connection': 'keys: connecting: no route',
    }  # fmt: skip
    assert found['robot2'] == {
        'name': 'robot2', 'state': 'lost', 'since': fleet[1].stamp, 'host': 'pi5', 'boot': '4a',
    }  # fmt: skip
    assert found['robot4']['since'] == fleet[3].stamp + 570  # when its time was over


def test_robots_of_nobody(shell):
    status, out, err = shell('robots')
    assert (status, out) == (0, '')
    assert 'no robot' in err
    assert shell('robots', '--json')[:2] == (0, '[]\n')


def test_a_foreign_value_hides_no_line(shell, robot, db):
    db.set(keys.robot_key('foo'), 'foreign')
    strange = {'since': 'NaN', 'stamp': '9' * 400, 'pid': '[]', 'route:x': '5', 'state': '[1]'}
    db.hset(keys.robot_key('strange'), mapping=strange)
    db.hset(keys.FLEET, mapping={'a': '{}', 'b': '[' * 9999, 'c': '\xff'})
    status, out, err = shell('robots')
    assert status == 0
    assert [row.split()[0] for row in out.splitlines()[1:]] == ['robot1', 'strange']
    assert 'foo: this is no robot' in err


def test_robots_are_watched(shell, fleet, db):
    watch = shell.start('robots', '--watch', '--json')
    seen = [json.loads(watch.stdout.readline()) for _ in range(2)]
    assert [event['robot'] for event in seen] == ['robot1', 'robot2']
    back = RobotEvent('online', 'robot2', 'pi5', '5a', fleet[1].stamp + 1)
    eventually(lambda: db.publish(keys.FLEET, back.to_json()))
    assert json.loads(watch.stdout.readline()) == back._asdict()
    watch.send_signal(signal.SIGINT)
    assert watch.wait(10) == 130
    people = shell.start('robots', '--watch')
    people.stdout.readline()
    line = people.stdout.readline()
    assert re.fullmatch(r'\d\d:\d\d:\d\d\.\d{3} robot2 lost \(host pi5, boot 4a\)\n', line)


def test_robots_without_a_server_is_status_3(nowhere):
    assert nowhere('robots')[0] == 3
    assert nowhere('robots', '--watch')[0] == 3
