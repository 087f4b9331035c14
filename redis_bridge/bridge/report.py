# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What each route did, with its rate and latency since the report before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

RATES_OVER_S = 0.9  # reports closer together than this repeat the rates of the earlier one


@dataclass
class RouteReport:
    """What one route did; rate and latency are means since the report before."""

    route: str
    direction: str  # ros_to_redis | redis_to_ros
    state: str  # 'open', or why nothing is carried
    carried: int = 0
    bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    noted: dict[str, int] = field(default_factory=dict)
    rate_hz: float = 0.0
    latency_ms: float = 0.0
    latency_sum_s: float = 0.0  # of all samples since the start
    latency_count: int = 0  # of the samples in that sum


class Rates:
    """Puts rates and latencies into reports, from the reports before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before: dict[str, RouteReport] = {}
        self._at = 0.0

    def fill(self, reports: Mapping[str, RouteReport]) -> None:
        """Complete the reports, by route id; a route's first report has no rates."""
        now = self._clock()
        elapsed = now - self._at
        is_soon = elapsed < RATES_OVER_S
        for route, report in reports.items():
            before = self._before.get(route)
            if before is None:
                continue
            report.rate_hz, report.latency_ms = before.rate_hz, before.latency_ms
            if not is_soon:
                report.rate_hz = round((report.carried - before.carried) / elapsed, 2)
                report.latency_ms = _latency_ms(report, before)
        if not is_soon:
            self._before, self._at = dict(reports), now


def _latency_ms(report: RouteReport, before: RouteReport) -> float:
    count = report.latency_count - before.latency_count
    if not count:
        return 0.0
    return round((report.latency_sum_s - before.latency_sum_s) / count * 1000, 3)
