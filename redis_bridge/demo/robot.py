# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The ROS node of one simulated robot: `python -m redis_bridge.demo.robot robot1`."""

from __future__ import annotations

import math
import random
import sys
import time

import rclpy
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import LaserScan, Temperature
from std_msgs.msg import Header

from redis_bridge.demo.world import BEAMS, FARTHEST, NEAREST, ROOM, STARTS, Base, scan
from redis_bridge.signals import stopped_by_signals

ODOM_HZ = 20.0
SCAN_HZ = 10.0
TEMPERATURE_HZ = 1.0
SCAN_NOISE_M = 0.01
ARGUMENTS = ['--ros-args', '--disable-external-lib-logs']  # which are files


class Robot(Node):
    """A simulated robot: odom, scan and temperature out, cmd_vel in."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._base = Base(ROOM, STARTS[name], time.monotonic())
        self._warmth = 0.0  # of the motors above the room's, in degrees Celsius
        self._noise = random.Random(name)
        self._odom = self.create_publisher(Odometry, 'odom', 10)
        self._scan = self.create_publisher(LaserScan, 'scan', qos_profile_sensor_data)
        self._temperature = self.create_publisher(Temperature, 'temperature', 10)
        self.create_subscription(Twist, 'cmd_vel', self._obey, 1)
        self.create_timer(1 / ODOM_HZ, self._publish_odom)
        self.create_timer(1 / SCAN_HZ, self._publish_scan)
        self.create_timer(1 / TEMPERATURE_HZ, self._publish_temperature)

    def _obey(self, twist: Twist) -> None:
        self._base.command(twist.linear.x, twist.angular.z, time.monotonic())

    def _header(self, frame: str) -> Header:
        return Header(stamp=self.get_clock().now().to_msg(), frame_id=frame)

    def _publish_odom(self) -> None:
        base = self._base
        base.advance(time.monotonic())
        odom = Odometry(header=self._header('odom'), child_frame_id='base_link')
        odom.pose.pose.position.x = base.pose.x
        odom.pose.pose.position.y = base.pose.y
        odom.pose.pose.orientation.z = math.sin(base.pose.heading / 2)
        odom.pose.pose.orientation.w = math.cos(base.pose.heading / 2)
        odom.twist.twist.linear.x = base.linear
        odom.twist.twist.angular.z = base.angular
        self._odom.publish(odom)

    def _publish_scan(self) -> None:
        self._base.advance(time.monotonic())
        distances = scan(ROOM, self._base.pose)
        message = LaserScan(
            header=self._header('base_link'),
            angle_min=-math.pi,
            angle_max=math.pi - 2 * math.pi / BEAMS,
            angle_increment=2 * math.pi / BEAMS,
            scan_time=1 / SCAN_HZ,
            range_min=NEAREST,
            range_max=FARTHEST,
            # An infinite range stays infinite, whatever noise is added to it.
            ranges=[distance + self._noise.gauss(0.0, SCAN_NOISE_M) for distance in distances],
        )
        self._scan.publish(message)

    def _publish_temperature(self) -> None:
        self._warmth += (8.0 * abs(self._base.linear) - self._warmth) * 0.05 / TEMPERATURE_HZ
        degrees = round(21.5 + self._warmth, 1)
        self._temperature.publish(Temperature(header=self._header(''), temperature=degrees))


def main(name: str) -> None:
    """Run the robot of that name until SIGINT or SIGTERM."""
    with stopped_by_signals() as stop:
        rclpy.init(args=ARGUMENTS, signal_handler_options=SignalHandlerOptions.NO)
        robot = Robot(name)
        executor = SingleThreadedExecutor()
        executor.add_node(robot)
        while stop.empty():
            executor.spin_once(timeout_sec=0.1)
        executor.shutdown()
        robot.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main(sys.argv[1])
