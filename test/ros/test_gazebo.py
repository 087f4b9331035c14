# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The demo's nodes for Gazebo, and the whole demo with a stand-in for Gazebo and ros_gz_bridge."""

from __future__ import annotations

import math
import os
import signal
import sys
from pathlib import Path

import pytest
from support import eventually

pytest.importorskip('rclpy')

import gazebo_stand_in
from geometry_msgs.msg import Twist
from graph import DOMAIN, Graph
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan
from std_msgs.msg import String

from redis_bridge import Client
from redis_bridge.demo import gazebo
from redis_bridge.demo.coordinator import LOG, QUEUE, RETURN_AFTER_MS
from redis_bridge.demo.fleet import ros_environ
from redis_bridge.demo.gazebo_robot import Base
from redis_bridge.demo.processes import Child, stop
from redis_bridge.demo.warehouse import PLACES, robot_names

ROOT = Path(__file__).resolve().parents[2]
LEASE = 'redis_bridge/lease/corridor'


def odometry(seconds, x=0.0, y=0.0, heading=0.0, linear=0.0):
    message = Odometry()
    message.header.stamp.sec = int(seconds)
    message.header.stamp.nanosec = round(seconds % 1 * 1e9)
    message.pose.pose.position.x, message.pose.pose.position.y = x, y
    message.pose.pose.orientation.z = math.sin(heading / 2)
    message.pose.pose.orientation.w = math.cos(heading / 2)
    message.twist.twist.linear.x = linear
    return message


def scan(seconds, *ranges):
    message = LaserScan(range_min=0.21, range_max=7.0, ranges=ranges)
    message.header.stamp.sec = int(seconds)
    message.header.stamp.nanosec = round(seconds % 1 * 1e9)
    return message


@pytest.fixture
def base():
    with Graph() as graph:
        yield Base(graph.node)


def test_an_odometry_becomes_a_state(base):
    base.take_odometry(odometry(1.25, 2.0, -1.0, 0.5, linear=0.75))
    (state,) = base.receive()
    assert state['time'] == 1.25
    assert state['pose'] == pytest.approx((2.0, -1.0, 0.5))
    assert (state['linear'], state['box']) == (0.75, None)
    assert 'scan' not in state
    assert base.receive() == []


def test_a_scan_comes_with_the_pose_at_which_it_was_made(base):
    base.take_odometry(odometry(1.00, heading=0.0))
    base.take_odometry(odometry(1.05, heading=0.1))
    base.take_scan(scan(1.00, 1.0))  # late, as rendering takes its time
    base.take_odometry(odometry(1.10, heading=0.2))
    states = base.receive()
    assert ['scan' in state for state in states] == [False, False, True]
    assert states[2]['scan_pose'].heading == pytest.approx(0.0)
    base.take_odometry(odometry(1.15))
    assert 'scan' not in base.receive()[0]  # once


def test_a_scan_that_is_newer_than_all_poses_waits_for_one(base):
    base.take_scan(scan(1.08, 1.0))
    base.take_odometry(odometry(1.05))
    base.take_odometry(odometry(1.10))
    assert ['scan' in state for state in base.receive()] == [False, True]


def test_what_the_lidar_cannot_see_is_no_obstacle(base):
    base.take_scan(scan(1.0, 0.2, 0.25, 6.9, 7.5, math.inf, -math.inf, math.nan))
    base.take_odometry(odometry(1.0))
    seen = [far for far in base.receive()[0]['scan'] if math.isfinite(far)]
    assert seen == pytest.approx([0.25, 6.9])


def test_a_box_is_known_until_it_is_put_down(base):
    for data, box in (('P1', 'P1'), ('', None)):
        base.take_box(String(data=data))
        base.take_odometry(odometry(1.0))
        assert base.receive()[0]['box'] == box


# --- the referee ---------------------------------------------------------------------------------


