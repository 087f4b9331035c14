# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Writes the warehouse for Gazebo: the world and the robots in SDF, and the topics to bridge.

Everything comes from the data in `warehouse`. Gazebo's topics take no namespace from the model
that is spawned, so each robot has a model of its own, in which all topics have its name. The
names in the models and in the configuration of ros_gz_bridge come from one table, `TOPICS`.

The systems have the names that Gazebo has had since Fortress 6.16. SDF 1.9 is what Fortress reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from redis_bridge.demo.warehouse import (
    CORRIDOR,
    FLOOR,
    PLACES,
    ROBOT,
    SHELVES,
    WALLS,
    Box,
    robot_names,
)

WORLD = 'warehouse'
STEP_S = 0.002  # of the physics
ODOM_HZ = 20  # as often as the simulator of the demo sends a state
SCAN_HZ = 10
WALL_M = 0.1  # how thick the outer walls are
WALL_HEIGHT_M = 0.6
MARK_M = 0.3  # of the marks on the floor, at each place

# The body of a robot; what it shares with the simulated one is in ROBOT. Masses in kilograms.
CHASSIS_MASS = 10.0
CHASSIS_BOTTOM_M = 0.03
CHASSIS_TOP_M = 0.25
LIDAR_HEIGHT_M = 0.2  # inside the hull, so that it sees the hulls of others, and below the walls
WHEEL_MASS = 0.5
WHEEL_WIDTH_M = 0.03
CASTER_MASS = 0.1
CASTER_RADIUS_M = 0.03
CASTER_AT_M = 0.14  # before and behind the axle
CASTER_GAP_M = 0.002  # above the floor, so that the wheels carry the robot
# Nothing but its own hull is nearer: the lidar clips what is within its smallest range.
RANGE_MIN_M = ROBOT.radius + 0.01


class Topic(NamedTuple):
    """A topic that ros_gz_bridge carries; its name is the same in ROS and in Gazebo."""

    name: str  # under the name of the robot
    ros_type: str
    gz_type: str
    direction: str  # GZ_TO_ROS | ROS_TO_GZ


CLOCK = Topic('/clock', 'rosgraph_msgs/msg/Clock', 'gz.msgs.Clock', 'GZ_TO_ROS')
TOPICS = {
    topic.name: topic
    for topic in (
        Topic('cmd_vel', 'geometry_msgs/msg/Twist', 'gz.msgs.Twist', 'ROS_TO_GZ'),
        Topic('odom', 'nav_msgs/msg/Odometry', 'gz.msgs.Odometry', 'GZ_TO_ROS'),
        Topic('scan', 'sensor_msgs/msg/LaserScan', 'gz.msgs.LaserScan', 'GZ_TO_ROS'),
        Topic('tf', 'tf2_msgs/msg/TFMessage', 'gz.msgs.Pose_V', 'GZ_TO_ROS'),
    )
}


def bridge(robots: int) -> str:
    """Return the configuration of ros_gz_bridge (YAML) for that many robots."""
    topics = [CLOCK]
    for robot in robot_names(robots):
        topics += [topic._replace(name=f'/{robot}/{name}') for name, topic in TOPICS.items()]
    return ''.join(
        f'- ros_topic_name: {topic.name}\n'
        f'  gz_topic_name: {topic.name}\n'
        f'  ros_type_name: {topic.ros_type}\n'
        f'  gz_type_name: {topic.gz_type}\n'
        f'  direction: {topic.direction}\n'
        for topic in topics
    )


def world() -> str:
    """Return the world (SDF): all that does not move."""
    outer = (
        Box(FLOOR.west - WALL_M, FLOOR.south - WALL_M, FLOOR.east + WALL_M, FLOOR.south),
        Box(FLOOR.west - WALL_M, FLOOR.north, FLOOR.east + WALL_M, FLOOR.north + WALL_M),
        Box(FLOOR.west - WALL_M, FLOOR.south, FLOOR.west, FLOOR.north),
        Box(FLOOR.east, FLOOR.south, FLOOR.east + WALL_M, FLOOR.north),
    )
    walls = enumerate((*outer, *WALLS), 1)
    solids = [(f'wall_{i}', box, '0.6 0.6 0.6 1') for i, box in walls]
    solids += [(f'shelf_{i}', box, '0.5 0.35 0.2 1') for i, box in enumerate(SHELVES, 1)]
    marks = [('corridor', CORRIDOR, '0.9 0.8 0.3 1')]
    colours = {'pick': '0.2 0.4 0.8 1', 'deliver': '0.2 0.7 0.3 1', 'dock': '0.8 0.5 0.2 1'}
    half = MARK_M / 2
    for name, place in PLACES.items():
        box = Box(place.x - half, place.y - half, place.x + half, place.y + half)
        marks.append((name, box, colours[place.kind]))
    return f"""\
<?xml version="1.0"?>
<sdf version="1.9">
  <world name="{WORLD}">
    <physics name="default" type="ignored">
      <max_step_size>{STEP_S}</max_step_size>
      <real_time_factor>1.0</real_time_factor>
    </physics>
    <plugin filename="gz-sim-physics-system" name="gz::sim::systems::Physics"/>
    <plugin filename="gz-sim-user-commands-system" name="gz::sim::systems::UserCommands"/>
    <plugin filename="gz-sim-scene-broadcaster-system" name="gz::sim::systems::SceneBroadcaster"/>
    <plugin filename="gz-sim-sensors-system" name="gz::sim::systems::Sensors">
      <render_engine>ogre2</render_engine>
    </plugin>
    <light name="sun" type="directional">
      <cast_shadows>false</cast_shadows>
      <pose>0 0 10 0 0 0</pose>
      <diffuse>0.8 0.8 0.8 1</diffuse>
      <direction>-0.5 0.1 -0.9</direction>
    </light>
    <model name="floor">
      <static>true</static>
      <link name="link">
        <collision name="collision">
          <geometry><plane><normal>0 0 1</normal><size>40 40</size></plane></geometry>
        </collision>
        <visual name="visual">
          <geometry><plane><normal>0 0 1</normal><size>40 40</size></plane></geometry>
          {_material('0.85 0.85 0.85 1')}
        </visual>
      </link>
    </model>
    <model name="solids">
      <static>true</static>
      <link name="link">
{''.join(_solid(*solid) for solid in solids)}\
      </link>
    </model>
    <model name="marks">
      <static>true</static>
      <link name="link">
{''.join(_mark(*mark) for mark in marks)}\
      </link>
    </model>
  </world>
</sdf>
"""


