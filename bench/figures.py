# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What was measured: figures by what they are of, several of each, one a round."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Subject:
    """What a figure is of."""

    direction: str
    kind: str
    candidate: str


@dataclass
class Figures:
    """All figures of one run."""

    rounds: dict[tuple[Subject, str], list[float]] = field(default_factory=dict)
    _least: dict[tuple[Subject, str], list[float]] = field(default_factory=dict)

    def add(
        self, subject: Subject, measure: str, value: float, *, is_at_least: bool = False
    ) -> None:
        """Add the figure of one round; `is_at_least`: it may be higher in truth."""
        self.rounds.setdefault((subject, measure), []).append(value)
        if is_at_least:
            self._least.setdefault((subject, measure), []).append(value)

    def median(self, subject: Subject, measure: str) -> float | None:
        """Return the median over the rounds; None if it was not measured."""
        values = self.rounds.get((subject, measure))
        return statistics.median(values) if values else None

    def is_at_least(self, subject: Subject, measure: str) -> bool:
        """Return whether the median may be higher in truth, as one of the rounds it rests on."""
        least = self._least.get((subject, measure))
        if least is None:
            return False
        return min(least) <= statistics.median_high(self.rounds[subject, measure])

    def subjects(self) -> list[Subject]:
        """Return all that was measured, in its order."""
        return list(dict.fromkeys(subject for subject, _ in self.rounds))

    def measures(self, subject: Subject) -> dict[str, float]:
        """Return the medians of one subject."""
        return {
            measure: statistics.median(values)
            for (of, measure), values in self.rounds.items()
            if of == subject
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield everything in plain form."""
        for (subject, measure), values in self.rounds.items():
            yield {
                'direction': subject.direction,
                'kind': subject.kind,
                'candidate': subject.candidate,
                'measure': measure,
                'median': statistics.median(values),
                'rounds': values,
                **({'is_at_least': True} if self.is_at_least(subject, measure) else {}),
            }
