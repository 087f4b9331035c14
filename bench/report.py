# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Tells the figures in words: as tables, as JSON, and what became of the targets."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.figures import Figures, Subject
from bench.targets import targets

WAYS = {'out': 'ROS → Redis', 'in': 'Redis → ROS'}
# The measures of each table, in order; every measure is in one of them.
FAMILIES = {
    'rate and cost': ('rate', 'cpu_us', 'server_us'),
    'latency': ('p50_ms', 'p90_ms', 'p99_ms'),
    'at rest': ('start_s', 'start_cpu_s', 'cpu_percent', 'memory_mb'),
}
LOAD_LIMITED = (
    '≥: at the next rate the load could send no faster, or the receiver take no more, so that the '
    "rate is the benchmark's own on this machine, and the candidate's is not known."
)
BOUNDS = {
    '≥': '≥: its rate is limited by the load or the receiver, so that it is this or more',
    '≤': '≤: what it is compared with is so limited: it is this or less, "reached" is no proof',
    '?': '?: both are so limited, and the true ratio may be either side of this',
}


def machine(program: str) -> dict[str, Any]:
    """Return what the figures depend on: the processor and the versions."""
    model = [
        line.partition(':')[2].strip()
        for line in Path('/proc/cpuinfo').read_text().splitlines()
        if line.startswith('model name')
    ]
    version = subprocess.run([program, '--version'], capture_output=True, text=True).stdout
    return {
        'processor': model[0] if model else platform.machine(),
        'cores': len(os.sched_getaffinity(0)),
        'load_before': round(os.getloadavg()[0], 2),
        'kernel': platform.release(),
        'python': platform.python_version(),
        'rclpy': _version('ros-rclpy', 'ros-jazzy-rclpy', 'rclpy'),
        'redis-py': _version('redis'),
        'hiredis': _version('hiredis'),
        'msgpack': _version('msgpack'),
        'server': ' '.join(version.split()[:3]) or Path(program).name,
        'time': time.strftime('%Y-%m-%d %H:%M:%S'),
    }


def _version(*names: str) -> str:
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return 'none'


def tables(figures: Figures) -> str:
    """Return tables in Markdown: for each direction and kind the measures of FAMILIES."""
    kinds: dict[tuple[str, str], list[Subject]] = {}
    for subject in figures.subjects():
        kinds.setdefault((subject.direction, subject.kind), []).append(subject)
    texts = [
        _table(f'{WAYS[direction]}, {kind}: {family}', figures, subjects, names)
        for (direction, kind), subjects in kinds.items()
        for family, names in FAMILIES.items()
    ]
    notes = [LOAD_LIMITED] if any('≥' in text for text in texts) else []
    return '\n\n'.join([*filter(None, texts), *notes])


def _table(title: str, figures: Figures, subjects: list[Subject], names: tuple[str, ...]) -> str:
    """Return a table that has the lines and columns for which there is a figure."""
    lines = {
        subject.candidate: {
            measure: _number(value, figures.is_at_least(subject, measure))
            for measure, value in figures.measures(subject).items()
            if measure.partition('@')[0] in names
        }
        for subject in subjects
    }
    measures = sorted({measure for line in lines.values() for measure in line}, key=_order)
    if not measures:
        return ''
    rows = [[title, *(name.replace('@', ' @ ') for name in measures)]]
    for name, line in lines.items():
        if line:
            rows.append([name, *(line.get(measure, '') for measure in measures)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    texts = [
        '| ' + ' | '.join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ) + ' |'
        for row in rows
    ]  # fmt: skip
    rule = '|' + '|'.join(
        '-' * (width + 2) if column == 0 else '-' * (width + 1) + ':'
        for column, width in enumerate(widths)
    ) + '|'  # fmt: skip
    return '\n'.join([texts[0], rule, *texts[1:]])


def _order(measure: str) -> tuple[int, float, str]:
    name, _, where = measure.partition('@')
    place = [name for names in FAMILIES.values() for name in names].index(name)
    return place, float(where) if where.isdigit() else 1e9, where


def _number(value: float, is_at_least: bool = False) -> str:
    text = f'{value:,.0f}' if value >= 100 else f'{value:.3g}'
    return f'≥ {text}' if is_at_least else text


def verdicts(figures: Figures) -> list[dict[str, Any]]:
    """Return each target that was measured, its figure, and whether it is reached."""
    found = []
    for target in targets():
        outcome = target.outcome(figures)
        if outcome is not None:
            found.append({
                'target': str(target),
                'value': round(outcome.value, 3),
                'reached': outcome.is_reached,
                **({'bound': outcome.bound} if outcome.bound else {}),
            })  # fmt: skip
    return found


def verdict_text(found: list[dict[str, Any]]) -> str:
    """Return one line for each target."""
    lines = [f'{word:7}  {value:>8}  {target}' for word, value, target in map(_cells, found)]
    return '\n'.join([*lines, *_sum(found)])


def _cells(item: dict[str, Any]) -> tuple[str, str, str]:
    word = 'reached' if item['reached'] else 'MISSED'
    return word, f'{item.get("bound", "")} {item["value"]:.3g}'.strip(), item['target']


def _sum(found: list[dict[str, Any]]) -> list[str]:
    """Return how many were reached, and what the signs mean if there are any."""
    count = sum(item['reached'] for item in found)
    signs = {item['bound'] for item in found if 'bound' in item}
    return [
        f'{count} of {len(found)} targets measured are reached',
        *(text for sign, text in BOUNDS.items() if sign in signs),
    ]


def write(folder: Path, figures: Figures, about: dict[str, Any]) -> list[Path]:
    """Write the run as JSON, and its tables as Markdown; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    found = verdicts(figures)
    run = {'machine': about, 'figures': list(figures.rows()), 'targets': found}
    as_json, as_markdown = folder / 'latest.json', folder / 'latest.md'
    as_json.write_text(json.dumps(run, indent=1) + '\n')
    as_markdown.write_text(_markdown(figures, about, found))
    return [as_json, as_markdown]


def _markdown(figures: Figures, about: dict[str, Any], found: list[dict[str, Any]]) -> str:
    lines = [' | '.join(('', *cells, '')).strip() for cells in map(_cells, found)]
    parts = [
        '# The last run',
        'Written by `make bench`; `doc/performance.md` explains how it is measured.',
        '; '.join(f'{name} {value}' for name, value in about.items()),
        tables(figures),
    ]
    if found:
        parts += ['\n'.join(['| | figure | target |', '|---|---:|---|', *lines]), *_sum(found)]
    return '\n\n'.join(parts) + '\n'