def model(robot: str) -> str:
    """Return the model of a robot (SDF). Its origin is on the floor, in the middle."""
    step = 2 * math.pi / ROBOT.beams
    height = CHASSIS_TOP_M - CHASSIS_BOTTOM_M
    hull = f'<cylinder><radius>{ROBOT.radius}</radius><length>{height:.4f}</length></cylinder>'
    middle = f'<pose>0 0 {(CHASSIS_TOP_M + CHASSIS_BOTTOM_M) / 2:.4f} 0 0 0</pose>'
    return f"""\
<?xml version="1.0"?>
<sdf version="1.9">
  <model name="{robot}">
    <link name="base_link">
      <inertial>
        {middle}
        <mass>{CHASSIS_MASS}</mass>
        {_inertia(*_of_cylinder(CHASSIS_MASS, ROBOT.radius, height))}
      </inertial>
      <collision name="hull_solid">
        {middle}
        <geometry>{hull}</geometry>
      </collision>
      <visual name="hull">
        {middle}
        <geometry>{hull}</geometry>
        {_material('0.2 0.3 0.5 1')}
      </visual>
      <sensor name="lidar" type="gpu_lidar">
        <pose>0 0 {LIDAR_HEIGHT_M} 0 0 0</pose>
        <topic>/{robot}/scan</topic>
        <update_rate>{SCAN_HZ}</update_rate>
        <always_on>true</always_on>
        <lidar>
          <scan>
            <horizontal>
              <samples>{ROBOT.beams}</samples>
              <resolution>1</resolution>
              <min_angle>{-math.pi:.9f}</min_angle>
              <max_angle>{math.pi - step:.9f}</max_angle>
            </horizontal>
          </scan>
          <range>
            <min>{RANGE_MIN_M:.4f}</min>
            <max>{ROBOT.range_max}</max>
          </range>
        </lidar>
      </sensor>
    </link>
{_wheel('left', ROBOT.wheel_separation / 2)}\
{_wheel('right', -ROBOT.wheel_separation / 2)}\
{_caster('front', CASTER_AT_M)}\
{_caster('rear', -CASTER_AT_M)}\
    <plugin filename="gz-sim-diff-drive-system" name="gz::sim::systems::DiffDrive">
      <left_joint>left_wheel_joint</left_joint>
      <right_joint>right_wheel_joint</right_joint>
      <wheel_separation>{ROBOT.wheel_separation}</wheel_separation>
      <wheel_radius>{ROBOT.wheel_radius}</wheel_radius>
      <max_linear_velocity>{ROBOT.max_linear}</max_linear_velocity>
      <min_linear_velocity>{-ROBOT.max_linear}</min_linear_velocity>
      <max_angular_velocity>{ROBOT.max_angular}</max_angular_velocity>
      <min_angular_velocity>{-ROBOT.max_angular}</min_angular_velocity>
      <max_linear_acceleration>{ROBOT.linear_acceleration}</max_linear_acceleration>
      <min_linear_acceleration>{-ROBOT.linear_acceleration}</min_linear_acceleration>
      <max_angular_acceleration>{ROBOT.angular_acceleration}</max_angular_acceleration>
      <min_angular_acceleration>{-ROBOT.angular_acceleration}</min_angular_acceleration>
      <topic>/{robot}/cmd_vel</topic>
      <odom_topic>/{robot}/wheels/odom</odom_topic>
      <tf_topic>/{robot}/wheels/tf</tf_topic>
      <frame_id>odom</frame_id>
      <child_frame_id>base_link</child_frame_id>
      <odom_publish_frequency>{ODOM_HZ}</odom_publish_frequency>
    </plugin>
    <plugin filename="gz-sim-odometry-publisher-system" name="gz::sim::systems::OdometryPublisher">
      <odom_topic>/{robot}/odom</odom_topic>
      <odom_covariance_topic>/{robot}/odom_with_covariance</odom_covariance_topic>
      <tf_topic>/{robot}/tf</tf_topic>
      <odom_frame>odom</odom_frame>
      <robot_base_frame>base_link</robot_base_frame>
      <odom_publish_frequency>{ODOM_HZ}</odom_publish_frequency>
      <dimensions>2</dimensions>
    </plugin>
  </model>
</sdf>
"""


