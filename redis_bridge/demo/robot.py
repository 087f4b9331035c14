# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The ROS node of one simulated robot: `python -m redis_bridge.demo.robot robot1 PORT`.

PORT is that of the simulator, which has the robot's body. In Gazebo `gazebo_robot` runs instead.

| topic | type | |
|---|---|---|
| `odom`, `scan`, `battery_state` | Odometry, LaserScan, BatteryState | what it measures |
| `state`, `doing` | String | `idle`, `busy` or `charging`, and the same in more words |
| `arrived` | PoseStamped | the last goal that it has reached |
| `goal_pose` | PoseStamped | where to drive: to the nearest place; a goal may be repeated |
| `cmd_vel` | Twist | drives by hand as long as commands come |

Before the corridor it calls the services of its own bridge for the lease, and behind it again.
"""

from __future__ import annotations

import math
import sys

import rclpy
from geometry_msgs.msg import PoseStamped, Twist
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import BatteryState, LaserScan
from std_msgs.msg import Header, String

from redis_bridge.demo.corridor import Corridor
from redis_bridge.demo.geometry import Point, Pose, hits
from redis_bridge.demo.link import Message, connect
from redis_bridge.demo.navigator import Navigator
from redis_bridge.demo.warehouse import PLACES, ROBOT, START_CHARGES, dock_of, nearest_place
from redis_bridge.demo.world import Command
from redis_bridge.signals import stopped_by_signals

TELL_S = 0.25  # between two messages of battery and state, and after each change of the state
CHARGED = 0.8  # of the battery: it can work again
HANDLING_MAX_S = 5.0  # after which it goes on without the box
ARGUMENTS = ['--ros-args', '--disable-external-lib-logs']  # which are files
CALLBACKS = 8  # at most, between two states


class Robot(Node):
    """A simulated robot, driven by the states that the simulator sends.

    `by_hand` is the topic of the commands that come in place of its own navigation.
    """

    def __init__(self, name: str, by_hand: str = 'cmd_vel') -> None:
        super().__init__(name)
        self._dock = dock_of(name)
        number = int(name.removeprefix('robot'))
        self._charge = START_CHARGES[(number - 1) % len(START_CHARGES)]
        self._is_charging = False
        self._navigator = Navigator(self._dock)
        self._corridor = Corridor(self)
        self._now = 0.0  # of the simulation
        self._hits: list[Point] = []
        self._goal: PoseStamped | None = None  # while it is busy
        self._place = self._dock  # of the goal
        self._arrived: PoseStamped | None = None
        self._handling_until: float | None = None
        self._by_hand: Twist | None = None
        self._by_hand_until = 0.0
        self._told = ''
        self._tell_at = 0.0
        self._battery = self.create_publisher(BatteryState, 'battery_state', 10)
        self._state = self.create_publisher(String, 'state', 10)
        self._doing = self.create_publisher(String, 'doing', 10)
        self._arrival = self.create_publisher(PoseStamped, 'arrived', 10)
        self.create_subscription(PoseStamped, 'goal_pose', self._take_goal, 10)
        self.create_subscription(Twist, by_hand, self._drive_by_hand, 1)

    def _take_goal(self, goal: PoseStamped) -> None:
        if goal in (self._goal, self._arrived):  # repeated
            return
        self._goal = goal
        self._place = nearest_place(goal.pose.position.x, goal.pose.position.y)
        self._handling_until = None
        self._navigator.go(self._place)
        self._tell_at = self._now

    def _drive_by_hand(self, twist: Twist) -> None:
        self._by_hand, self._by_hand_until = twist, self._now + ROBOT.command_timeout

    def react(self, state: Message) -> Command:
        """Return the command for a state; publish what follows from it."""
        passed = state['time'] - self._now if self._now else 0.0
        self._now = state['time']
        pose = Pose(*state['pose'])
        linear = state['linear']
        if 'scan' in state:
            self._hits = hits(Pose(*state.get('scan_pose', pose)), state['scan'])
        self._use_battery(passed, abs(linear) * passed)
        self._corridor.ask(self._navigator.wants_corridor(pose))
        command = self._navigator.steer(pose, linear, self._hits, self._corridor.is_ours())
        if self._goal is not None and self._navigator.has_arrived:
            command = self._handle(state['box'])
        if self._by_hand is not None and self._now < self._by_hand_until:
            command = Command(self._by_hand.linear.x, self._by_hand.angular.z)
        if self._now >= self._tell_at:
            self._tell()
        return command

    def _handle(self, box: str | None) -> Command:
        """Take a box or put it down where the goal is, then report the arrival."""
        kind = PLACES[self._place].kind
        is_done = {'pick': box is not None, 'deliver': box is None, 'dock': True}[kind]
        if self._handling_until is None:
            self._handling_until = self._now + HANDLING_MAX_S
        if not is_done and self._now < self._handling_until:
            return Command(handle=True)
        self._arrived, self._goal = self._goal, None
        self._tell_at = self._now
        return Command()

    def _use_battery(self, seconds: float, metres: float) -> None:
        is_docked = self._navigator.has_arrived and self._place == self._dock
        gained = ROBOT.charge_per_second * seconds if is_docked else 0.0
        self._charge += gained - ROBOT.drain_per_metre * metres
        self._charge = min(1.0, max(0.0, self._charge))
        self._is_charging = is_docked and self._charge < CHARGED

    def _tell(self) -> None:
        self._tell_at = self._now + TELL_S
        state = 'idle'
        if self._goal is not None:
            state = 'busy'
        elif self._is_charging:
            state = 'charging'
        doing = state
        if state == 'busy':
            doing = self._navigator.doing
            if self._navigator.has_arrived:
                doing = 'loads' if PLACES[self._place].kind == 'pick' else 'unloads'
        status = BatteryState.POWER_SUPPLY_STATUS_DISCHARGING
        if self._is_charging:
            status = BatteryState.POWER_SUPPLY_STATUS_CHARGING
        if self._arrived is not None:  # before the state, which follows from it
            self._arrival.publish(self._arrived)
        self._state.publish(String(data=state))
        self._doing.publish(String(data=doing))
        self._battery.publish(
            BatteryState(
                header=_header(self, 'base_link'),
                percentage=self._charge,
                power_supply_status=status,
                present=True,
            )
        )


class Senses:
    """Publishes what a robot measures; in Gazebo, ros_gz_bridge does."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._odom = node.create_publisher(Odometry, 'odom', 10)
        self._scan = node.create_publisher(LaserScan, 'scan', qos_profile_sensor_data)

    def publish(self, state: Message) -> None:
        """Publish the odometry and, if the state has one, the scan."""
        pose = Pose(*state['pose'])
        odom = Odometry(header=_header(self._node, 'odom'), child_frame_id='base_link')
        odom.pose.pose.position.x = pose.x
        odom.pose.pose.position.y = pose.y
        odom.pose.pose.orientation.z = math.sin(pose.heading / 2)
        odom.pose.pose.orientation.w = math.cos(pose.heading / 2)
        odom.twist.twist.linear.x = state['linear']
        odom.twist.twist.angular.z = state['angular']
        self._odom.publish(odom)
        if 'scan' in state:
            self._publish_scan(state['scan'])

    def _publish_scan(self, ranges: list[float]) -> None:
        step = 2 * math.pi / len(ranges)
        message = LaserScan(
            header=_header(self._node, 'base_link'),
            angle_min=-math.pi,
            angle_max=math.pi - step,
            angle_increment=step,
            scan_time=0.1,
            range_min=ROBOT.range_min,
            range_max=ROBOT.range_max,
            ranges=ranges,
        )
        self._scan.publish(message)


def _header(node: Node, frame: str) -> Header:
    return Header(stamp=node.get_clock().now().to_msg(), frame_id=frame)


def main(name: str, port: int) -> None:
    """Run the robot of that name until SIGINT or SIGTERM, or until the simulation ends."""
    with stopped_by_signals() as stop:
        rclpy.init(args=ARGUMENTS, signal_handler_options=SignalHandlerOptions.NO)
        robot = Robot(name)
        senses = Senses(robot)
        executor = SingleThreadedExecutor()
        executor.add_node(robot)
        link = connect(port)
        link.send({'robot': name})
        while stop.empty():
            for state in link.receive(0.1):
                for _ in range(CALLBACKS):
                    executor.spin_once(timeout_sec=0.0)
                senses.publish(state)
                command = robot.react(state)
                link.send({'tick': state['tick'], **command._asdict()})
        link.close()
        executor.shutdown()
        robot.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))
