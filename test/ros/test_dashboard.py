# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The dashboard with a real robot: its pose is shown, and a goal and a stop arrive in ROS."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip('aiohttp')
pytest.importorskip('rclpy')

import aiohttp
from dashboards import TOKEN, DashboardProcess, Page
from geometry_msgs.msg import PoseStamped, Twist
from graph import DOMAIN, Graph
from nav_msgs.msg import OccupancyGrid, Odometry
from processes import BridgeProcess
from sensor_msgs.msg import BatteryState, LaserScan

MAPPING = """
ros_to_redis:
  - topic: /odom
    to: {key: {name: "{robot}:odom", encoding: json, ttl_ms: 2000}, channel: "{robot}:odom"}
  - {topic: /scan, arrays: typed, to: {channel: "{robot}:scan"}}
  - {topic: /map, to: {key: "{robot}:map"}}
  - topic: /battery
    fields: [percentage, voltage]
    to: {hash: "{robot}:battery"}
redis_to_ros:
  - channel: "{robot}:cmd_vel"
    topic: /cmd_vel
    type: geometry_msgs/msg/Twist
    max_age_ms: 500
    limits: {linear.x: [-0.5, 0.5], angular.z: [-1, 1]}
    stop: {after_ms: 500}
  - channel: "{robot}:goal"
    topic: /goal_pose
    type: geometry_msgs/msg/PoseStamped
    encoding: json
    max_age_ms: 5000
    required: [pose.position, pose.orientation]
    set: {header.stamp: now}
"""


@pytest.fixture
def robot():
    """Give a graph with a robot: what it was told is in `goals` and `commands`."""
    with Graph(DOMAIN, 'robot') as graph:
        graph.goals = graph.collect(PoseStamped, '/goal_pose')
        graph.commands = graph.collect(Twist, '/cmd_vel')
        odometry = Odometry(child_frame_id='base_link')
        odometry.header.frame_id = 'odom'
        odometry.pose.pose.position.x = 1.25
        odometry.pose.pose.orientation.z = odometry.pose.pose.orientation.w = 0.5**0.5
        scan = LaserScan(angle_increment=0.1, range_min=0.1, range_max=5.0, ranges=[1.0, 2.0])
        grid = OccupancyGrid(data=[0, 100, -1, 50, 0, 0])
        grid.info.width, grid.info.height, grid.info.resolution = 3, 2, 0.5
        said = {
            '/odom': odometry, '/scan': scan, '/map': grid,
            '/battery': BatteryState(percentage=0.5),
        }  # fmt: skip
        publishers = [
            (graph.node.create_publisher(type(message), topic, 10), message)
            for topic, message in said.items()
        ]
        graph.node.create_timer(
            0.05, lambda: [publisher.publish(message) for publisher, message in publishers]
        )
        yield graph.start()


def test_a_robot_is_shown_goes_where_it_is_sent_and_stops(tmp_path, redis_server, robot):
    async def work(page):
        async def until(condition):
            while not condition():
                await page.hear()

        state = page.state
        await page.say(do='choose', robot='robot1')
        await until(lambda: {'pose', 'scan', 'grid', 'battery', 'routes'} <= state.keys())
        await page.say(do='token', token=TOKEN)
        assert (await page.reply())['ok']
        await page.say(do='go', robot='robot1', x=2.5, y=-1.0, yaw=0.0)
        assert (await page.reply())['ok']
        await until(lambda: robot.goals)
        await page.say(do='stop', robot='robot1')
        assert (await page.reply())['ok']
        await until(lambda: len(robot.commands) > 3)
        return state

    async def run():
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f'{url}live', origin=url[:-1]) as socket:
                return await asyncio.wait_for(work(Page(socket)), 40)

    with BridgeProcess(tmp_path, MAPPING, redis_server, 'robot1', DOMAIN) as bridge:
        bridge.ready()
        with DashboardProcess(tmp_path, redis_server.url) as dashboard:
            url = dashboard.url
            state = asyncio.run(run())
    pose = state['pose']['robot1']
    assert (pose['x'], pose['y'], pose['yaw'], pose['frame']) == (1.25, 0.0, 1.5708, 'odom')
    assert state['scan']['robot1']['cm'] == [100, 200]
    assert state['battery']['robot1']['charge'] == 0.5
    assert (state['grid']['robot1:map']['width'], state['grid']['robot1:map']['height']) == (3, 2)
    assert state['robot']['robot1']['open'] == state['robot']['robot1']['routes'] == 6
    [goal] = robot.goals
    assert goal.header.frame_id == 'odom' and goal.header.stamp.sec > 0
    assert (goal.pose.position.x, goal.pose.position.y) == (2.5, -1.0)
    assert all(command == Twist() for command in robot.commands)
