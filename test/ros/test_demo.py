# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The demo: its world, its processes, its display and, where ROS is, a whole run of it."""

from __future__ import annotations

import ast
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import msgpack
import pytest
from support import eventually

from redis_bridge import demo
from redis_bridge.demo import screen, show, steering
from redis_bridge.demo.fleet import MAPPING, free_domains, plain_environ, ros_environ
from redis_bridge.demo.monitor import Monitor, RobotView, Window
from redis_bridge.demo.processes import Child, stop
from redis_bridge.demo.verdict import judge
from redis_bridge.demo.world import (
    LINEAR_ACCELERATION,
    RADIUS,
    ROOM,
    STARTS,
    STEP_S,
    TIMEOUT_S,
    Base,
    Pillar,
    Pose,
    Room,
    move,
    scan,
)

HERE = Path(demo.__file__).parent
needs_ros = pytest.mark.skipif(find_spec('rclpy') is None, reason='needs rclpy')


# --- kinematics ----------------------------------------------------------------------------------


def test_without_turning_a_robot_moves_along_its_heading():
    pose = move(Pose(1.0, 2.0, math.pi / 6), 0.5, 0.0, 4.0)
    assert (pose.x, pose.y) == pytest.approx((1.0 + 2.0 * math.sqrt(0.75), 3.0))
    assert pose.heading == pytest.approx(math.pi / 6)


def test_on_the_spot_a_robot_only_turns():
    assert move(Pose(1.0, 2.0, 3.0), 0.0, 1.0, 1.0) == Pose(
        1.0, 2.0, pytest.approx(4.0 - 2 * math.pi)
    )


@pytest.mark.parametrize('turn', [math.pi / 2, -math.pi / 2, math.pi, 1e-6, 5.0])
def test_a_turning_robot_moves_on_a_circle_of_radius_v_over_w(turn):
    linear, seconds = 0.6, 2.0
    angular = turn / seconds
    radius = linear / angular
    pose = move(Pose(0.0, 0.0, 0.0), linear, angular, seconds)
    expected = (radius * math.sin(turn), radius * (1 - math.cos(turn)))
    assert (pose.x, pose.y) == pytest.approx(expected, abs=1e-9)


def test_one_long_step_ends_where_many_short_ones_do():
    long = short = Pose(0.3, -0.2, 1.0)
    long = move(long, 0.7, 1.3, 1.0)
    for _ in range(1000):
        short = move(short, 0.7, 1.3, 0.001)
    assert (short.x, short.y, short.heading) == pytest.approx((long.x, long.y, long.heading))


# --- the base ------------------------------------------------------------------------------------

HALL = Room(100.0, 100.0)


def test_a_base_reaches_the_commanded_speed_and_no_faster_than_it_can_accelerate():
    base = Base(HALL, Pose(0, 0, 0), 0.0)
    base.command(0.6, 0.0, 0.0)
    base.advance(0.2)
    assert base.linear == pytest.approx(0.2 * LINEAR_ACCELERATION)
    base.advance(0.5)
    assert base.linear == pytest.approx(0.6)
    assert base.pose.x == pytest.approx(0.6**2 / 2 / LINEAR_ACCELERATION + 0.1 * 0.6, abs=0.003)


def test_a_base_stops_by_itself_when_commands_fall_silent():
    base = Base(HALL, Pose(0, 0, 0), 0.0)
    base.command(0.5, 1.0, 0.0)
    base.advance(0.59)
    assert (base.linear, base.angular) == pytest.approx((0.5, 1.0))
    base.advance(2.0)
    assert (base.linear, base.angular) == (0.0, 0.0)
    stopped_at = base.pose
    base.advance(3.0)
    assert base.pose == stopped_at


def test_a_base_stops_in_time_even_when_it_is_simulated_late():
    late, punctual = (Base(HALL, Pose(0, 0, 0), 0.0) for _ in range(2))
    for base in (late, punctual):
        base.command(0.5, 0.3, 0.0)
    for tenth in range(1, 31):
        punctual.advance(tenth / 10)
    late.advance(3.0)
    one_step = 0.5 * STEP_S
    assert late.pose.x == pytest.approx(punctual.pose.x, abs=one_step)
    assert late.pose.y == pytest.approx(punctual.pose.y, abs=one_step)


