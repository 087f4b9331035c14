# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Publishes and takes what Gazebo does through ros_gz_bridge: `gazebo_stand_in.py CONFIG ROBOTS`.

CONFIG is the configuration of ros_gz_bridge. Names and types are read from it; those whose package
is not installed (tf2_msgs) are left out. QoS is that of ros_gz_bridge: reliable, depth 10. Stamps
are simulated time, as /clock. The bodies are those of the demo's own simulator, except that they
obey the last command for ever, as Gazebo's DiffDrive does. Poses are true, in the world.
"""

from __future__ import annotations

import math
import sys
import time
from importlib import import_module
from pathlib import Path

import rclpy
import yaml
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import LaserScan

from redis_bridge.demo.gazebo import ODOM_HZ, RANGE_MIN_M, SCAN_HZ
from redis_bridge.demo.warehouse import ROBOT, robot_names
from redis_bridge.demo.world import STEP_S, Command, World
from redis_bridge.signals import stopped_by_signals

STEPS = 2  # between two messages on /clock


class StandIn(Node):
    """The world and the bridge in one."""

    def __init__(self, config: str, robots: int) -> None:
        super().__init__('ros_gz_bridge')
        self._world = World()
        self._steps = 0
        self._commands: dict[str, Command] = {}
        self._outputs = {}
        for robot in robot_names(robots):
            self._world.add(robot)
        for entry in yaml.safe_load(Path(config).read_text(encoding='utf-8')):
            package, _, name = entry['ros_type_name'].split('/')
            try:
                kind = getattr(import_module(f'{package}.msg'), name)
            except ModuleNotFoundError:
                continue
            topic = entry['ros_topic_name']
            if entry['direction'] == 'GZ_TO_ROS':
                self._outputs[topic] = (kind, self.create_publisher(kind, topic, 10))
            else:
                robot = topic.split('/')[1]
                self.create_subscription(
                    kind, topic, lambda twist, robot=robot: self._obey(robot, twist), 10
                )

    def _obey(self, robot: str, twist: Twist) -> None:
        self._commands[robot] = Command(twist.linear.x, twist.angular.z)

    def step(self) -> None:
        """Simulate one step, and publish what is due."""
        self._steps += 1
        for robot, command in self._commands.items():
            self._world.bodies[robot].command(command, self._world.time)
        for event in self._world.step():
            self.get_logger().error(str(event))
        now = self._steps * STEP_S
        stamp = Time(sec=int(now), nanosec=round(now % 1 * 1e9) % 10**9)
        if self._steps % STEPS == 0:
            self._publish('/clock', Clock(clock=stamp))
        for number, robot in enumerate(self._world.bodies):
            offset = 3 * number  # each was created at another moment
            if (self._steps + offset) % round(1 / ODOM_HZ / STEP_S) == 0:
                self._publish(f'/{robot}/odom', self._odometry(robot, stamp))
            if (self._steps + offset) % round(1 / SCAN_HZ / STEP_S) == 1:
                self._publish(f'/{robot}/scan', self._scan(robot, stamp))

    def _publish(self, topic: str, message: object) -> None:
        kind, publisher = self._outputs[topic]
        assert isinstance(message, kind)
        publisher.publish(message)

    def _odometry(self, robot: str, stamp: Time) -> Odometry:
        body = self._world.bodies[robot]
        odometry = Odometry(child_frame_id='base_link')
        odometry.header.frame_id, odometry.header.stamp = 'odom', stamp
        odometry.pose.pose.position.x, odometry.pose.pose.position.y = body.pose[:2]
        odometry.pose.pose.orientation.z = math.sin(body.pose.heading / 2)
        odometry.pose.pose.orientation.w = math.cos(body.pose.heading / 2)
        odometry.twist.twist.linear.x = body.linear
        odometry.twist.twist.angular.z = body.angular
        return odometry

    def _scan(self, robot: str, stamp: Time) -> LaserScan:
        step = 2 * math.pi / ROBOT.beams
        scan = LaserScan(
            angle_min=-math.pi,
            angle_max=math.pi - step,
            angle_increment=step,
            range_min=RANGE_MIN_M,
            range_max=ROBOT.range_max,
            ranges=self._world.scan(robot),
            intensities=[0.0] * ROBOT.beams,
        )
        scan.header.frame_id, scan.header.stamp = f'{robot}/base_link/lidar', stamp
        return scan


def main(config: str, robots: int) -> None:
    """Simulate in real time until SIGINT or SIGTERM."""
    with stopped_by_signals() as stop:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = StandIn(config, robots)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        moment = time.monotonic()
        while stop.empty():
            moment = max(time.monotonic() - 0.1, moment + STEP_S)  # what was late stays late
            node.step()
            executor.spin_once(timeout_sec=0.0)
            while (left := moment - time.monotonic()) > 0 and stop.empty():
                executor.spin_once(timeout_sec=left)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))
