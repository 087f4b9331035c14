# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Shows a run on a terminal with `rich`, or as one line per event anywhere else."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, TextIO

from redis_bridge.demo.monitor import Event, Monitor, RobotView
from redis_bridge.demo.picture import COLUMNS_PER_ROW, colour_of, draw

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

MIN_MAP_ROWS, MAX_MAP_ROWS = 9, 24
MIN_EVENTS = 3
COLUMNS = {'robot': 7, 'state': 8, 'what it does': 23, 'task': 9, 'battery': 10, 'speed': 8}
LEGEND = 'P pick up  D deliver  ▁ dock  ▪ box  ░ corridor'
STATE_STYLES = {'busy': 'bold', 'charging': 'green', 'idle': 'dim', 'lost': 'bold red'}


class View:
    """Writes to a stream; on a terminal each picture takes the place of the one before."""

    def __init__(self, stream: TextIO, title: str) -> None:
        self._stream = stream
        self._title = title
        self._opened = ExitStack()
        self._shown: Event | None = None  # the last one that has its line
        self._console: Console | None = None
        if stream.isatty() and find_spec('rich'):
            from rich.console import Console
            from rich.live import Live

            console = Console(file=stream)
            if not console.is_dumb_terminal:
                self._console = console
                self._live = Live(console=console, auto_refresh=False, vertical_overflow='crop')

    @property
    def is_live(self) -> bool:
        """Whether pictures are shown, not lines."""
        return self._console is not None

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def say(self, text: str) -> None:
        """Write lines that stay, below what is shown."""
        self._opened.close()
        self._stream.write(text + '\n')
        self._stream.flush()

    def show(self, monitor: Monitor, hint: str) -> None:
        """Show the newest: a picture, or the new events."""
        if self._console is None:
            self._write_events(monitor)
            return
        picture = build(monitor, self._title, hint, self._console.width, self._console.height)
        self._live.update(picture)
        if not self._live.is_started:
            self._opened.enter_context(self._live)
        self._live.refresh()

    def _write_events(self, monitor: Monitor) -> None:
        new = list(monitor.events)
        if self._shown in new:
            new = new[new.index(self._shown) + 1 :]
        for event in new:
            self._stream.write(f'{event.time:6.1f} s  {event.text}\n')
        self._stream.flush()
        self._shown = monitor.events[-1] if monitor.events else None


def build(monitor: Monitor, title: str, hint: str, columns: int, rows: int) -> Group:
    """Return a picture that fits a terminal of that size."""
    from rich.console import Group
    from rich.text import Text

    robots = monitor.robots
    others = 1 + len(robots) + 1 + 1 + 1 + 1 + 1  # title, table, tasks, corridor, hint, below
    map_rows = min(
        rows - others - MIN_EVENTS - 2, int((columns - 2) / COLUMNS_PER_ROW), MAX_MAP_ROWS
    )
    head = Text(title, style='bold', no_wrap=True)
    head.append(LEGEND.rjust(columns - len(head) - 1), style='not bold dim')
    parts: list[Text | Table] = [head]
    used = others
    if map_rows >= MIN_MAP_ROWS:
        parts += _framed(draw(robots, monitor.holder, map_rows))
        used += map_rows + 2
    parts.append(_table(monitor))
    parts += [_tasks(monitor), _corridor(monitor)]
    events = list(monitor.events)[-max(1, rows - used) :]
    events += [Event(0.0, '')] * (rows - used - len(events))
    for event in events:
        line = Text(f'{event.time:6.1f} s  {event.text}' if event.text else '', no_wrap=True)
        line.stylize('red' if event.is_bad else 'dim')
        parts.append(line)
    parts.append(Text(hint, style='italic', no_wrap=True, overflow='ellipsis'))
    return Group(*parts)


def _framed(cells: list[list[tuple[str, str]]]) -> list[Text]:
    from rich.text import Text

    width = len(cells[0])
    lines = [Text('┌' + '─' * width + '┐', style='grey37')]
    for row in cells:
        line = Text(no_wrap=True)
        for sign, style in [('│', 'grey37'), *row, ('│', 'grey37')]:
            line.append(sign, style)
        lines.append(line)
    return [*lines, Text('└' + '─' * width + '┘', style='grey37')]


def _table(monitor: Monitor) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), header_style='dim')
    for title, width in COLUMNS.items():
        table.add_column(title, no_wrap=True, min_width=width)
    for name, view in monitor.robots.items():
        table.add_row(*_row(monitor, name, view))
    return table


def _row(monitor: Monitor, name: str, view: RobotView) -> list[Text]:
    from rich.text import Text

    doing, task, battery = view.doing, '', ''
    if view.is_dead:
        doing = 'killed, in the way' if view.is_there else 'killed, towed away'
    elif view.doing == view.state:
        doing = ''
    if view.task is not None and not view.is_dead:
        task = monitor.number(view.task).removeprefix('task ')
    if view.charge is not None and not view.is_dead:
        full = round(5 * view.charge)
        battery = f'{"■" * full}{"□" * (5 - full)} {view.charge:4.0%}'
    style = STATE_STYLES.get(view.state, '')
    return [
        Text(name, style=f'bold {colour_of(name)}'),
        Text('dead' if view.is_dead and view.state != 'lost' else view.state, style=style),
        Text(doing, style='red' if view.is_dead else ''),
        Text(task),
        Text(battery, style='green' if (view.charge or 0.0) > 0.3 else 'red'),
        Text(f'{abs(view.speed):.1f} m/s' if not view.is_dead else ''),
    ]


def _tasks(monitor: Monitor) -> Text:
    from rich.text import Text

    record = monitor.record
    times = Counter(record.delivered)
    under_way = {view.task for view in monitor.robots.values()}
    line = Text('tasks     ', style='dim', no_wrap=True)
    done = 0
    for id_ in record.tasks:
        done += times[id_] > 0
        sign, style = ('■', 'bold green') if times[id_] else ('□', 'dim')
        if not times[id_] and id_ in under_way:
            sign, style = '▶', 'bold yellow'
        line.append(f'{sign} ', style=f'not dim {style}')
    line.append(f' {done} of {len(record.tasks)} delivered', style='not dim bold')
    return line


def _corridor(monitor: Monitor) -> Text:
    from rich.text import Text

    line = Text('corridor  ', style='dim', no_wrap=True)
    if monitor.holder is None:
        line.append('free', style='not dim')
    else:
        line.append(
            f'{monitor.holder} has the lease', style=f'not dim {colour_of(monitor.holder)}'
        )
    line.append(f'   {monitor.passages} passages', style='not dim')
    broken = len(monitor.record.violations)
    line.append(
        f'   rules broken: {broken}', style='not dim bold red' if broken else 'not dim bold green'
    )
    return line