def test_a_base_does_not_drive_faster_than_it_can():
    base = Base(HALL, Pose(0, 0, 0), 0.0)
    for tenth in range(50):
        base.command(50.0, -50.0, tenth / 10)
    assert (base.linear, base.angular) == (1.0, -2.0)


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_base_ignores_commands_that_are_not_finite(value):
    base = Base(HALL, Pose(0, 0, 0), 0.0)
    base.command(value, 0.0, 0.0)
    base.command(0.0, value, 0.0)
    base.advance(0.5)
    assert base.pose == Pose(0, 0, 0)


def test_a_base_is_stopped_by_a_wall_and_can_turn_there():
    base = Base(Room(4.0, 4.0), Pose(0, 0, 0), 0.0)
    for tenth in range(50):
        base.command(1.0, 0.0, tenth / 10)
    base.command(1.0, 1.0, 5.0)
    assert base.pose.x == pytest.approx(2.0 - RADIUS, abs=0.02)
    base.advance(5.4)
    assert base.pose.heading > 0.1


# --- the scanner ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('degrees', 'distance'),
    [(0, 3.0), (90, 3.0), (180, 5.0), (270, 1.0), (45, 3 * math.sqrt(2)), (-45, math.sqrt(2))],
)
def test_a_ray_ends_at_the_nearest_wall(degrees, distance):
    assert Room(8.0, 4.0).ray(1.0, -1.0, math.radians(degrees)) == pytest.approx(distance)


@pytest.mark.parametrize(
    ('y', 'distance'), [(0.0, 1.5), (0.3, 2.0 - 0.4), (0.499999, 2.0), (0.51, 5.0), (-0.51, 5.0)]
)
def test_a_ray_ends_at_a_pillar_that_it_hits(y, distance):
    room = Room(10.0, 10.0, (Pillar(2.0, 0.0, 0.5),))
    assert room.ray(0.0, y, 0.0) == pytest.approx(distance, abs=0.002)


def test_a_ray_does_not_see_a_pillar_behind_it():
    room = Room(10.0, 10.0, (Pillar(2.0, 0.0, 0.5),))
    assert room.ray(0.0, 0.0, math.pi) == pytest.approx(5.0)


def test_a_scan_turns_with_the_robot_and_is_infinite_beyond_its_reach():
    room = Room(8.0, 3.0)  # seen: back, right, ahead, left
    assert scan(room, Pose(3.0, 0.0, 0.0), beams=4) == pytest.approx([math.inf, 1.5, 1.0, 1.5])
    assert scan(room, Pose(3.0, 0.0, math.pi / 2), beams=4) == pytest.approx(
        [1.5, 1.0, 1.5, math.inf]
    )


def test_a_scan_says_minus_infinity_where_something_is_too_near():
    assert scan(Room(8.0, 2.0), Pose(0.0, 0.9, 0.0), beams=4)[3] == -math.inf


def test_the_robots_start_where_there_is_room_and_see_both_walls_and_nothing():
    for pose in STARTS.values():
        assert ROOM.is_free(pose.x, pose.y, RADIUS)
        ranges = scan(ROOM, pose)
        assert math.inf in ranges
        assert any(math.isfinite(distance) for distance in ranges)


# --- the steering scripts ------------------------------------------------------------------------


def odometry(pose, speed=0.0):
    return {
        'header': {'stamp': {'sec': int(time.time()), 'nanosec': 0}},
        'pose': {
            'pose': {
                'position': {'x': pose.x, 'y': pose.y, 'z': 0.0},
                'orientation': {
                    'x': 0.0,
                    'y': 0.0,
                    'z': math.sin(pose.heading / 2),
                    'w': math.cos(pose.heading / 2),
                },
            }
        },
        'twist': {'twist': {'linear': {'x': speed, 'y': 0.0, 'z': 0.0}}},
    }


def test_the_follower_closes_up_to_its_gap_from_wherever_it_starts():
    leader = Base(HALL, Pose(0, 0, 0.8), 0.0)
    behind = Base(HALL, Pose(-3.0, -2.0, math.pi), 0.0)
    gaps = []
    for step in range(400):
        now = step * steering.PERIOD_S
        leader.command(0.4, 0.3, now)
        behind.command(
            *steering.pursue(odometry(leader.pose, leader.linear), odometry(behind.pose)), now
        )
        gaps.append(math.dist((leader.pose.x, leader.pose.y), (behind.pose.x, behind.pose.y)))
    assert gaps[0] > 3
    assert all(abs(gap - steering.GAP_M) < 0.2 for gap in gaps[-100:])


