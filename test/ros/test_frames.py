# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Prefixes of frames over real DDS, with messages that rclpy makes and reads.

`tf2_msgs` has no wheel, so nav_msgs/Path stands for messages with arrays of stamped messages.
"""

import json

import pytest
from support import eventually

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseStamped
from graph import DOMAIN, LATCHED, Graph
from nav_msgs.msg import Odometry, Path
from processes import BridgeProcess
from std_msgs.msg import Header

from redis_bridge.payloads import CODECS


def path(*frames):
    poses = [PoseStamped(header=Header(frame_id=frame)) for frame in frames]
    for number, pose in enumerate(poses):
        pose.pose.position.x = 0.5 + number
    return Path(header=Header(frame_id=frames[0]), poses=poses)


def frames_of(message):
    return [message.header.frame_id, *(pose.header.frame_id for pose in message.poses)]


def test_the_frames_of_two_robots_meet_in_a_third_graph_without_a_collision(
    redis_server, tmp_path
):
    robot = """
        defaults: {frame_prefix: "{robot}/", shared_frames: [map]}
        ros_to_redis:
          - {topic: /odom, to: {channel: fleet:odom, key: {name: "{robot}:odom", encoding: json}}}
          - {topic: /plan, to: {key: "{robot}:plan"}}
        redis_to_ros:
          - {key: "{robot}:goal", topic: /goal, type: nav_msgs/msg/Path, encoding: json}
    """
    viewer = """
        redis_to_ros:
          - {channel: fleet:odom, topic: /odoms, type: nav_msgs/msg/Odometry}
          - {key: "robot1:plan", topic: /plan1, type: nav_msgs/msg/Path}
          - {key: "robot2:plan", topic: /plan2, type: nav_msgs/msg/Path}
    """
    with Graph(DOMAIN, 'one') as one, Graph(DOMAIN + 1, 'two') as two, Graph(DOMAIN + 2) as third:
        graphs = {'robot1': one, 'robot2': two}
        odoms = third.collect(Odometry, '/odoms')
        plans = {n: third.collect(Path, f'/plan{n}', LATCHED) for n in (1, 2)}
        goals = {name: graph.collect(Path, '/goal', LATCHED) for name, graph in graphs.items()}
        publishers = []
        for graph in graphs.values():
            graph.node.create_publisher(Path, '/plan', LATCHED).publish(path('map', '/odom', ''))
            publishers.append(graph.node.create_publisher(Odometry, '/odom', LATCHED))
        for graph in (one, two, third):
            graph.start()
        with (
            BridgeProcess(tmp_path, viewer, redis_server, 'viewer', DOMAIN + 2) as seen,
            BridgeProcess(tmp_path, robot, redis_server, 'robot1', DOMAIN) as first,
            BridgeProcess(tmp_path, robot, redis_server, 'robot2', DOMAIN + 1) as second,
        ):
            for bridge in (seen, first, second):
                bridge.ready(waiting=True)
            odom = Odometry(header=Header(frame_id='odom'), child_frame_id='base_link')
            odom.pose.pose.position.x = 1.5

            def both_are_seen():
                for publisher in publishers:
                    publisher.publish(odom)
                return {each.header.frame_id for each in odoms} == {'robot1/odom', 'robot2/odom'}

            eventually(both_are_seen, 20, every=0.1)
            assert {each.child_frame_id for each in odoms} == {
                'robot1/base_link',
                'robot2/base_link',
            }
            assert {each.pose.pose.position.x for each in odoms} == {1.5}
            for number in (1, 2):
                (got,) = eventually(lambda number=number: plans[number], 20)
                assert frames_of(got) == ['map', 'map', f'robot{number}/odom', '']
                assert [pose.pose.position.x for pose in got.poses] == [0.5, 1.5, 2.5]
            with redis_server.client() as client:
                stored = json.loads(client.get('robot1:odom'))
                assert stored['child_frame_id'] == 'robot1/base_link'
                names = ['robot1/odom', 'map', 'robot2/odom']
                poses = [{'header': {'frame_id': name}} for name in names]
                for name in graphs:
                    client.set(f'{name}:goal', CODECS['json'].pack({'poses': poses}))
            (goal,) = eventually(lambda: goals['robot1'])
            assert frames_of(goal) == ['', 'odom', 'map', 'robot2/odom']
            (goal,) = eventually(lambda: goals['robot2'])
            assert frames_of(goal) == ['', 'robot1/odom', 'map', 'odom']
