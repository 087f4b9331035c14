# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Leases for ROS nodes: the services of the bridge, and routes that need a lease."""

from __future__ import annotations

import json

import pytest
from support import eventually

pytest.importorskip('rclpy')

from graph import DOMAIN, Graph
from processes import BridgeProcess
from std_msgs.msg import Float64
from std_srvs.srv import Trigger

from redis_bridge import Client

MAPPING = """
    leases:
      corridor: {ttl_ms: 1000}
      dock-1: {ttl_ms: 1000}
    redis_to_ros:
      - channel: speed
        topic: /speed
        type: std_msgs/msg/Float64
        encoding: json
        lease: corridor
"""


class Service:
    """Calls one service of the bridge."""

    def __init__(self, graph: Graph, word: str, token: str = 'corridor') -> None:
        self._client = graph.node.create_client(Trigger, f'/redis_bridge/lease/{token}/{word}')

    def __call__(self) -> Trigger.Response:
        eventually(self._client.service_is_ready)
        future = self._client.call_async(Trigger.Request())
        return eventually(lambda: future.done() and future.result())


def test_commands_pass_only_while_the_lease_is_held(redis_server, tmp_path):
    with Graph() as graph, redis_server.client() as db, Client(redis_server.url) as client:
        speeds = graph.collect(Float64, '/speed')
        acquire, release = Service(graph, 'acquire'), Service(graph, 'release')
        graph.start()
        with BridgeProcess(tmp_path, MAPPING, redis_server, domain=DOMAIN) as bridge:
            eventually(lambda: [r['state'] for r in bridge.routes()] == [
                'waiting for the lease corridor'
            ], 20)  # fmt: skip
            eventually(lambda: db.publish('speed', json.dumps({'data': 1.0})))
            eventually(lambda: bridge.routes()[0]['dropped'] == {'no_lease': 1})

            token = int(eventually(lambda: (found := acquire()).success and found.message))

            def passes(speed: float) -> bool:
                db.publish('speed', json.dumps({'data': speed}))
                return speed in [message.data for message in speeds]

            eventually(lambda: passes(2.0))
            bridge.ready()
            assert release().success
            assert not release().success
            dropped = bridge.routes()[0]['dropped']['no_lease']
            with client.lease('corridor', ttl_ms=1000, timeout_s=5) as lease:
                assert lease.token > token
                db.publish('speed', json.dumps({'data': 3.0}))
                eventually(lambda: bridge.routes()[0]['dropped']['no_lease'] > dropped)
                eventually(lambda: 'held by client/' in acquire().message)
            eventually(lambda: acquire().success)
            eventually(lambda: passes(4.0))
            assert 1.0 not in [message.data for message in speeds]
            assert 3.0 not in [message.data for message in speeds]
        assert not db.exists('redis_bridge:lease:{corridor}')


def test_a_lease_whose_name_is_no_part_of_a_services_name_has_a_valid_form_there(
    redis_server, tmp_path
):
    with Graph() as graph, redis_server.client() as db:
        acquire = Service(graph, 'acquire', 'dock_1')
        graph.start()
        with BridgeProcess(tmp_path, MAPPING, redis_server, domain=DOMAIN):
            token = eventually(lambda: (found := acquire()).success and found.message)
            assert db.hget('redis_bridge:lease:{dock-1}', 'token') == token.encode()