def test_the_follower_waits_for_a_leader_that_stands():
    speeds = steering.pursue(odometry(Pose(0.5, 0, 0)), odometry(Pose(0, 0, 0)))
    assert speeds == pytest.approx((0.0, 0.0))


def test_the_patrol_keeps_clear_of_walls_and_pillars():
    for step in range(628):
        assert ROOM.is_free(*steering.point(step / 100), 2 * RADIUS)


def test_the_steering_script_imports_redis_and_the_standard_library_only():
    tree = ast.parse((HERE / 'steering.py').read_text())
    imported = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    ]
    assert set(imported) <= {*sys.stdlib_module_names, 'redis'}


# --- environments --------------------------------------------------------------------------------


def test_the_steering_script_is_started_without_the_ways_to_ros():
    environ = plain_environ(
        {
            'LD_LIBRARY_PATH': '/opt/ros/lib',
            '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1',
            'ROS_DOMAIN_ID': '7',
            'RMW_IMPLEMENTATION': 'rmw_x',
            'AMENT_PREFIX_PATH': '/opt/ros',
            'HOME': '/home/me',
        }
    )
    assert environ == {'HOME': '/home/me'}


def test_each_ros_graph_gets_a_domain_of_its_own_and_stays_on_the_machine():
    environ = ros_environ({'ROS_STATIC_PEERS': 'there', 'ROS_DOMAIN_ID': '0'}, 31)
    assert environ['ROS_DOMAIN_ID'] == '31'
    assert environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert 'ROS_STATIC_PEERS' not in environ


def test_domains_are_different_and_within_the_range_that_is_safe_on_linux():
    domains = free_domains(first=100)
    assert len(set(domains)) == 2
    assert all(1 <= domain <= 101 for domain in domains)


def test_the_mapping_of_the_demo_has_no_mistakes():
    loading = pytest.importorskip('redis_bridge.mapping.load')
    loaded = loading.load(MAPPING, robot='robot1', environ={})
    assert [route.topic for route in loaded.ros_to_redis] == ['/odom', '/scan', '/temperature']
    (command,) = loaded.redis_to_ros
    assert (command.source.name, command.max_age_ms) == ('robot1:cmd_vel', 500)
    assert command.stop.after_ms / 1000 < TIMEOUT_S  # the bridge stops it first


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


# --- what is seen and shown ----------------------------------------------------------------------


def test_rates_and_latencies_are_those_of_the_last_two_seconds():
    window = Window()
    for tick in range(100):
        window.append((tick / 20, 0.001 if tick < 60 else 0.004))
    assert window.flow(4.95) == (pytest.approx(20.0, abs=1), pytest.approx(4.0))
    assert window.flow(60.0) == (0.0, None)


def test_the_monitor_sees_in_redis_what_bridges_and_scripts_put_there(redis_server):
    pytest.importorskip('redis_bridge.payloads')
    with redis_server.client() as db:
        db.flushall()
        monitor = Monitor(db, ('robot1', 'robot2'))
        assert len(monitor.missing()) == 12
        route = {
            'route': '/odom',
            'state': 'open',
            'rate_hz': 20.0,
            'latency_ms': 0.4,
            'dropped': {'too_old': 2},
        }
        for robot in ('robot1', 'robot2'):
            db.set(f'{robot}:temperature', '21.5')
            db.set(f'{robot}:scan', msgpack.packb(SCAN))
            db.hset(f'redis_bridge:robot:{robot}', 'route:0', json.dumps(route))
        monitor.read(0.1)  # subscribed
        stamp = {'_meta': {'origin': 'x', 'seq': 1, 'stamp': time.time()}}
        for x in (0.0, 0.3):
            db.publish('robot1:odom', msgpack.packb(odometry(Pose(x, 0, 0), 0.3)))
            db.publish('robot2:odom', msgpack.packb(odometry(Pose(-1.0 - x, 0, 0))))
            for robot in ('robot1', 'robot2'):
                db.publish(f'{robot}:cmd_vel', json.dumps({'linear': {'x': 0.1}, **stamp}))
        for odd in ('{"linear": {"x": 0.1}}', 'forward!'):
            db.publish('robot1:cmd_vel', odd)  # without a stamp, and no JSON
        deadline = time.monotonic() + 10
        while monitor.missing() and time.monotonic() < deadline:
            monitor.read(0.1)
        monitor.close()
    assert monitor.missing() == []
    assert [gap for _, gap in monitor.gaps] == pytest.approx([1.0, 1.3, 1.6])
    one = monitor.views['robot1']
    assert (one.pose, one.speed, one.driven) == (Pose(0.3, 0.0, 0.0), 0.3, pytest.approx(0.3))
    assert (one.temperature, one.routes) == ('21.5', [route])
    assert one.hits == [pytest.approx((1.3, 0.0))]


