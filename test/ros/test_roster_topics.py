# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The roster as topics: whenever somebody subscribes, it is true."""

from __future__ import annotations

import logging
import time

import pytest
from support import eventually

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray
from graph import DOMAIN, Graph
from processes import BridgeProcess

from redis_bridge.protocol.fleet import KEPT_S, LOST, ONLINE, RobotEvent
from redis_bridge.ros_io.roster import RosterTopics

DAY_S = KEPT_S


class Watch:
    """Follows a roster that a test makes."""

    def want(self, is_wanted: bool) -> None:
        """See `ports.RosterWatch`."""

    def is_current(self) -> bool:
        """See `ports.RosterWatch`."""
        return True


@pytest.mark.parametrize('ahead_s', [0.0, 10 * DAY_S, -10 * DAY_S])
def test_who_is_listed_does_not_depend_on_the_clock_of_this_machine(ahead_s):
    server_now = time.time() + ahead_s
    events = [
        RobotEvent(ONLINE, 'robot1', 'h', 'b', server_now - 2 * DAY_S),
        RobotEvent(LOST, 'robot2', 'h', 'b', server_now - 5.0),
        RobotEvent(LOST, 'robot3', 'h', 'b', server_now - 2 * DAY_S),
    ]

    with Graph() as graph, Graph(name='listener') as listener:
        rosters = listener.collect(DiagnosticArray, '/tester/robots')
        listener.start()
        eventually(lambda: graph.node.count_subscribers('/tester/robots'))
        topics = RosterTopics(
            graph.node, lambda take: Watch(), lambda: server_now, logging.getLogger('test')
        )
        for event in events:
            topics._take(event)
        graph.start()
        eventually(lambda: rosters)
        eventually(lambda: {status.name for status in rosters[-1].status} == {'robot1', 'robot2'})


def test_a_subscriber_that_comes_after_all_have_gone_gets_no_empty_roster(redis_server, tmp_path):
    mapping = """
        ros_to_redis:
          - {topic: /odom, to: {key: "{robot}:odom"}}
    """
    with BridgeProcess(tmp_path, mapping, redis_server, domain=DOMAIN) as bridge:
        bridge.ready(waiting=True)
        for _ in range(3):
            with Graph() as graph:
                rosters = graph.collect(DiagnosticArray, '/redis_bridge/robots')
                graph.start()
                eventually(lambda: len(rosters) > 1)  # noqa: B023
                assert all([s.name for s in roster.status] == ['robot1'] for roster in rosters)
            eventually(lambda: 'roster' not in bridge.hash()['state'])