def _solid(name: str, box: Box, colour: str) -> str:
    pose, geometry = _upright(box, 0.0, WALL_HEIGHT_M)
    return f"""\
        <collision name="{name}_solid">
          {pose}
          {geometry}
        </collision>
        <visual name="{name}">
          {pose}
          {geometry}
          {_material(colour)}
        </visual>
"""


def _mark(name: str, box: Box, colour: str) -> str:
    pose, geometry = _upright(box, 0.0, 0.002)
    return f"""\
        <visual name="{name}">
          {pose}
          {geometry}
          {_material(colour)}
        </visual>
"""


def _upright(box: Box, bottom: float, top: float) -> tuple[str, str]:
    """Return the pose and the geometry of a box that stands on the floor."""
    x, y, z = (box.west + box.east) / 2, (box.south + box.north) / 2, (bottom + top) / 2
    size = (box.east - box.west, box.north - box.south, top - bottom)
    pose = f'<pose>{x:.4f} {y:.4f} {z:.4f} 0 0 0</pose>'
    return pose, f'<geometry><box><size>{_numbers(size)}</size></box></geometry>'


def _wheel(side: str, y: float) -> str:
    """Return a wheel and its joint: turned by a quarter, the axis of the cylinder points left."""
    radius = ROBOT.wheel_radius
    shape = f'<cylinder><radius>{radius}</radius><length>{WHEEL_WIDTH_M}</length></cylinder>'
    return f"""\
    <link name="{side}_wheel">
      <pose>0 {y:.4f} {radius} {-math.pi / 2:.9f} 0 0</pose>
      <inertial>
        <mass>{WHEEL_MASS}</mass>
        {_inertia(*_of_cylinder(WHEEL_MASS, radius, WHEEL_WIDTH_M))}
      </inertial>
      <collision name="wheel_solid">
        <geometry>{shape}</geometry>
        <surface><friction><ode><mu>1.2</mu><mu2>1.2</mu2></ode></friction></surface>
      </collision>
      <visual name="wheel">
        <geometry>{shape}</geometry>
        {_material('0.1 0.1 0.1 1')}
      </visual>
    </link>
    <joint name="{side}_wheel_joint" type="revolute">
      <parent>base_link</parent>
      <child>{side}_wheel</child>
      <axis>
        <xyz>0 0 1</xyz>
        <limit><lower>-1e16</lower><upper>1e16</upper></limit>
      </axis>
    </joint>
"""


def _caster(end: str, x: float) -> str:
    """Return a ball that slides over the floor, fixed to the chassis."""
    moment = 0.4 * CASTER_MASS * CASTER_RADIUS_M**2
    shape = f'<sphere><radius>{CASTER_RADIUS_M}</radius></sphere>'
    return f"""\
    <link name="{end}_caster">
      <pose>{x} 0 {CASTER_RADIUS_M + CASTER_GAP_M:.4f} 0 0 0</pose>
      <inertial>
        <mass>{CASTER_MASS}</mass>
        {_inertia(moment, moment, moment)}
      </inertial>
      <collision name="caster_solid">
        <geometry>{shape}</geometry>
        <surface><friction><ode><mu>0</mu><mu2>0</mu2></ode></friction></surface>
      </collision>
      <visual name="caster">
        <geometry>{shape}</geometry>
        {_material('0.3 0.3 0.3 1')}
      </visual>
    </link>
    <joint name="{end}_caster_joint" type="fixed">
      <parent>base_link</parent>
      <child>{end}_caster</child>
    </joint>
"""


def _of_cylinder(mass: float, radius: float, length: float) -> tuple[float, float, float]:
    """Return the moments of inertia of a cylinder along z, in kg m2."""
    across = mass * (3 * radius**2 + length**2) / 12
    return across, across, mass * radius**2 / 2


def _inertia(ixx: float, iyy: float, izz: float) -> str:
    return (
        f'<inertia><ixx>{ixx:.9f}</ixx><iyy>{iyy:.9f}</iyy><izz>{izz:.9f}</izz>'
        '<ixy>0</ixy><ixz>0</ixz><iyz>0</iyz></inertia>'
    )


def _material(colour: str) -> str:
    return f'<material><ambient>{colour}</ambient><diffuse>{colour}</diffuse></material>'


def _numbers(values: Iterable[float]) -> str:
    return ' '.join(f'{value:.4f}' for value in values)