SCAN = {'angle_min': 0.0, 'angle_increment': 1.0, 'ranges': [1.0, math.inf, math.inf]}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def views():
    seen = RobotView(pose=Pose(0.0, 0.0, 0.0), speed=0.4, temperature='22.1')
    seen.routes = [
        {
            'route': '/odom -> key robot1:odom',
            'state': 'waiting',
            'rate_hz': 20.0,
            'latency_ms': 0.4,
            'dropped': {'too_old': 2},
        },
    ]
    seen.hits = [(4.7, 0.0)]
    return {'robot1': seen, 'robot2': RobotView()}


def test_a_frame_takes_the_place_of_the_one_before():
    terminal = Terminal()
    with screen.Screen(terminal) as shown:
        shown.draw(['one', 'two'])
        shown.draw(['three'])
    text = terminal.getvalue()
    assert '\x1b[2A' in text  # up by two lines, and what is left of them is cleared
    assert text.endswith('three\x1b[K\n\x1b[J\x1b[?25h')


def test_without_a_terminal_there_are_no_control_characters():
    output = io.StringIO()
    with screen.Screen(output) as shown:
        shown.say(screen.line(views(), 1.25, 3.0))
    assert '\x1b' not in output.getvalue()
    assert re.search(
        r'^  3.0 s \| gap 1.25 m \| robot1 at 0.00   0.00, 0.40 m/s', output.getvalue()
    )
    assert 'dropped 2 too_old' in output.getvalue()


@pytest.mark.parametrize(('columns', 'rows'), [(80, 24), (120, 50), (80, 11)])
def test_a_frame_fits_the_terminal_and_has_a_map_where_there_is_room(columns, rows):
    lines = screen.frame(views(), 1.25, 3.0, 4711, (columns, rows))
    assert len(lines) < rows
    assert max(map(len, lines)) < columns
    map_lines = lines[: next(i for i, line in enumerate(lines) if 'cmd_vel in' in line)]
    assert any('1' in line for line in map_lines) == (rows > 20)
    assert {'robot1 dropped: 2 too_old', 'robot2 dropped: none'} <= {*lines}
    assert 'robot1: /odom -> key robot1:odom: waiting' in lines
    assert rows < 20 or lines[-1].endswith('redis-cli -p 4711   Ctrl-C ends it')
    assert any('key *:odom' in line and '20.0 Hz 0.4 ms' in line for line in lines)


def test_a_map_shrinks_to_leave_in_sight_what_stands_above_but_does_not_vanish_for_it():
    def height(rows, above):
        return len(screen.frame(views(), 1.25, 3.0, 4711, (120, rows + 1), above))

    assert height(50, 0) == height(50, 7) == 32
    assert height(30, 0) == height(37, 7) == 30
    assert height(24, 7) == 24


# --- the verdict ---------------------------------------------------------------------------------


def run_of(gap_at, driven=(8.0, 9.0), seconds=20.0, hz=40):
    gaps = [(100 + i / hz, gap_at(i / hz)) for i in range(int(seconds * hz))]
    return judge(gaps, gaps[0][1], driven, 100.0, 100.0 + seconds)


def test_a_robot_that_closed_up_and_stayed_has_followed():
    followed, text = run_of(lambda at: max(1.05, 3.5 - 0.5 * at))
    assert followed
    assert 'the gap was 3.50 m at the start and 1.05 to 1.05 m in the last 5.0 s' in text


