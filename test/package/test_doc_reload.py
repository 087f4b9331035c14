# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The example of doc/reload.md does what the page says."""

import re
from pathlib import Path

import pytest
from support import eventually

pytest.importorskip('rclpy')

from graph import DOMAIN, LATCHED, Graph
from mappings import errors, load
from nav_msgs.msg import Odometry
from processes import BridgeProcess
from sensor_msgs.msg import BatteryState
from std_srvs.srv import Trigger

PAGE = (Path(__file__).parents[2] / 'doc/reload.md').read_text()
BLOCKS = re.findall(r'```(\w+)\n(.*?)```', PAGE, re.DOTALL)
BEFORE, AFTER = [text.removeprefix('version: 1\n') for kind, text in BLOCKS if kind == 'yaml']
ANSWER, ERRORS = [text for kind, text in BLOCKS if kind == 'text']


def test_the_example(redis_server, tmp_path):
    with Graph() as ros:
        for kind, topic in ((Odometry, '/odom'), (BatteryState, '/battery')):
            ros.node.create_publisher(kind, topic, LATCHED).publish(kind())
        client = ros.node.create_client(Trigger, '/redis_bridge/reload')
        assert client.srv_name in PAGE
        ros.start()
        with BridgeProcess(tmp_path, BEFORE, redis_server, domain=DOMAIN) as bridge:
            bridge.ready()
            bridge.write(AFTER)
            eventually(client.service_is_ready)
            future = client.call_async(Trigger.Request())
            eventually(future.done)
            (message,) = re.findall(r"success=True, message='(.*)'", ANSWER)
            assert future.result().message == message.replace('my.yaml', str(bridge.path))
            eventually(lambda: [route['state'] for route in bridge.routes()] == ['open'] * 3)


def test_the_errors(tmp_path):
    bad = (
        'version: 1\nros_to_redis:\n  - topik: /odom\n' + '\n' * 5 + 'executor: single_threaded\n'
    )
    running = load(tmp_path, 'version: 1\n' + BEFORE)
    shown = errors(tmp_path, bad, running=running)
    assert {*ERRORS.splitlines()[1:]} <= {line.replace('m.yaml', 'my.yaml') for line in shown}
