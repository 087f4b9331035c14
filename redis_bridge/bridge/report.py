# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What each route did, with its rate and latency since the report before."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import RosToRedis, Route
from redis_bridge.ports import RouteReport

RATES_OVER_S = 0.9  # reports closer together than this repeat the rates of the earlier one


def route_report(route: Route, state: str, *counters: Counters) -> RouteReport:
    """Return the report of a route, with the sums over its ends.

    A sample goes to several ends, so that `carried` is what the busiest of them carried.
    """
    ends = [end.snapshot() for end in counters]
    return RouteReport(
        str(route),
        'ros_to_redis' if isinstance(route, RosToRedis) else 'redis_to_ros',
        state,
        carried=max(end['carried'] for end in ends),
        bytes=sum(end['bytes'] for end in ends),
        dropped=dict(sum((end['dropped'] for end in ends), Counter[str]())),
        noted=dict(sum((end['noted'] for end in ends), Counter[str]())),
        latency_sum_s=sum(end['latency_s'] for end in ends),
        latency_count=sum(end['carried'] for end in ends),
    )


def joined_state(*states: str) -> str:
    """Return the state of a route from those of its ends: all problems, or else what it awaits."""
    closed = dict.fromkeys(state for state in states if state != 'open')
    problems = [state for state in closed if not state.startswith('waiting')]
    return '; '.join(problems or closed) or 'open'


class Rates:
    """Puts rates and latencies into reports, from the reports before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before: Mapping[str, RouteReport] = {}
        self._at = 0.0

    def fill(self, reports: Mapping[str, RouteReport]) -> None:
        """Complete the reports, by route id; a route's first report has no rates."""
        now = self._clock()
        elapsed = now - self._at
        is_soon = elapsed < RATES_OVER_S
        for route in reports.keys() & self._before.keys():
            report, before = reports[route], self._before[route]
            if is_soon:
                report.rate_hz, report.latency_ms = before.rate_hz, before.latency_ms
                continue
            report.rate_hz = round((report.carried - before.carried) / elapsed, 2)
            if count := report.latency_count - before.latency_count:
                latency_s = report.latency_sum_s - before.latency_sum_s
                report.latency_ms = round(latency_s / count * 1000, 3)
        if not is_soon:
            self._before, self._at = reports, now