@pytest.mark.parametrize(
    ('run', 'reason'),
    [
        (lambda: run_of(lambda at: 1.0 + (at > 19) * 0.5), 'the gap left 0.6 to 1.4 m'),
        (lambda: run_of(lambda at: 0.5), 'the gap left 0.6 to 1.4 m'),
        (lambda: run_of(lambda at: 1.0, driven=(1.0, 1.0)), 'robot1 hardly moved'),
        (lambda: run_of(lambda at: 1.0, driven=(8.0, 1.0)), 'robot2 drove less than half'),
        (lambda: run_of(lambda at: 1.0, hz=10), 'only 50 poses'),
        (lambda: judge([(100.0, 1.0)], 1.0, (8.0, 8.0), 100.0, 120.0), 'only 0 poses'),
    ],
)
def test_a_robot_that_did_anything_else_has_not_followed(run, reason):
    followed, text = run()
    assert not followed
    assert text.startswith('robot2 did not follow robot1: ') and reason in text


# --- the whole -----------------------------------------------------------------------------------


START = 'from redis_bridge.demo.show import main; raise SystemExit(main'


class Run:
    """A demo in a process of its own, its output in a file."""

    def __init__(self, folder, seconds):
        self.folder = folder
        self._output = folder / 'output'
        with self._output.open('wb') as output:
            self.process = subprocess.Popen(
                [sys.executable, '-c', f'{START}({seconds}))'],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=HERE.parents[1],
                env={**os.environ, 'TMPDIR': str(folder)},
            )  # fmt: skip

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

    def wait_until_it_runs(self):
        def running():
            assert self.process.poll() is None, self.output
            return ' s | gap ' in self.output

        eventually(running, seconds=60)

    def end(self, seconds=15):
        return self.process.wait(seconds)


@pytest.fixture
def run():
    runs = []
    # pytest's own folders are too deep for the socket paths of some servers.
    with tempfile.TemporaryDirectory() as folder:

        def start(seconds):
            runs.append(Run(Path(folder), seconds))
            return runs[-1]

        yield start
        for each in runs:
            each.process.kill()
            each.process.wait()


def nothing_is_left(run, children):
    eventually(lambda: not any(lives(pid) for pid in children.values()))
    return eventually(lambda: [path.name for path in run.folder.iterdir()] == ['output'])


@needs_ros
def test_robot2_follows_robot1_through_nothing_but_redis(run):
    one = run(12)
    one.wait_until_it_runs()
    children = one.children()
    assert len(children) == 6  # server, two robots, two bridges, the script
    maps = Path(f'/proc/{one.child("steering.py")}/maps').read_text()
    assert not re.search(r'rclpy|librcl|librmw', maps)
    assert re.search(r'rclpy', Path(f'/proc/{one.child("demo.robot robot1")}/maps').read_text())
    assert one.end(60) == 0, one.output
    assert 'robot2 followed robot1: ' in one.output
    assert 'Traceback' not in one.output
    assert nothing_is_left(one, children)


@needs_ros
@pytest.mark.parametrize(
    ('seconds', 'number', 'status'),
    [(None, signal.SIGINT, 0), (60, signal.SIGTERM, 128 + signal.SIGTERM)],
)
def test_a_signal_ends_the_demo_cleanly(run, seconds, number, status):
    one = run(seconds)
    one.wait_until_it_runs()
    children = one.children()
    one.process.send_signal(number)
    assert one.end() == status
    assert one.output.endswith(f'ended by {number.name}\n')
    assert 'Traceback' not in one.output
    assert nothing_is_left(one, children)


@needs_ros
@pytest.mark.parametrize(
    ('words', 'name'),
    [
        ('demo.robot robot2', 'robot2'),
        ('robot:=robot1', 'bridge of robot1'),
        ('-server ', 'the Redis server'),
    ],
)
def test_the_demo_says_which_process_died_and_ends(run, words, name):
    one = run(None)
    one.wait_until_it_runs()
    children = one.children()
    os.kill(one.child(words), signal.SIGKILL)
    assert one.end() == 1
    assert f'\n{name} was killed by SIGKILL' in one.output
    assert 'Traceback' not in one.output.partition(f'{name} was')[0]
    assert nothing_is_left(one, children)


@needs_ros
@pytest.mark.skipif(sys.platform != 'linux', reason='by prctl(2)')
def test_a_killed_demo_leaves_neither_processes_nor_files(run):
    one = run(None)
    one.wait_until_it_runs()
    children = one.children()
    one.process.kill()
    assert nothing_is_left(one, children)


def test_without_ros_the_demo_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(show, 'find_spec', lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="No module named 'rclpy'"):
        show.main(1.0)
