# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Draws the figures for the README: what a user wants to know at a glance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.candidates import IN, OUT
from bench.figures import Figures, Subject

DPI = 100
SIZE = (10, 11)  # inches: 1000 pixels wide
SMALL = 9
# By name: what the legend says, and the colour.
SHOWN = {
    'floor': ('floor: raw bytes, no features', '#9aa5b1'),
    'bridge msgpack': ('bridge (msgpack)', '#1f6feb'),
    'bridge notice': ('bridge, payload in the key only', '#2da44e'),
    'empty': ('empty rclpy callback', '#e0b73c'),
    'hand': ('hand-written rclpy + json node', '#d9822b'),
}
KIND_LABELS = {
    'String': 'String\n100 B',
    'JointState': 'JointState\n7 joints',
    'LaserScan': 'LaserScan\n720, lists',
    'LaserScan typed': 'LaserScan\n720, typed',
    'Image': 'Image\n640×480',
    'PointCloud2': 'PointCloud2\n1 MB',
}

Cell = tuple[float, str]  # a height, and what is written on it
Groups = dict[str, dict[str, Cell]]  # by the label below, by candidate


def draw(folder: Path, figures: Figures, about: dict[str, Any]) -> Path | None:
    """Draw latest.png; None without matplotlib, or with nothing to show."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use('Agg')
    from matplotlib import pyplot

    rates_out, rates_in = _rates(figures, OUT), _rates(figures, IN)
    cpu = _cpu(figures)
    p50, p99 = _latency(figures, 50), _latency(figures, 99)
    if not (rates_out or rates_in or cpu or p50):
        return None
    with pyplot.style.context('default'):
        figure = pyplot.figure(figsize=SIZE, dpi=DPI, layout='constrained', facecolor='white')
        grid = figure.add_gridspec(3, 2)
        unit = 'messages/s (log scale)'
        _panel(figure, grid[0, :], 'Sustained rate, ROS → Redis', unit, rates_out)
        _panel(figure, grid[1, 0], 'Sustained rate, Redis → ROS', unit, rates_in)
        _panel(figure, grid[1, 1], 'CPU per Odometry, ROS → Redis', 'µs per message', cpu)
        title = 'Latency end to end: p50 (solid) and p99 (pale)'
        _panel(figure, grid[2, :], title, 'ms', p50, p99)
        _legend(figure)
        figure.supxlabel(_small_print(about), fontsize=SMALL, color='#57606a')
        path = folder / 'latest.png'
        figure.savefig(path, facecolor='white')
        pyplot.close(figure)
    return path


def _rates(figures: Figures, direction: str) -> Groups:
    """Return the sustained rates by kind; ≥ where the load was at its end."""
    names = ('floor', 'bridge msgpack', 'bridge notice', 'hand')
    groups: Groups = {}
    for kind in _kinds(figures, direction):
        for name in names:
            subject = Subject(direction, kind, name)
            if value := figures.median(subject, 'rate'):
                sign = '≥' if figures.is_at_least(subject, 'rate') else ''
                label = KIND_LABELS.get(kind, kind)
                groups.setdefault(label, {})[name] = value, sign + _short(value)
    return groups


def _cpu(figures: Figures) -> Groups:
    """Return the CPU time of an Odometry at fixed rates."""
    names = ('floor', 'bridge msgpack', 'empty', 'hand')
    return _at_fixed_rates(figures, [(OUT, 'Odometry')], 'cpu_us', names, lambda us: f'{us:,.0f}')


def _latency(figures: Figures, percent: int) -> Groups:
    """Return a percentile by kind and rate."""
    ways = [(way, kind) for way in (OUT, IN) for kind in _kinds(figures, way)]
    names = ('floor', 'bridge msgpack')
    return _at_fixed_rates(figures, ways, f'p{percent}_ms', names, lambda ms: f'{ms:.2f}')


def _at_fixed_rates(
    figures: Figures,
    ways: Sequence[tuple[str, str]],
    measure: str,
    names: Sequence[str],
    label: Callable[[float], str],
) -> Groups:
    groups: Groups = {}
    for direction, kind in ways:
        for hz in (100, 1000):
            cells = {
                name: (value, label(value))
                for name in names
                if (value := figures.median(Subject(direction, kind, name), f'{measure}@{hz}'))
            }
            if cells:
                group = f'at {hz:,} Hz'
                if len(ways) > 1:
                    way = 'to Redis' if direction == OUT else 'to ROS'
                    group = f'{kind}\n{way}\n{group}'
                groups[group] = cells
    return groups


def _kinds(figures: Figures, direction: str) -> list[str]:
    subjects = [subject for subject in figures.subjects() if subject.direction == direction]
    return list(dict.fromkeys(subject.kind for subject in subjects))


def _short(value: float) -> str:
    """Return a rate in few letters."""
    if value >= 10_000:
        return f'{value / 1000:.0f}k'
    return f'{value / 1000:.1f}k' if value >= 1000 else f'{value:.0f}'


def _panel(
    figure: Any, place: Any, title: str, unit: str, groups: Groups, behind: Groups | None = None
) -> None:
    """Draw bars side by side in groups; `behind`: taller and paler ones in the same places."""
    axis = figure.add_subplot(place)
    axis.set_title(title, fontsize=12, fontweight='bold', loc='left')
    axis.set_ylabel(unit, fontsize=10)
    axis.spines[['top', 'right']].set_visible(False)
    if not groups:
        axis.text(0.5, 0.5, 'not measured', ha='center', transform=axis.transAxes)
        axis.set(xticks=[], yticks=[])
        return
    for layer, alpha in ((behind or {}, 0.35), (groups, 1.0)):
        for number, cells in enumerate(layer.values()):
            width = 0.84 / max(len(cells), 3)
            for at, (name, (height, text)) in enumerate(cells.items()):
                x = number + (at - (len(cells) - 1) / 2) * width
                axis.bar(x, height, 0.92 * width, color=SHOWN[name][1], alpha=alpha)
                inside = behind is not None and layer is groups
                axis.annotate(
                    text, (x, height), (0, -2 if inside else 2), textcoords='offset points',
                    ha='center', va='top' if inside else 'bottom', fontsize=SMALL,
                    color='white' if inside and name != 'floor' else 'black',
                )  # fmt: skip
    heights = [cell[0] for layer in (groups, behind or {}) for cells in layer.values()
               for cell in cells.values()]  # fmt: skip
    if 'log' in unit:
        bottom = 10 ** math.floor(math.log10(min(heights)) - 0.3)
        axis.set(yscale='log', ylim=(bottom, 2 * max(heights)))
    else:
        axis.set_ylim(0, 1.12 * max(heights))
    axis.yaxis.set_major_formatter(lambda value, _: f'{value:,g}')
    axis.set_xticks(range(len(groups)), list(groups), fontsize=SMALL)
    axis.set_xlim(-0.5, len(groups) - 0.5)
    axis.tick_params(axis='x', length=0)
    axis.tick_params(axis='y', labelsize=SMALL)
    axis.grid(axis='y', alpha=0.3)
    axis.set_axisbelow(True)


def _legend(figure: Any) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=colour, label=text) for text, colour in SHOWN.values()]
    figure.legend(handles=patches, loc='outside upper center', ncols=3, fontsize=10, frameon=False)


def _small_print(about: dict[str, Any]) -> str:
    return (
        f'{about["processor"]}, {about["cores"]} cores, all processes on them; '
        f'{about["server"]}, Python {about["python"]}, rclpy {about["rclpy"]}; '
        f'{about["rounds"]} rounds, {about["time"][:10]}\n'
        '≥: limited by what the benchmark itself can send or receive'
    )
