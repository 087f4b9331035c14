# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The search for the highest rate that a candidate keeps up with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.comparison import Comparison, Trial
from bench.pace import Pace

SLOWEST_HZ = 0.5
FASTEST_HZ = 200_000
STEP = 2.0  # of a search that knows nothing yet


@dataclass(frozen=True)
class Found:
    """The trial at the sustained rate, over the long window."""

    trial: Trial
    is_at_least: bool  # the load could send no faster: the candidate's own limit is not known


def near(comparison: Comparison, name: str, first_hz: float, pace: Pace) -> float | None:
    """Return about the sustained rate, by short windows; None if not even the slowest holds.

    Rates go up, or down, by steps until one holds and one does not, and then in between.
    """
    best: float | None = None
    high: float | None = None
    rate = first_hz
    while SLOWEST_HZ <= rate <= FASTEST_HZ:
        if comparison.trial(name, rate, pace.short_s).is_sustained:
            best = rate
        else:
            high = rate
        if best is None:
            rate /= STEP
        elif high is None:
            rate *= STEP
        elif high / best <= pace.precision**2:
            break
        else:
            rate = math.sqrt(best * high)
    return best


def confirmed(comparison: Comparison, name: str, first_hz: float, pace: Pace) -> Found | None:
    """Return the trial at the highest rate that holds over a long window; None if none does.

    Rates go by steps of the precision. Where the first holds, short windows lead up as long as
    they hold, and long ones down from there. Where it fails, long ones lead down until one holds.
    With two tries, the rate that ends the way up or is next above the one that held is tried
    again, since it may have met a moment's disturbance.
    """

    def offered(step: int) -> float:
        return first_hz * pace.precision**step

    def trial(step: int) -> Trial:
        return comparison.trial(name, offered(step), pace.long_s)

    def look(step: int) -> Trial:
        seen = comparison.trial(name, offered(step), pace.short_s)
        # A mark for the load's limit is not given for one disturbance of the load in any case.
        if seen.is_load_limited or (pace.tries > 1 and not seen.is_sustained):
            seen = comparison.trial(name, offered(step), pace.short_s)
        return seen

    step = 0
    best = trial(step)
    above: Trial | None = None  # what failed next above the best
    if best.is_sustained:
        while offered(step + 1) <= FASTEST_HZ:
            above = look(step + 1)
            if not above.is_sustained:
                break
            step += 1
            above = None
        while step > 0:
            highest = trial(step)
            if highest.is_sustained:
                best = highest
                break
            above = highest
            step -= 1
    else:
        while not best.is_sustained:
            above = best
            step -= 1
            if offered(step) < SLOWEST_HZ:
                return None
            best = trial(step)
        for _ in range(pace.tries - 1):
            again = trial(step + 1)
            if again.is_sustained:
                return Found(again, above.is_load_limited)
            above = again
    return Found(best, above is None or above.is_load_limited)
