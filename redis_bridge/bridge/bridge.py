# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Runs the routes of a mapping between ROS and Redis."""

from __future__ import annotations

import logging
import threading

from redis_bridge.bridge.report import Rates
from redis_bridge.bridge.route_set import Changes, RouteSet
from redis_bridge.bridge.timers import Timers
from redis_bridge.errors import BridgeError
from redis_bridge.mapping.model import Mapping
from redis_bridge.ports import RedisSide, RosSide, RouteReport
from redis_bridge.protocol.robot_status import report_json, status_fields


class Bridge:
    """A mapping at work between ROS and Redis.

    Raises MappingError for errors that only the message types show (see `RouteSet.apply`).
    """

    def __init__(
        self, mapping: Mapping, ros: RosSide, redis: RedisSide, *, log: logging.Logger
    ) -> None:
        self._ros = ros
        self._redis = redis
        self._timers = Timers('rates', log)
        self._stop_timers = Timers('dead-man', log)  # its own, so that encoding delays no stop
        self._rates = Rates()
        self._json: dict[str, tuple[RouteReport, str]] = {}  # of the last status
        self._reporting = threading.Lock()
        self._changing = threading.Lock()  # over the set of routes
        self._closed = False
        self._routes = RouteSet(
            ros,
            redis,
            call_at=self._timers.call_at,
            stop_at=self._stop_timers.call_at,
            log=log,
        )
        self._routes.apply((*mapping.ros_to_redis, *mapping.redis_to_ros))

    def __enter__(self) -> Bridge:
        """Start carrying; Redis and the publishers of the topics may come later."""
        self._timers.start()
        self._stop_timers.start()
        self._ros.start()
        self._redis.start(self.status)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def change(self, mapping: Mapping) -> Changes:
        """Run the routes of another mapping from now on; those that stay equal go on undisturbed.

        Only the routes are taken from it. Raises MappingError as at the start, and BridgeError
        once the bridge is closed; nothing is changed then.
        """
        with self._changing:
            if self._closed:
                raise BridgeError('the bridge ends')
            return self._routes.apply((*mapping.ros_to_redis, *mapping.redis_to_ros))

    def close(self) -> None:
        """Stop the robot if it was commanded, then send what waits; harmless if repeated."""
        with self._changing:
            self._closed = True
            self._routes.apply(())
        self._timers.close()
        self._stop_timers.close()

    def report(self) -> dict[str, RouteReport]:
        """Return a report per route, by id, in the order of the mapping.

        One that equals the last one of its route is the same object.
        """
        with self._reporting:
            running = self._routes.running()
            return self._rates.fill({name: route.report() for name, route in running.items()})

    def status(self) -> dict[str, str]:
        """Return the fields that describe this bridge in the robot's hash."""
        known = self._json
        self._json = {
            name: known[name]
            if name in known and known[name][0] is report
            else (report, report_json(vars(report)))
            for name, report in self.report().items()
        }
        routes = {name: text for name, (_, text) in self._json.items()}
        return status_fields(self._redis.states(), routes)
