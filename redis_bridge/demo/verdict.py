# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Whether robot2 really followed robot1, by what was measured in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WANTED_M = 1.0  # the gap that the follower keeps
TOLERANCE_M = 0.4
LAST_S = 5.0  # the gap must have stayed within the tolerance for that long
MIN_HZ = 20.0  # of gap samples: half of what two robots at 20 Hz give
MIN_SPEED = 0.2  # metres a second on average that robot1 must have moved, half of its speed


@dataclass(frozen=True)
class Verdict:
    """The result of a run: `reasons` is empty when robot2 has followed."""

    figures: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        if self.reasons:
            return f'robot2 did not follow robot1: {"; ".join(self.reasons)} ({self.figures})'
        return f'robot2 followed robot1: {self.figures}'


def judge(
    gaps: Iterable[tuple[float, float]],
    first_gap: float | None,
    driven: Sequence[float],
    start: float,
    end: float,
) -> Verdict:
    """Judge a run by its latest gaps (time in s, metres) and the metres each robot drove."""
    length = end - start
    last = min(LAST_S, length / 2)
    late = [gap for at, gap in gaps if end - last <= at <= end]
    if first_gap is None or not late:
        return Verdict('no figures', (f'no poses arrived in the last {last:.1f} s',))
    low, high = WANTED_M - TOLERANCE_M, WANTED_M + TOLERANCE_M
    reasons = []
    if len(late) < MIN_HZ * last:
        reasons.append(f'only {len(late)} poses arrived in the last {last:.1f} s')
    if min(late) < low or max(late) > high:
        reasons.append(f'the gap left {low:.1f} to {high:.1f} m in the last {last:.1f} s')
    if driven[0] < MIN_SPEED * length:
        reasons.append(f'robot1 hardly moved in {length:.1f} s')
    if driven[1] < driven[0] / 2:
        reasons.append('robot2 drove less than half as far')
    figures = (
        f'robot1 drove {driven[0]:.1f} m, robot2 {driven[1]:.1f} m; '
        f'the gap was {first_gap:.2f} m at the start and '
        f'{min(late):.2f} to {max(late):.2f} m in the last {last:.1f} s (wanted {WANTED_M:.1f})'
    )
    return Verdict(figures, tuple(reasons))
