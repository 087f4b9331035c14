# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Publishes how the bridge and its routes do on /diagnostics."""

from __future__ import annotations

import logging
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

EVERY_S = 1.0


class Diagnostics:
    """A timer that publishes one status per route and one for the connection to Redis.

    All begin with the node's name.
    """

    def __init__(self, node: Node, bridge: Any, log: logging.Logger) -> None:
        self._node = node
        self._bridge = bridge
        self._log = log
        self._name = node.get_name()
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._warned_of_twin = False
        self._timer = node.create_timer(
            EVERY_S, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _publish(self) -> None:
        try:
            self._look_for_twin()
            array = DiagnosticArray()
            array.header.stamp = self._node.get_clock().now().to_msg()
            array.status = [self._redis_status(), *map(self._status, self._bridge.report())]
            self._publisher.publish(array)
        except Exception:  # a broken report must not end the spinning
            self._log.exception('diagnostics failed')

    def _redis_status(self) -> DiagnosticStatus:
        state = self._bridge.redis.states()
        away = [f'{duty}: {text}' for duty, text in state.items() if text != 'connected']
        return DiagnosticStatus(
            level=DiagnosticStatus.ERROR if away else DiagnosticStatus.OK,
            name=f'{self._name}: Redis',
            message='; '.join(away) or 'connected',
            hardware_id=self._bridge.mapping.robot,
            values=[KeyValue(key=duty, value=text) for duty, text in state.items()],
        )

    def _status(self, report: Any) -> DiagnosticStatus:
        values = {
            'direction': report.direction,
            'carried': report.carried,
            'bytes': report.bytes,
            'rate_hz': report.rate_hz,
            'latency_ms': report.latency_ms,
            **{f'dropped {reason}': count for reason, count in report.dropped.items()},
            **report.noted,
        }
        return DiagnosticStatus(
            level=_level(report.state),
            name=f'{self._name}: {report.route}',
            message=report.state,
            hardware_id=self._bridge.mapping.robot,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )

    def _look_for_twin(self) -> None:
        own = (self._node.get_name(), self._node.get_namespace())
        twins = self._node.get_node_names_and_namespaces().count(own)
        if twins > 1 and not self._warned_of_twin:
            self._log.warning('%d nodes are named %s: give each a name of its own', twins, own[0])
        self._warned_of_twin = twins > 1


def _level(state: str) -> bytes:
    if state == 'open':
        return DiagnosticStatus.OK
    if state.startswith('waiting'):
        return DiagnosticStatus.WARN
    return DiagnosticStatus.ERROR
