# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A ROS node takes part in a queue by the route of doc/coordination.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import eventually

pytest.importorskip('rclpy')

from graph import DOMAIN, Graph
from processes import BridgeProcess
from std_msgs.msg import String

from redis_bridge import Client

PAGE = (Path(__file__).parents[2] / 'doc/coordination.md').read_text()
(MAPPING,) = [
    text for text in re.findall(r'```yaml\n(.*?)```', PAGE, re.DOTALL) if 'group' in text
]


def test_tasks_reach_a_ros_node_or_another_worker_and_are_done(redis_server, tmp_path):
    mapping = MAPPING.removeprefix('version: 1\n')
    with Graph() as graph, Client(redis_server.url) as client:
        queue = client.queue('tasks', return_after_ms=500)
        for number in range(20):
            queue.put({'data': f'shelf {number}'})
        with BridgeProcess(tmp_path, mapping, redis_server, domain=DOMAIN) as bridge:
            bridge.ready()
            assert queue.status().waiting == 20  # nobody subscribes
            heard = graph.collect(String, '/tasks', 100)
            graph.start()
            ours = []
            for task in queue.claim(timeout_s=0):
                ours.append(task.value['data'])
                assert queue.done(task)
                if len(ours) == 5:
                    break

            def all_are_done() -> bool:
                status = queue.status()
                return not (status.waiting or status.claimed)

            eventually(all_are_done)
            theirs = [message.data for message in heard]
            assert sorted(ours + theirs) == sorted(f'shelf {number}' for number in range(20))
            assert theirs
            status = queue.status()
            assert status.dead_total == 0
