# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The four uses that the project started from: real ROS nodes here, bare redis-py calls there."""

import pytest
from support import eventually

pytest.importorskip('rclpy')

from graph import DOMAIN, LATCHED, Graph
from processes import BridgeProcess
from sensor_msgs.msg import Temperature
from std_msgs.msg import Float64, Int64, String


@pytest.fixture
def ros():
    with Graph() as graph:
        yield graph


def test_sensor_values_stand_in_plain_keys(ros, redis_server, tmp_path):
    mapping = """
        ros_to_redis:
          - topic: /env
            field: temperature
            encoding: text
            to: {key: Temperature}
    """
    sensor = ros.node.create_publisher(Temperature, '/env', 10)
    with BridgeProcess(tmp_path, mapping, redis_server, domain=DOMAIN) as bridge:
        bridge.ready()
        ros.until_matched(sensor)
        sensor.publish(Temperature(temperature=21.5))
        client = redis_server.client()
        eventually(lambda: client.get('Temperature') == b'21.5')
        sensor.publish(Temperature(temperature=-3.25))
        eventually(lambda: client.get('Temperature') == b'-3.25')


def test_robots_talk_over_a_channel_in_plain_text(ros, redis_server, tmp_path):
    mapping = """
        ros_to_redis:
          - topic: /say
            encoding: text
            to: {channel: robot_communication}
        redis_to_ros:
          - channel: robot_communication
            topic: /heard
            type: std_msgs/msg/String
            encoding: text
    """
    say = ros.node.create_publisher(String, '/say', 10)
    ros.start()
    with Graph(DOMAIN + 1) as other:
        heard = other.collect(String, '/heard')
        other.node.create_publisher(String, '/say', 10)
        other.start()
        listener = redis_server.client().pubsub()
        listener.subscribe('robot_communication')
        with BridgeProcess(tmp_path, mapping, redis_server, 'robot1', DOMAIN) as one:
            with BridgeProcess(tmp_path, mapping, redis_server, 'robot2', DOMAIN + 1) as two:
                one.ready()
                two.ready()
                ros.until_matched(say)
                say.publish(String(data='Hello from Robot 1'))
                eventually(lambda: [message.data for message in heard] == ['Hello from Robot 1'])
                redis_server.client().publish('robot_communication', 'grüße vom Laptop')
                eventually(lambda: heard[-1].data == 'grüße vom Laptop')
        texts = []
        while (message := listener.get_message(timeout=1)) is not None:
            if message['type'] == 'message':
                texts.append(message['data'].decode())
        assert texts == ['Hello from Robot 1', 'grüße vom Laptop']
        listener.close()


def test_a_process_without_ros_sets_a_value_that_a_node_receives(ros, redis_server, tmp_path):
    mapping = """
        redis_to_ros:
          - key: "{robot}:target_temperature"
            topic: /target_temperature
            type: std_msgs/msg/Float64
            encoding: text
    """
    client = redis_server.client()
    client.set('robot1:target_temperature', '19.5')
    received = ros.collect(Float64, '/target_temperature', LATCHED)
    ros.start()
    with BridgeProcess(tmp_path, mapping, redis_server, domain=DOMAIN) as bridge:
        bridge.ready()
        eventually(lambda: [message.data for message in received] == [19.5])
        client.set('robot1:target_temperature', '22')
        eventually(lambda: [message.data for message in received] == [19.5, 22.0])
        with Graph(name='late') as late:
            kept = late.collect(Float64, '/target_temperature', LATCHED)
            late.start()
            eventually(lambda: [message.data for message in kept] == [22.0])


def test_training_parameters_are_mirrored_both_ways(ros, redis_server, tmp_path):
    mapping = """
        defaults: {encoding: text}
        ros_to_redis:
          - {topic: /tuner/learning_rate, to: {key: learning_rate}}
          - {topic: /tuner/batch_size, to: {key: batch_size}}
        redis_to_ros:
          - {key: learning_rate, topic: /tuner/learning_rate, type: std_msgs/msg/Float64}
          - {key: batch_size, topic: /tuner/batch_size, type: std_msgs/msg/Int64}
    """
    client = redis_server.client()
    rates = ros.collect(Float64, '/tuner/learning_rate')
    sizes = ros.collect(Int64, '/tuner/batch_size')
    tune_rate = ros.node.create_publisher(Float64, '/tuner/learning_rate', 10)
    tune_size = ros.node.create_publisher(Int64, '/tuner/batch_size', 10)
    ros.start()
    with BridgeProcess(tmp_path, mapping, redis_server, domain=DOMAIN) as bridge:
        bridge.ready()
        client.set('learning_rate', '0.01')
        client.set('batch_size', '32')
        eventually(lambda: [message.data for message in rates] == [0.01])
        eventually(lambda: [message.data for message in sizes] == [32])
        tune_rate.publish(Float64(data=0.001))
        tune_size.publish(Int64(data=64))
        eventually(lambda: client.get('learning_rate') == b'0.001')
        eventually(lambda: client.get('batch_size') == b'64')
        client.set('learning_rate', '0.1')
        eventually(lambda: rates[-1].data == 0.1)
        assert [message.data for message in rates] == [0.01, 0.001, 0.1]
        assert [message.data for message in sizes] == [32, 64]
        assert client.get('learning_rate') == b'0.1'
