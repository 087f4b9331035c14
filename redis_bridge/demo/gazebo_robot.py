# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The ROS node of one robot in Gazebo: `python -m redis_bridge.demo.gazebo_robot robot1`.

It is the same robot as in `robot`, in a namespace. What it measures and where its commands go are
topics that ros_gz_bridge carries, and not messages of the demo's own simulator.

| topic | type | |
|---|---|---|
| `odom`, `scan` | Odometry, LaserScan | from Gazebo; the odometry has the true pose in the world |
| `cmd_vel` | Twist | to Gazebo, one for each odometry |
| `cmd_vel_by_hand` | Twist | drives by hand as long as commands come |
| `handle` | Bool | to the referee: takes a box or puts it down |
| `box` | String | from the referee: where the box on the robot comes from, or empty |
"""

from __future__ import annotations

import math
import sys
from collections import deque

import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import LaserScan
from std_msgs.msg import Bool, String

from redis_bridge.demo.geometry import Pose
from redis_bridge.demo.link import Message
from redis_bridge.demo.robot import Robot
from redis_bridge.demo.world import Command
from redis_bridge.signals import stopped_by_signals

POSES = 20  # that are remembered, a second of them, to know where a scan was made


def seconds(stamp: Time) -> float:
    """Return a stamp in seconds."""
    return float(stamp.sec + stamp.nanosec * 1e-9)


def pose_of(odometry: Odometry) -> Pose:
    """Return the pose in the plane."""
    position = odometry.pose.pose.position
    turned = odometry.pose.pose.orientation
    return Pose(position.x, position.y, 2 * math.atan2(turned.z, turned.w))


class Base:
    """A robot's body in Gazebo, as the states and commands of the demo's own simulator."""

    def __init__(self, node: Node) -> None:
        self._states: list[Message] = []
        self._poses: deque[tuple[float, Pose]] = deque(maxlen=POSES)
        self._scan: LaserScan | None = None  # until there is a pose at least as new
        self._box: str | None = None
        self._commands = node.create_publisher(Twist, 'cmd_vel', 10)
        self._handling = node.create_publisher(Bool, 'handle', 10)
        node.create_subscription(Odometry, 'odom', self.take_odometry, 10)
        node.create_subscription(LaserScan, 'scan', self.take_scan, qos_profile_sensor_data)
        node.create_subscription(String, 'box', self.take_box, 10)

    def take_box(self, box: String) -> None:
        """Take from where the box on the robot comes."""
        self._box = box.data or None

    def take_scan(self, scan: LaserScan) -> None:
        """Take a scan; a state has it once its pose is known."""
        self._scan = scan

    def take_odometry(self, odometry: Odometry) -> None:
        """Make a state."""
        pose, now = pose_of(odometry), seconds(odometry.header.stamp)
        self._poses.append((now, pose))
        state: Message = {
            'time': now,
            'pose': pose,
            'linear': odometry.twist.twist.linear.x,
            'box': self._box,
        }
        if self._scan is not None and seconds(self._scan.header.stamp) <= now:
            state['scan'] = _ranges(self._scan)
            state['scan_pose'] = self._pose_at(seconds(self._scan.header.stamp))
            self._scan = None
        self._states.append(state)

    def _pose_at(self, moment: float) -> Pose:
        """Return the pose nearest to a moment."""
        return min(self._poses, key=lambda known: abs(known[0] - moment))[1]

    def receive(self) -> list[Message]:
        """Return the states since the last call."""
        states, self._states = self._states, []
        return states

    def send(self, command: Command) -> None:
        """Publish a command."""
        twist = Twist()
        twist.linear.x, twist.angular.z = command.linear, command.angular
        self._commands.publish(twist)
        if command.handle:
            self._handling.publish(Bool(data=True))


def _ranges(scan: LaserScan) -> list[float]:
    """Return the ranges; what is out of reach by REP 117 is infinite."""
    return [far if scan.range_min <= far <= scan.range_max else math.inf for far in scan.ranges]


def main(name: str) -> None:
    """Run the robot of that name until SIGINT or SIGTERM."""
    with stopped_by_signals() as stop:
        rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
        robot = Robot(name, by_hand='cmd_vel_by_hand')
        base = Base(robot)
        executor = SingleThreadedExecutor()
        executor.add_node(robot)
        while stop.empty():
            executor.spin_once(timeout_sec=0.1)
            for state in base.receive():
                base.send(robot.react(state))
        base.send(Command())  # Gazebo's drive has no timeout of its own
        executor.shutdown()
        robot.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main(sys.argv[1])
