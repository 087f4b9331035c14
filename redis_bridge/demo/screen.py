# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Shows a run on a terminal, redrawn in place, or as one line a second anywhere else."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, TextIO

from redis_bridge.demo.monitor import RobotView, Window
from redis_bridge.demo.world import ROOM

HIDE_CURSOR, SHOW_CURSOR, CLEAR_LINE, CLEAR_BELOW = '\x1b[?25l', '\x1b[?25h', '\x1b[K', '\x1b[J'
MAP_ROWS = range(9, 22)  # smaller shows nothing, larger is not needed
MAP_COLUMNS_PER_ROW = 2 * ROOM.length / ROOM.width  # a character is twice as high as wide
ROBOT = '{:<8}{:>13}{:>9}{:>10}{:>8}{:>15}{:>15}'
ROUTE = '{:<40}{:>19}{:>19}'


class Screen:
    """Writes frames to a stream; on a terminal each takes the place of the one before."""

    def __init__(self, stream: TextIO) -> None:
        self.is_live = stream.isatty()
        self._stream = stream
        self._above = 0  # lines that stay
        self._height = 0  # lines of the frame that is shown

    def __enter__(self) -> Screen:
        if self.is_live:
            self._write(HIDE_CURSOR)
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_live:
            self._write(SHOW_CURSOR)

    def say(self, text: str) -> None:
        """Write lines that stay, below the frame that is shown."""
        self._height = 0
        self._above += text.count('\n') + 1
        self._write(text + '\n')

    def show(self, views: Mapping[str, RobotView], gap: float, elapsed: float, port: int) -> None:
        """Show the newest figures: a frame on a terminal, else a line."""
        if self.is_live:
            size = shutil.get_terminal_size()
            self.draw(frame(views, gap, elapsed, port, size, self._above))
        else:
            self.say(line(views, gap, elapsed))

    def draw(self, lines: Sequence[str]) -> None:
        """Put a frame in the place of the last one."""
        up = f'\x1b[{self._height}A' if self._height else ''
        body = ''.join(f'{line}{CLEAR_LINE}\n' for line in lines)
        self._height = len(lines)
        self._write(f'\r{up}{body}{CLEAR_BELOW}')

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def frame(
    views: Mapping[str, RobotView], gap: float, elapsed: float, port: int, size: tuple[int, int],
    above: int = 0,
) -> list[str]:  # fmt: skip
    """Return what a terminal shows: the figures, and as large a map as fits.

    `port` is that of the server, `size` the columns and rows of the terminal. `above` is how many
    lines there are above the frame, which a smaller map leaves in view.
    """
    columns, rows = size[0] - 1, size[1] - 1
    now = time.monotonic()
    text = [ROBOT.format('', 'x      y', 'heading', 'speed', 'motor', 'odom out', 'cmd_vel in')]
    text += [_robot(robot, view, now) for robot, view in views.items()]
    bottom = f'{elapsed:5.1f} s   gap {gap:.2f} m   redis-cli -p {port}   Ctrl-C ends it'
    text += ['', *_routes(views), '', bottom]
    left = rows - len(text)
    if left - above in MAP_ROWS:
        left -= above
    map_rows = min(left, int(columns / MAP_COLUMNS_PER_ROW), MAP_ROWS.stop - 1)
    picture = _map(list(views.values()), map_rows) if map_rows in MAP_ROWS else []
    return [each[:columns] for each in (*picture, *text[:rows])]


def line(views: Mapping[str, RobotView], gap: float, elapsed: float) -> str:
    """Return one line with the figures."""
    now = time.monotonic()
    parts = [f'{elapsed:5.1f} s', f'gap {gap:.2f} m']
    for robot, view in views.items():
        parts.append(
            f'{robot} at {_place(view)}, {view.speed:.2f} m/s, '
            f'odom {_flow(view.odom, now)}, cmd_vel {_flow(view.commands, now)}, '
            f'dropped {_drops(view.routes)}'
        )
    return ' | '.join(parts)


def _robot(robot: str, view: RobotView, now: float) -> str:
    heading = '-' if view.pose is None else f'{math.degrees(view.pose.heading):.0f} deg'
    return ROBOT.format(
        robot, _place(view), heading, f'{view.speed:.2f} m/s', f'{view.temperature or "-"} C',
        _flow(view.odom, now), _flow(view.commands, now),
    )  # fmt: skip


def _routes(views: Mapping[str, RobotView]) -> list[str]:
    """Return a table of what the bridges report of themselves: a row per route."""
    table = [ROUTE.format('as the bridges report it', *views)]
    for routes in zip_longest(*(view.routes for view in views.values())):
        name, cells = '', []
        for robot, route in zip(views, routes, strict=True):
            if route is None:
                cells.append('-')
            else:
                name = route['route'].replace(robot, '*')
                cells.append(f'{route["rate_hz"]:.1f} Hz {route["latency_ms"]:.1f} ms')
        table.append(ROUTE.format(name, *cells))
    table += [f'{robot} dropped: {_drops(view.routes)}' for robot, view in views.items()]
    table += [
        f'{robot}: {route["route"]}: {route["state"]}'
        for robot, view in views.items()
        for route in view.routes
        if route['state'] != 'open'
    ]
    return table


def _place(view: RobotView) -> str:
    return '-' if view.pose is None else f'{view.pose.x:.2f} {view.pose.y:6.2f}'


def _flow(window: Window, now: float) -> str:
    rate_hz, latency_ms = window.flow(now)
    took = '-' if latency_ms is None else f'{latency_ms:.1f}'
    return f'{rate_hz:.1f} Hz {took} ms'


def _drops(routes: Sequence[Mapping[str, Any]]) -> str:
    """Return what a bridge gave up so far, by reason."""
    total: Counter[str] = Counter()
    for route in routes:
        total.update(route['dropped'])
    return ', '.join(f'{count} {reason}' for reason, count in sorted(total.items())) or 'none'


def _map(views: Sequence[RobotView], rows: int) -> list[str]:
    """Return the room from above, of nothing but what the robots reported; the last sign wins."""
    columns = int(rows * MAP_COLUMNS_PER_ROW)
    cells = [[' '] * columns for _ in range(rows)]

    def put(points: Iterable[tuple[float, float]], sign: str) -> None:
        for x, y in points:
            column = round((x / ROOM.length + 0.5) * (columns - 1))
            row = round((0.5 - y / ROOM.width) * (rows - 1))
            if 0 <= column < columns and 0 <= row < rows:
                cells[row][column] = sign

    for view in views:
        put(view.walls, ':')
    for view, sign in zip(views, '.,', strict=True):
        put(view.trail, sign)
    for view in views:
        put(view.hits, '*')
    for view, sign in zip(views, '12', strict=True):
        if view.pose is not None:
            put([(view.pose.x, view.pose.y)], sign)
    return [''.join(row).rstrip() for row in cells]
