# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Publishes the state of the bridge and of its routes on /diagnostics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from redis_bridge.log_once import LogOnChange
from redis_bridge.ports import SPARE_ROLES, RouteReport

EVERY_S = 1.0


class Diagnostics:
    """A timer that publishes one status per route and one for the connection to Redis.

    All begin with the node's name. `report` returns a report per route, `redis_states` returns
    connection role -> 'connected', or the problem. Nothing is published that nobody subscribes.
    """

    def __init__(
        self,
        node: Node,
        robot: str,
        report: Callable[[], Mapping[str, RouteReport]],
        redis_states: Callable[[], dict[str, str]],
        log: logging.Logger,
    ) -> None:
        self._node = node
        self._robot = robot
        self._report = report
        self._redis_states = redis_states
        self._log = log
        self._name = node.get_name()
        self._name_state = LogOnChange(log, f'node {self._name}')
        self._statuses: dict[str, tuple[RouteReport, DiagnosticStatus]] = {}  # by route id
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._timer = node.create_timer(
            EVERY_S, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _publish(self) -> None:
        try:
            self._check_name()
            if not self._publisher.get_subscription_count():
                return  # with many routes, to make it costs more than all else of an idle bridge
            array = DiagnosticArray()
            array.header.stamp = self._node.get_clock().now().to_msg()
            array.status = [
                self._redis_status(),
                *self._route_statuses(),
            ]
            self._publisher.publish(array)
        except Exception:  # a broken report must not end the spinning
            self._log.exception('diagnostics failed')

    def _check_name(self) -> None:
        own = (self._name, self._node.get_namespace())
        count = self._node.get_node_names_and_namespaces().count(own)
        if count > 1:
            text = f'{count} nodes have this name: give each its own name'
            self._name_state.update(text, logging.WARNING)
        else:
            self._name_state.update('the name is unique')

    def _redis_status(self) -> DiagnosticStatus:
        states = self._redis_states()
        bad = {role: text for role, text in states.items() if text != 'connected'}
        level = DiagnosticStatus.ERROR
        if not bad:
            level = DiagnosticStatus.OK
        elif all(role.startswith(SPARE_ROLES) for role in bad):  # if too many are, others wait
            level = DiagnosticStatus.WARN
        message = '; '.join(f'{role}: {text}' for role, text in bad.items())
        return self._status('Redis', level, message or 'connected', states)

    def _route_statuses(self) -> Iterator[DiagnosticStatus]:
        """Yield a status per route; one whose report is the same stays the same."""
        known, self._statuses = self._statuses, {}
        for route, report in self._report().items():
            made = known.get(route)
            if made is None or made[0] is not report:
                made = report, self._route_status(report)
            self._statuses[route] = made
            yield made[1]

    def _route_status(self, report: RouteReport) -> DiagnosticStatus:
        level = DiagnosticStatus.ERROR
        if report.state == 'open':
            level = DiagnosticStatus.OK
        elif report.state.startswith('waiting'):
            level = DiagnosticStatus.WARN
        values = {
            'direction': report.direction,
            'carried': report.carried,
            'bytes': report.bytes,
            'rate_hz': report.rate_hz,
            'latency_ms': report.latency_ms,
            **{f'dropped {reason}': count for reason, count in report.dropped.items()},
            **report.noted,
        }
        return self._status(report.route, level, report.state, values)

    def _status(
        self, subject: str, level: bytes, message: str, values: Mapping[str, object]
    ) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=level,
            name=f'{self._name}: {subject}',
            message=message,
            hardware_id=self._robot,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
