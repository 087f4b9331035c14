# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Whether the rules held: by the true poses, the boxes that moved, and the log of the tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Ends = tuple[str, str]  # where a box comes from, and where it goes to


@dataclass
class Record:
    """What is known of a run: what was asked for, what was done, what was broken."""

    tasks: dict[str, Ends] = field(default_factory=dict)  # by the ids that the queue gave
    delivered: list[str] = field(default_factory=list)  # ids, as the coordinator logged them
    boxes: Counter[Ends] = field(default_factory=Counter)  # as the world saw them put down
    violations: list[str] = field(default_factory=list)
    dead: Mapping[str, str] = field(default_factory=dict)  # ids of tasks given up, with reasons


def problems(record: Record) -> list[str]:
    """Return which rules did not hold, in words; none if all did."""
    found = [f'a rule was broken {violation}' for violation in record.violations]
    times = Counter(record.delivered)
    for number, (id_, ends) in enumerate(record.tasks.items(), 1):
        task = f'task {number} ({" to ".join(ends)})'
        if id_ in record.dead:
            found.append(f'{task} was given up: {record.dead[id_]}')
        elif times[id_] == 0:
            found.append(f'{task} was never delivered')
        elif times[id_] > 1:
            found.append(f'{task} was delivered {times[id_]} times')
    asked = Counter(record.tasks.values())
    logged = Counter(ends for id_, ends in record.tasks.items() if times[id_])
    for ends in sorted(asked | record.boxes):
        boxes = record.boxes[ends]
        kind = f'from {" to ".join(ends)}'
        if boxes > asked[ends]:
            found.append(f'{boxes} boxes came {kind}, {asked[ends]} were asked for')
        elif boxes < logged[ends]:
            found.append(f'{logged[ends]} tasks {kind} were logged, but {boxes} boxes came')
    return found


def summary(record: Record, passages: int, closest: float, killed: Sequence[str]) -> str:
    """Return in words that all went well."""
    text = (
        f'All {len(record.tasks)} tasks were delivered, each exactly once. The corridor was used '
        f'{passages} times, never by two robots at once. No collision'
    )
    if closest < 1e3:
        text += f': the closest two robots came was {closest:.2f} m'
    if killed:
        text += f'. Killed: {", ".join(killed)}'
    return text + '.'
