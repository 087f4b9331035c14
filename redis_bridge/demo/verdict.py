# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Whether robot2 really followed robot1, by what was measured in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from redis_bridge.demo.steering import GAP_M

LOW_M, HIGH_M = GAP_M - 0.4, GAP_M + 0.4
LAST_S = 5.0  # the gap must have stayed within these bounds for that long
MIN_HZ = 20.0  # of gap samples: half of what two robots at 20 Hz give
MIN_SPEED = 0.2  # metres a second on average that robot1 must have moved, half of its speed


def judge(
    gaps: Iterable[tuple[float, float]],
    first_gap: float,
    driven: Sequence[float],
    start: float,
    end: float,
) -> tuple[bool, str]:
    """Return whether robot2 has followed, and the sentence that says so.

    Takes the latest gaps (time in s, metres) and the metres that each robot drove.
    """
    length = end - start
    last = min(LAST_S, length / 2)
    late = [gap for at, gap in gaps if end - last <= at <= end]
    reasons = []
    if len(late) < MIN_HZ * last:
        reasons.append(f'only {len(late)} poses arrived in the last {last:.1f} s')
    if late and not LOW_M <= min(late) <= max(late) <= HIGH_M:
        reasons.append(f'the gap left {LOW_M:.1f} to {HIGH_M:.1f} m in the last {last:.1f} s')
    if driven[0] < MIN_SPEED * length:
        reasons.append(f'robot1 hardly moved in {length:.1f} s')
    if driven[1] < driven[0] / 2:
        reasons.append('robot2 drove less than half as far')
    span = f'{min(late):.2f} to {max(late):.2f} m' if late else 'unknown'
    figures = (
        f'robot1 drove {driven[0]:.1f} m, robot2 {driven[1]:.1f} m; '
        f'the gap was {first_gap:.2f} m at the start and {span} in the last {last:.1f} s '
        f'(wanted {GAP_M:.1f})'
    )
    if reasons:
        return False, f'robot2 did not follow robot1: {"; ".join(reasons)} ({figures})'
    return True, f'robot2 followed robot1: {figures}'
