# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Tells the figures: as tables, as JSON, and what became of the targets."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.contestants import OUT
from bench.figures import Figures
from bench.targets import targets

WAYS = {'out': 'ROS → Redis', 'in': 'Redis → ROS'}


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
    """Return one table per direction and kind, a line for each contestant."""
    groups: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for subject in figures.subjects():
        lines = groups.setdefault((subject.direction, subject.kind), {})
        lines[subject.contestant] = figures.measures(subject)
    return '\n\n'.join(
        _table(f'{WAYS[direction]}, {kind}', lines) for (direction, kind), lines in groups.items()
    )


def _table(title: str, lines: dict[str, dict[str, float]]) -> str:
    """Return a table that has the columns for which there is a figure."""
    measures = list(dict.fromkeys(name for line in lines.values() for name in line))
    measures.sort(key=lambda name: _order(name))
    rows = [[title, *(name.replace('@', ' @ ') for name in measures)]]
    for name, line in lines.items():
        rows.append([name, *(_number(line.get(measure)) for measure in measures)])
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


def _order(measure: str) -> tuple[int, float]:
    name, _, where = measure.partition('@')
    names = ('rate', 'cpu_us', 'server_us', 'p50_ms', 'p90_ms', 'p99_ms')
    place = names.index(name) if name in names else len(names)
    return place, float(where) if where.isdigit() else 1e9


def _number(value: float | None) -> str:
    if value is None:
        return ''
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def verdicts(figures: Figures) -> list[dict[str, Any]]:
    """Return each target that was measured, its figure, and whether it is reached."""
    found = []
    for target in targets():
        outcome = target.reached(figures)
        if outcome is not None:
            value, good = outcome
            found.append({'target': str(target), 'value': round(value, 3), 'reached': good})
    return found


def verdict_text(found: list[dict[str, Any]]) -> str:
    """Return one line for each target."""
    lines = [
        f'{"reached" if item["reached"] else "MISSED ":7}  {item["value"]:>8.3g}  {item["target"]}'
        for item in found
    ]
    count = sum(item['reached'] for item in found)
    return '\n'.join([*lines, f'{count} of {len(found)} targets measured are reached'])


def write(folder: Path, figures: Figures, about: dict[str, Any]) -> Path:
    """Write the run as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'latest.json'
    run = {'machine': about, 'figures': list(figures.rows()), 'targets': verdicts(figures)}
    path.write_text(json.dumps(run, indent=1) + '\n')
    return path


def plot(folder: Path, figures: Figures, about: dict[str, Any]) -> Path | None:
    """Draw rates, CPU and latency of the contestants side by side; None without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use('Agg')
    from matplotlib import pyplot

    panels = [
        (title, unit, groups)
        for title, unit, measure in (
            ('Sustained rate', 'messages/s (log)', 'rate'),
            ('CPU per message, at the sustained rate', 'µs (log)', 'cpu_us@sustained'),
            ('Latency at 1000 Hz, median', 'ms', 'p50_ms@1000'),
        )
        if (groups := _groups(figures, measure))
    ]
    if not panels:
        return None
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(10, 3.2 * len(panels)), layout='constrained', squeeze=False
    )
    for axis, (title, unit, groups) in zip(axes[:, 0], panels):
        _bars(axis, groups)
        axis.set(title=title, ylabel=unit)
        heights = [value for group in groups.values() for value in group.values()]
        if 'log' in unit:
            bottom = 10 ** math.floor(math.log10(min(heights)) - 0.3)
            axis.set(yscale='log', ylim=(bottom, 2 * max(heights)))
        else:
            axis.set_ylim(0, 1.15 * max(heights))
        axis.grid(axis='y', alpha=0.3)
        axis.set_axisbelow(True)
    shown = dict(zip(*reversed(axes[0, 0].get_legend_handles_labels())))
    figure.legend(
        shown.values(), shown.keys(), loc='outside lower center', ncols=7, fontsize='small'
    )
    figure.suptitle(
        f'redis_bridge on {about["cores"]} cores of {about["processor"]}, Python '
        f'{about["python"]}, rclpy {about["rclpy"]}, {about["server"]}',
        fontsize='small',
    )
    path = folder / 'latest.png'
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


COLOURS = {
    'floor': '#9aa5b1',
    'hand': '#d9822b',
    'empty': '#e8c468',
    'bridge msgpack': '#1f6feb',
    'bridge json': '#58a6ff',
    'bridge cdr': '#0b3d91',
    'bridge notice': '#2da44e',
}


def _groups(figures: Figures, measure: str) -> dict[str, dict[str, float]]:
    """Return, by kind and way, the figures of the contestants that have a colour."""
    groups: dict[str, dict[str, float]] = {}
    for subject in figures.subjects():
        value = figures.median(subject, measure)
        if value and subject.contestant in COLOURS:
            way = '' if subject.direction == OUT else '\n(to ROS)'
            groups.setdefault(subject.kind + way, {})[subject.contestant] = value
    return groups


def _bars(axis: Any, groups: dict[str, dict[str, float]]) -> None:
    names = [name for name in COLOURS if any(name in group for group in groups.values())]
    for name in names:
        places, heights = [], []
        for number, group in enumerate(groups.values()):
            if name in group:
                shown = [other for other in names if other in group]
                width = 0.8 / len(shown)
                places.append((number - 0.4 + width * (shown.index(name) + 0.5), width))
                heights.append(group[name])
        bars = axis.bar(
            [place for place, _ in places], heights,
            [width for _, width in places], color=COLOURS[name], label=name,
        )  # fmt: skip
        axis.bar_label(bars, [_number(height) for height in heights], fontsize=6, padding=1)
    axis.set_xticks(range(len(groups)), list(groups), fontsize='small')
