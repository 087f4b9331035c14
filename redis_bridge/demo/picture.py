# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Draws the warehouse from above in characters, with what Redis says of the robots."""

from __future__ import annotations

from collections.abc import Mapping

from redis_bridge.demo.monitor import RobotView
from redis_bridge.demo.warehouse import CORRIDOR, FLOOR, PLACES, SHELVES, WALLS, Box

COLOURS = ('cyan', 'magenta', 'yellow', 'green', 'blue', 'red')
COLUMNS_PER_ROW = 2 * (FLOOR.east - FLOOR.west) / (FLOOR.north - FLOOR.south)  # of a character
PLACE_STYLES = {'pick': 'bold green', 'deliver': 'bold blue', 'dock': 'dim'}

Cell = tuple[str, str]  # a character and its style


def colour_of(robot: str) -> str:
    """Return the colour of a robot."""
    return COLOURS[(int(robot.removeprefix('robot')) - 1) % len(COLOURS)]


def draw(robots: Mapping[str, RobotView], holder: str | None, rows: int) -> list[list[Cell]]:
    """Return the rows of a picture; the corridor has the colour of who holds its lease."""
    columns = round(rows * COLUMNS_PER_ROW)
    cells: list[list[Cell]] = [[(' ', '')] * columns for _ in range(rows)]

    def column(x: float) -> int:
        part = (x - FLOOR.west) / (FLOOR.east - FLOOR.west)
        return min(columns - 1, max(0, int(part * columns)))

    def row(y: float) -> int:
        part = (FLOOR.north - y) / (FLOOR.north - FLOOR.south)
        return min(rows - 1, max(0, int(part * rows)))

    def fill(box: Box, sign: str, style: str) -> None:
        """Fill the characters whose middles are in the box."""
        for r in range(rows):
            for c in range(columns):
                x = FLOOR.west + (c + 0.5) / columns * (FLOOR.east - FLOOR.west)
                y = FLOOR.north - (r + 0.5) / rows * (FLOOR.north - FLOOR.south)
                if box.west <= x <= box.east and box.south <= y <= box.north:
                    cells[r][c] = (sign, style)

    def put(x: float, y: float, text: str, style: str) -> None:
        """Write a text whose first character is at a point."""
        for c, sign in enumerate(text, column(x)):
            if c < columns:
                cells[row(y)][c] = (sign, style)

    for wall in WALLS:
        fill(wall, '█', 'grey37')
    for shelf in SHELVES:
        fill(shelf, '▒', 'yellow4')
    fill(CORRIDOR, '░', 'dim' if holder is None else colour_of(holder))
    for name, place in PLACES.items():
        put(place.x, place.y, '▁' if place.kind == 'dock' else name, PLACE_STYLES[place.kind])
    for robot, view in robots.items():
        for x, y in view.trail:
            if view.is_there:
                put(x, y, '·', colour_of(robot))
    for robot, view in robots.items():
        if view.pose is not None and view.is_there:
            number = robot.removeprefix('robot')
            sign, style = (
                f'{number}▪' if view.has_box else number,
                f'bold reverse {colour_of(robot)}',
            )
            if view.is_dead:
                sign, style = '✖', 'bold red'
            put(view.pose.x, view.pose.y, sign, style)
    return cells
