# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Runs the routes of a mapping between ROS and Redis."""

from __future__ import annotations

import logging
import threading

from redis_bridge.bridge.pattern_routes import PatternRoutes
from redis_bridge.bridge.report import Rates
from redis_bridge.bridge.route_set import Changes, RouteSet
from redis_bridge.bridge.timers import Timers
from redis_bridge.errors import BridgeError
from redis_bridge.mapping.model import Mapping
from redis_bridge.mapping.topic_names import Resolve
from redis_bridge.ports import RedisSide, RosSide, RouteReport
from redis_bridge.protocol.robot_status import report_json, status_fields


class Bridge:
    """A mapping at work between ROS and Redis.

    Raises MappingError for errors that only the message types show (see `RouteSet.apply`).
    """

    def __init__(
        self,
        mapping: Mapping,
        ros: RosSide,
        redis: RedisSide,
        *,
        log: logging.Logger,
        resolve: Resolve,
        distro: str,
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
        self._matching = Timers('patterns', log)
        self._patterns = PatternRoutes(
            ros,
            redis,
            resolve=resolve,
            distro=distro,
            log=log,
            on_found=lambda: self._matching.call_at(0.0, self._follow),
            on_heard=self._follow,
        )
        self._mapping = mapping
        self._run(mapping)

    def __enter__(self) -> Bridge:
        """Start carrying; Redis and the publishers of the topics may come later."""
        self._timers.start()
        self._stop_timers.start()
        self._matching.start()
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
            changes = self._run(mapping)
            self._mapping = mapping
            return changes

    def _run(self, mapping: Mapping) -> Changes:
        """Run the routes of a mapping, with those that its patterns have now."""
        matches = self._patterns.matches(mapping)
        changes = self._routes.apply(
            (*mapping.ros_to_redis, *mapping.redis_to_ros),
            [route for each in matches for route in each.routes.values()],
        )
        self._patterns.commit(mapping, matches)
        return changes

    def _follow(self) -> None:
        """Run the routes of names that have come, and no longer those of names that have gone."""
        with self._changing:
            if not self._closed:
                self._run(self._mapping)

    def close(self) -> None:
        """Stop the robot if it was commanded, then send what waits; harmless if repeated."""
        with self._changing:
            self._closed = True
            self._routes.close()
            self._patterns.close()
        for timers in (self._matching, self._timers, self._stop_timers):
            timers.close()

    def report(self) -> dict[str, RouteReport]:
        """Return a report per route, by id, in the order of the mapping.

        One that equals the last one of its route is the same object.
        """
        with self._reporting:
            running = self._routes.running()
            reports = {name: route.report() for name, route in running.items()}
            of_patterns = self._patterns.reports(self._routes.failed)
            return self._rates.fill({**of_patterns, **reports})

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
