# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The boxes, the rules and the brakes in Gazebo: `python -m redis_bridge.demo.gazebo_referee N`.

N is the number of robots. All is by the true poses, which Gazebo publishes as the odometry.

- A robot that stands at a place and handles takes a box, or puts it down: `/robot1/box`.
- A broken rule is logged as an error.
- Gazebo's drive has no timeout: after one command a robot drives on for ever. So a robot whose
  commands have ended gets a stop on `/robot1/cmd_vel`, after the timeout of a simulated base.
"""

from __future__ import annotations

import sys

import rclpy
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool, String

from redis_bridge.demo.gazebo_robot import pose_of, seconds
from redis_bridge.demo.warehouse import ROBOT, robot_names
from redis_bridge.demo.world import Command, World
from redis_bridge.signals import stopped_by_signals

STOP = Twist()


class Referee(Node):
    """Follows all robots; times are those of the simulation, in seconds."""

    def __init__(self, robots: int) -> None:
        super().__init__('referee')
        self.world = World()
        self.violations: list[str] = []
        self._delivered = 0
        self._moving_since: dict[str, float] = {}  # when the last command but a stop came
        self._brakes = {}
        self._boxes = {}
        for robot in robot_names(robots):
            self._brakes[robot] = self.create_publisher(Twist, f'/{robot}/cmd_vel', 10)
            self._boxes[robot] = self.create_publisher(String, f'/{robot}/box', 10)
            self.create_subscription(
                Odometry, f'/{robot}/odom', lambda odom, robot=robot: self.see(robot, odom), 10
            )
            self.create_subscription(
                Twist, f'/{robot}/cmd_vel', lambda twist, robot=robot: self.hear(robot, twist), 10
            )
            self.create_subscription(
                Bool, f'/{robot}/handle', lambda _, robot=robot: self.let_handle(robot), 10
            )

    def hear(self, robot: str, twist: Twist) -> None:
        """Take a command that goes to a robot."""
        if twist == STOP:
            self._moving_since.pop(robot, None)
        else:
            self._moving_since[robot] = self.world.time

    def let_handle(self, robot: str) -> None:
        """Take that a robot wants to take a box or to put it down."""
        if robot in self.world.bodies:
            self.world.bodies[robot].command(Command(handle=True), self.world.time)

    def see(self, robot: str, odometry: Odometry) -> None:
        """Take the true pose of a robot, and do what follows."""
        world = self.world
        world.time = max(world.time, seconds(odometry.header.stamp))
        if robot not in world.bodies:
            world.add(robot)
        body = world.bodies[robot]
        body.pose = pose_of(odometry)
        body.linear = odometry.twist.twist.linear.x
        for violation in world.look():
            self.violations.append(str(violation))
            self.get_logger().error(f'rule broken {violation}')
        self._boxes[robot].publish(String(data=body.box or ''))
        if world.time - self._moving_since.get(robot, world.time) > ROBOT.command_timeout:
            del self._moving_since[robot]
            self._brakes[robot].publish(STOP)
            self.get_logger().warning(f'{robot} gets no commands any more, and is stopped')
        delivered = sum(world.delivered.values())
        if delivered > self._delivered:
            self._delivered = delivered
            self.get_logger().info(f'{robot} has put down a box: {delivered} delivered')


def main(robots: int) -> None:
    """Watch that many robots until SIGINT or SIGTERM."""
    with stopped_by_signals() as stop:
        rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
        referee = Referee(robots)
        executor = SingleThreadedExecutor()
        executor.add_node(referee)
        while stop.empty():
            executor.spin_once(timeout_sec=0.1)
        referee.get_logger().info(
            f'{sum(referee.world.delivered.values())} boxes delivered, '
            f'{referee.world.checker.passages} passages of the corridor, '
            f'{len(referee.violations)} broken rules'
        )
        executor.shutdown()
        referee.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main(int(sys.argv[1]))
