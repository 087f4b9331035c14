# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Publishes the state of the bridge and of its routes on /diagnostics."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from redis_bridge.log_once import LogOnChange
from redis_bridge.ros_io import graph

EVERY_S = 1.0


class RouteReport(Protocol):
    """What one route did."""

    route: str
    direction: str
    state: str
    carried: int
    bytes: int
    dropped: dict[str, int]
    noted: dict[str, int]
    rate_hz: float
    latency_ms: float


class Reporter(Protocol):
    """The bridge whose state is published."""

    robot: str

    def redis_states(self) -> dict[str, str]:
        """Return connection role -> 'connected', or the problem."""

    def report(self) -> Mapping[str, RouteReport]:
        """Return a report per route."""


class Diagnostics:
    """A timer that publishes one status per route and one for the connection to Redis.

    All begin with the node's name.
    """

    def __init__(self, node: Node, bridge: Reporter, log: logging.Logger) -> None:
        self._node = node
        self._bridge = bridge
        self._log = log
        self._names = LogOnChange(log)
        self._name = node.get_name()
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._timer = node.create_timer(
            EVERY_S, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _publish(self) -> None:
        try:
            self._check_name()
            array = DiagnosticArray()
            array.header.stamp = self._node.get_clock().now().to_msg()
            routes = self._bridge.report().values()
            array.status = [self._redis_status(), *map(self._route_status, routes)]
            self._publisher.publish(array)
        except Exception:  # a broken report must not end the spinning
            self._log.exception('diagnostics failed')

    def _redis_status(self) -> DiagnosticStatus:
        states = self._bridge.redis_states()
        problems = [f'{role}: {text}' for role, text in states.items() if text != 'connected']
        return DiagnosticStatus(
            level=DiagnosticStatus.ERROR if problems else DiagnosticStatus.OK,
            name=f'{self._name}: Redis',
            message='; '.join(problems) or 'connected',
            hardware_id=self._bridge.robot,
            values=[KeyValue(key=role, value=text) for role, text in states.items()],
        )

    def _route_status(self, report: RouteReport) -> DiagnosticStatus:
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
            hardware_id=self._bridge.robot,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )

    def _check_name(self) -> None:
        count = graph.nodes_named_alike(self._node)
        if count > 1:
            text = f'{count} nodes have this name: give each its own name'
            self._names.update(f'node {self._name}', text, logging.WARNING)
        else:
            self._names.update(f'node {self._name}', 'the name is unique')


def _level(state: str) -> bytes:
    level = DiagnosticStatus.ERROR
    if state == 'open':
        level = DiagnosticStatus.OK
    elif state.startswith('waiting'):
        level = DiagnosticStatus.WARN
    return bytes(level)
