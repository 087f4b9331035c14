# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""How long and how often is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """The patience of one run."""

    rounds: int
    growth_rounds: int  # over routes and sinks
    short_s: float  # of one offered rate, while the sustained one is looked for
    long_s: float  # over which the sustained rate has to hold
    timed_s: float  # of CPU and latency at a fixed rate
    precision: float  # of the sustained rate: this times it fails
    tries: int  # in the first round, at a rate before it counts as too high
    idle_s: float


PACES = {
    'quick': Pace(
        rounds=1,
        growth_rounds=1,
        short_s=0.3,
        long_s=0.5,
        timed_s=1.0,
        precision=1.15,
        tries=2,
        idle_s=2.0,
    ),
    'default': Pace(
        rounds=3,
        growth_rounds=2,
        short_s=0.25,
        long_s=1.0,
        timed_s=0.8,
        precision=1.1,
        tries=2,
        idle_s=3.0,
    ),
    'full': Pace(
        rounds=2,
        growth_rounds=2,
        short_s=1.0,
        long_s=5.0,
        timed_s=3.0,
        precision=1.05,
        tries=2,
        idle_s=10.0,
    ),
}
