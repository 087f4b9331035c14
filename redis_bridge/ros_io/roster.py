# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Publishes the roster of robots, and each change of it, while somebody subscribes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from std_msgs.msg import String

from redis_bridge.ports import RosterWatch
from redis_bridge.protocol.fleet import LOST, OFFLINE, ONLINE, RobotEvent, is_listed

EVERY_S = 1.0
EVENTS_DEPTH = 200  # the changes of a fleet that starts at once
LEVELS = {
    ONLINE: DiagnosticStatus.OK,
    OFFLINE: DiagnosticStatus.WARN,
    LOST: DiagnosticStatus.ERROR,
}


class RosterTopics:
    """The topics `~/robots` (a status per robot) and `~/robot_events` (JSON).

    The roster comes once a second and with each change, as long as it is known to be true: nothing
    is published while the connection to Redis is lost. The events begin with the last one of each
    robot when the first subscriber comes. `watch` returns what follows the roster. `now` returns
    the time by the clock that dates its changes.
    """

    def __init__(
        self,
        node: Node,
        watch: Callable[[Callable[[RobotEvent], None]], RosterWatch],
        now: Callable[[], float],
        log: logging.Logger,
    ) -> None:
        self._node = node
        self._now = now
        self._log = log
        self._lock = threading.Lock()
        self._known: dict[str, tuple[RobotEvent, DiagnosticStatus]] = {}
        self._has_listeners = False  # of the events
        self._robots = node.create_publisher(DiagnosticArray, '~/robots', 10)
        self._events = node.create_publisher(String, '~/robot_events', EVENTS_DEPTH)
        self._watch = watch(self._take)
        self._timer = node.create_timer(
            EVERY_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _look(self) -> None:
        """Follow the roster if somebody subscribes, and publish it."""
        try:
            topics = (self._robots, self._events)
            is_wanted = any(topic.get_subscription_count() for topic in topics)
            with self._lock:
                if not is_wanted:
                    self._known.clear()
                self._serve_listeners()
            self._watch.want(is_wanted)
            if is_wanted and self._watch.is_current():
                self._publish()
        except Exception:  # a bug here must not end the spinning
            self._log.exception('the roster cannot be published')

    def _take(self, event: RobotEvent) -> None:
        """Take what happened to a robot; called from the thread of the watch."""
        status = DiagnosticStatus(
            level=LEVELS.get(event.event, DiagnosticStatus.STALE),
            name=event.robot,
            message=event.event,
            hardware_id=event.host,
            values=[
                KeyValue(key='boot', value=event.boot),
                KeyValue(key='since', value=f'{event.stamp:.3f}'),
            ],
        )
        with self._lock:
            self._known[event.robot] = event, status
            if self._has_listeners:
                self._events.publish(String(data=event.to_json()))
        if self._watch.is_current():
            self._publish()

    def _serve_listeners(self) -> None:
        """Publish the last event of each robot when the first subscriber to the events comes.

        It may come later than one to the roster, for which the events are known already.
        """
        had_listeners = self._has_listeners
        self._has_listeners = self._events.get_subscription_count() > 0
        if self._has_listeners and not had_listeners:
            for event, _ in self._known.values():
                self._events.publish(String(data=event.to_json()))

    def _publish(self) -> None:
        if not self._robots.get_subscription_count():
            return
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        with self._lock:
            now = self._now()
            array.status = [
                status
                for _, (event, status) in sorted(self._known.items())
                if is_listed(event, now)
            ]
        self._robots.publish(array)
