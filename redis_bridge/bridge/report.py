# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What each route did, with its rate and latency since the report before."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import RosToRedis, Route
from redis_bridge.ports import RouteReport

RATES_OVER_S = 0.9  # reports closer together than this repeat the rates of the earlier one


class Reporter:
    """Makes the reports of a route, with the sums over its ends; the same one until it changes.

    A sample goes to several ends, so that `carried` is what the busiest of them carried.
    """

    def __init__(self, route: Route, *counters: Counters) -> None:
        self._route = str(route)
        self._direction = 'ros_to_redis' if isinstance(route, RosToRedis) else 'redis_to_ros'
        self._counters = counters
        self._last: tuple[int, RouteReport] | None = None

    def report(self, state: str) -> RouteReport:
        """Return the report of now."""
        changes = sum(end.changes for end in self._counters)
        if self._last is not None:
            then, report = self._last
            if then == changes and report.state == state:
                return report
        ends = [end.snapshot() for end in self._counters]
        report = RouteReport(
            self._route,
            self._direction,
            state,
            carried=max(end['carried'] for end in ends),
            bytes=sum(end['bytes'] for end in ends),
            dropped=dict(sum((end['dropped'] for end in ends), Counter[str]())),
            noted=dict(sum((end['noted'] for end in ends), Counter[str]())),
            latency_sum_s=sum(end['latency_s'] for end in ends),
            latency_count=sum(end['carried'] for end in ends),
        )
        self._last = changes, report
        return report


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
        self._filled: dict[str, tuple[RouteReport, RouteReport]] = {}  # without and with rates

    def fill(self, reports: Mapping[str, RouteReport]) -> dict[str, RouteReport]:
        """Return the complete reports, by route id; a route's first report has no rates.

        A report that equals the last one of its route is the same object.
        """
        now = self._clock()
        elapsed = now - self._at
        is_soon = elapsed < RATES_OVER_S
        filled: dict[str, tuple[RouteReport, RouteReport]] = {}
        for route, report in reports.items():
            last = self._filled.get(route, (None, report))
            if is_soon:
                rates = last[1].rate_hz, last[1].latency_ms
            else:
                rates = _rates(report, self._before.get(route, report), elapsed)
            if last[0] is report and rates == (last[1].rate_hz, last[1].latency_ms):
                filled[route] = report, last[1]
            else:
                filled[route] = report, replace(report, rate_hz=rates[0], latency_ms=rates[1])
        self._filled = filled
        if not is_soon:
            self._before, self._at = reports, now
        return {route: complete for route, (_, complete) in filled.items()}


def _rates(report: RouteReport, before: RouteReport, elapsed: float) -> tuple[float, float]:
    """Return the rate in Hz and the latency in ms since the report before."""
    if report is before or report.carried < before.carried:  # less after a reload
        return 0.0, 0.0
    count = report.latency_count - before.latency_count
    latency_s = report.latency_sum_s - before.latency_sum_s
    rate_hz = round((report.carried - before.carried) / elapsed, 2)
    return rate_hz, round(latency_s / count * 1000, 3) if count else 0.0