class Program:
    """The referee as a process, and what it says on its topics."""

    def __init__(self, graph):
        self.graph = graph
        self.odometry = graph.node.create_publisher(Odometry, '/robot1/odom', 10)
        self.commands = graph.node.create_publisher(Twist, '/robot1/cmd_vel', 10)
        self.heard = graph.collect(Twist, '/robot1/cmd_vel')
        self.boxes = graph.collect(String, '/robot1/box')
        graph.start()
        self.child = Child(
            'the referee',
            [sys.executable, '-m', 'redis_bridge.demo.gazebo_referee', '1'],
            ros_environ(os.environ, DOMAIN),
        )
        eventually(lambda: self.commands.get_subscription_count() == 2, 20)
        eventually(lambda: self.odometry.get_subscription_count() == 1, 20)

    def close(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait_for_end(10.0)
        return '\n'.join(self.child.last_lines())


@pytest.fixture
def referee():
    with Graph() as graph:
        program = Program(graph)
        yield program
        program.close()


def test_a_robot_whose_commands_have_ended_is_stopped_once(referee):
    referee.odometry.publish(odometry(1.0))
    eventually(lambda: referee.boxes)
    drive = Twist()
    drive.linear.x = 1.0
    referee.commands.publish(drive)
    eventually(lambda: referee.heard)
    # One after the other, each when the one before has arrived.
    for step in range(1, 30):
        seen = len(referee.boxes)
        referee.odometry.publish(odometry(1.0 + step * 0.05, linear=1.0))
        eventually(lambda seen=seen: len(referee.boxes) > seen)
    eventually(lambda: len(referee.heard) == 2)
    assert referee.heard == [drive, Twist()]
    text = referee.close()
    assert text.count('robot1 gets no commands any more, and is stopped') == 1


def test_the_referee_reports_a_robot_in_a_wall(referee):
    x = PLACES['D3'].x + 0.7
    for step in range(3):
        referee.odometry.publish(odometry(1.0 + step * 0.05, x=x))
    eventually(lambda: len(referee.boxes) == 3)
    text = referee.close()
    assert text.count('rule broken at 1.00 s') == 1
    assert 'robot1 touches a wall or a shelf' in text
    assert '0 boxes delivered, 0 passages of the corridor, 1 broken rules' in text


# --- the whole demo ------------------------------------------------------------------------------


class Fleet:
    """All processes of gazebo_fleet.launch.py, with the stand-in in place of Gazebo."""

    def __init__(self, folder, url, robots):
        config = folder / 'ros_gz_bridge.yaml'
        config.write_text(gazebo.bridge(robots))
        environ = ros_environ(os.environ, DOMAIN)
        self.children = {}

        def start(name, *command, ros=()):
            command = [sys.executable, *command]
            if ros:
                command += ['--ros-args', *ros]
            self.children[name] = Child(name, command, environ)

        start('gazebo', gazebo_stand_in.__file__, str(config), str(robots))
        start('referee', '-m', 'redis_bridge.demo.gazebo_referee', str(robots))
        for robot in robot_names(robots):
            remaps = [f'__ns:=/{robot}']
            remaps += [f'/{LEASE}/{s}:=/{robot}/{LEASE}/{s}' for s in ('acquire', 'release')]
            ros = [word for remap in remaps for word in ('-r', remap)]
            sim_time = ('-p', 'use_sim_time:=true')
            start(robot, '-m', 'redis_bridge.demo.gazebo_robot', robot, ros=[*ros, *sim_time])
            mapping = ROOT / 'config' / 'gazebo_fleet.yaml'
            start(
                f'the bridge of {robot}', '-m', 'redis_bridge.node',
                ros=['-r', f'__ns:=/{robot}', '-p', f'mapping:={mapping}', '-p',
                     f'robot:={robot}', '-p', f'redis_url:={url}', *sim_time],
            )  # fmt: skip
        start('coordinator', '-m', 'redis_bridge.demo.coordinator', url)

    def check(self):
        """Raise if a process has ended."""
        for child in self.children.values():
            assert child.how_it_ended() is None, child.how_it_ended()

    def log_of(self, name):
        return '\n'.join(self.children[name].last_lines())

    def end(self, name, number=signal.SIGTERM):
        child = self.children.pop(name)
        child.send_signal(number)
        child.wait_for_end(10.0)
        return '\n'.join(child.last_lines())

    def close(self):
        stop([*self.children.values()], 5.0)


@pytest.fixture
def fleet(tmp_path, redis_server):
    fleet = Fleet(tmp_path, redis_server.url, robots=2)
    yield fleet
    fleet.close()


def speed_of(client, robot):
    return client.get(f'{robot}:odom')['twist']['twist']['linear']['x']


@pytest.mark.timeout(240)
def test_the_same_tasks_run_with_what_ros_gz_bridge_would_publish(fleet, redis_server):
    with Client(redis_server.url, origin='tester') as client:
        queue = client.queue(QUEUE, return_after_ms=RETURN_AFTER_MS)
        for ends in (('P2', 'D1'), ('P1', 'D2')):
            queue.put({'from': ends[0], 'to': ends[1]})
        db = redis_server.client()

        def delivered():
            fleet.check()
            return [
                entry for _, entry in db.xrange(LOG) if b'delivered' in b' '.join(entry.values())
            ]

        eventually(lambda: len(delivered()) == 2, 180)
        assert client.get('robot1:odom')['header']['frame_id'] == 'robot1/odom'
        assert client.get('robot2:scan')['header']['frame_id'] == 'robot2/base_link/lidar'
        stamp = client.get('robot1:odom')['header']['stamp']
        assert 1 < stamp['sec'] < 1000  # simulated time

        # A robot whose node is killed on its way drives on in Gazebo, until the referee stops it.
        eventually(lambda: speed_of(client, 'robot1') > 0.5, 60)
        fleet.end('robot1', signal.SIGKILL)
        eventually(lambda: 'robot1 gets no commands any more' in fleet.log_of('referee'), 10)
        eventually(lambda: speed_of(client, 'robot1') == 0.0, 10)
    end = fleet.end('referee')
    assert '2 boxes delivered' in end
    assert '0 broken rules' in end
    assert 'rule' not in fleet.log_of('gazebo')
