# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What the bridge is meant to reach, as ratios within one run, or as plain limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.candidates import IN, OUT
from bench.figures import Figures, Subject

ODOMETRY, IMAGE, CLOUD = 'Odometry', 'Image', 'PointCloud2'
BRIDGE, NOTICE, GUARDED = 'bridge msgpack', 'bridge notice', 'bridge guarded'
# What an unguarded Twist cost in the whole process when guards were not compiled.
UNGUARDED_BEFORE = 1.53  # × floor


@dataclass(frozen=True)
class Outcome:
    """What became of a target."""

    value: float
    is_reached: bool
    bound: str = ''  # the true value: '≥' this, '≤' this, '?' either, for want of a faster load


@dataclass(frozen=True)
class Target:
    """One figure, and what it is held against."""

    direction: str
    kind: str
    candidate: str
    measure: str
    relation: str  # 'at least' | 'at most'
    limit: float  # plain, or times the figure of `than`
    than: str | None = None

    def outcome(self, figures: Figures) -> Outcome | None:
        """Return the figure or ratio and whether it will do; None if not measured."""
        subject = Subject(self.direction, self.kind, self.candidate)
        value = figures.median(subject, self.measure)
        if value is None:
            return None
        bounds = '≥' if figures.is_at_least(subject, self.measure) else ''
        if self.than is not None:
            other = Subject(self.direction, self.kind, self.than)
            base = figures.median(other, self.measure)
            if not base:
                return None
            value /= base
            bounds += '≤' if figures.is_at_least(other, self.measure) else ''
        good = value >= self.limit if self.relation == 'at least' else value <= self.limit
        return Outcome(value, good, '?' if len(bounds) > 1 else bounds)

    def __str__(self) -> str:
        way = 'ROS → Redis' if self.direction == OUT else 'Redis → ROS'
        limit = f'{self.limit:g}' + (f' × {self.than}' if self.than else '')
        return f'{way}, {self.kind}, {self.candidate}: {self.measure} {self.relation} {limit}'


def targets() -> Iterator[Target]:
    """Yield all targets."""
    for kind in ('String', ODOMETRY):
        yield Target(OUT, kind, BRIDGE, 'rate', 'at least', 0.85, 'floor')
        yield Target(OUT, kind, BRIDGE, 'rate', 'at least', 10, 'hand')
    for kind, share in (('JointState', 0.8), ('LaserScan typed', 0.8), ('LaserScan', 0.4)):
        yield Target(OUT, kind, BRIDGE, 'rate', 'at least', share, 'floor')
    for kind in (IMAGE, CLOUD):
        yield Target(OUT, kind, BRIDGE, 'rate', 'at least', 0.9, 'floor')
        yield Target(OUT, kind, NOTICE, 'rate', 'at least', 1.3, 'floor')
    yield Target(OUT, ODOMETRY, BRIDGE, 'cpu_us@sustained', 'at most', 1.25, 'floor')
    for hz in (100, 1000):
        yield Target(OUT, ODOMETRY, BRIDGE, f'cpu_us@{hz}', 'at most', 1, 'empty')
    for hz in (100, 1000):
        yield Target(OUT, ODOMETRY, BRIDGE, f'p50_ms@{hz}', 'at most', 1.3, 'floor')
        yield Target(OUT, ODOMETRY, BRIDGE, f'p99_ms@{hz}', 'at most', 2, 'floor')
    yield Target(OUT, ODOMETRY, BRIDGE, 'cpu_percent@idle', 'at most', 1)
    yield Target(OUT, ODOMETRY, '100 routes', 'memory_mb@rest', 'at most', 120)
    yield Target(OUT, ODOMETRY, '1000 routes', 'start_s', 'at most', 10)
    yield Target(OUT, ODOMETRY, 'over 100 routes', 'rate', 'at least', 0.8, 'over 1 route')
    matches, written = '100 matches', '100 written routes'
    for measure in ('start_cpu_s', 'cpu_percent@idle', 'memory_mb@rest'):
        yield Target(OUT, ODOMETRY, matches, measure, 'at most', 1.1, written)
    over, routes = 'over 100 matches', 'over 100 routes'
    yield Target(OUT, ODOMETRY, over, 'rate', 'at least', 0.9, routes)
    yield Target(OUT, ODOMETRY, over, 'cpu_us@1000', 'at most', 1.1, routes)
    for who in ('', 'robots '):
        alone, cluster = f'{who}at one server', f'{who}at a cluster'
        yield Target(OUT, ODOMETRY, cluster, 'cpu_us@1000', 'at most', 1.15, alone)
    for kind in (ODOMETRY, 'Twist'):
        yield Target(IN, kind, BRIDGE, 'rate', 'at least', 0.8, 'floor')
        yield Target(IN, kind, BRIDGE, 'rate', 'at least', 8, 'hand')
        for hz in (100, 1000):
            yield Target(IN, kind, BRIDGE, f'p50_ms@{hz}', 'at most', 1.3, 'floor')
    yield Target(IN, 'Twist', GUARDED, 'cpu_us@1000', 'at most', UNGUARDED_BEFORE, 'floor')
    yield Target(IN, 'Twist', 'cmd_vel beside images', 'p99_ms@100', 'at most', 10)
