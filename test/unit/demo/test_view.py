# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What is shown of a run: a picture with `rich`, or a line per event."""

from __future__ import annotations

import io
import sys
from collections import deque
from types import SimpleNamespace

import pytest

from redis_bridge.demo.geometry import Pose
from redis_bridge.demo.monitor import Event, Monitor, RobotView
from redis_bridge.demo.picture import draw
from redis_bridge.demo.verdict import Record
from redis_bridge.demo.view import View, build


def monitor():
    """Return what a monitor has seen: a robot at work, one that charges, one that is dead."""
    record = Record(
        tasks={'1-0': ('P1', 'D1'), '2-0': ('P2', 'D3'), '3-0': ('P3', 'D2')}, delivered=['1-0']
    )
    robots = {
        'robot1': RobotView(
            Pose(0.0, 0.0, 0.0), 1.5, 0.83, 'busy', 'drives to D3', '2-0', True,
            trail=deque([(-1.0, 0.0)]),
        ),
        'robot2': RobotView(Pose(4.8, -0.75, 0.0), 0.0, 0.5, 'charging', 'charging'),
        'robot3': RobotView(Pose(-7.8, 1.7, 0.0), state='lost', is_dead=True),
    }  # fmt: skip
    events = [Event(float(i), f'event {i}', is_bad=i == 30) for i in range(1, 31)]
    seen = SimpleNamespace(
        robots=robots, record=record, holder='robot1', passages=4, events=deque(events)
    )
    seen.number = lambda task: Monitor.number(seen, task)
    return seen


def lines_of(columns, rows, seen):
    console = pytest.importorskip('rich.console').Console(
        width=columns, height=rows, file=io.StringIO(), force_terminal=False
    )
    console.print(build(seen, '3 robots', 'redis-cli -p 4711', columns, rows))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(('columns', 'rows'), [(80, 24), (160, 48), (80, 16), (200, 20)])
def test_a_picture_fits_the_terminal_and_has_a_map_where_there_is_room(columns, rows):
    lines = lines_of(columns, rows, monitor())
    assert len(lines) == rows - 1  # the cursor is in the last one
    assert max(map(len, lines)) <= columns
    text = '\n'.join(lines)
    assert ('1▪' in text) == (rows >= 24)
    assert 'robot1  busy     drives to D3            2 (P2 → D3) ■■■■□  83% 1.5 m/s' in text
    assert 'robot2  charging' in text and 'killed, in the way' in text
    assert 'tasks     ■ ▶ □  1 of 3 delivered' in lines
    assert 'corridor  robot1 has the lease   4 passages   rules broken: 0' in lines
    assert lines[-2] == '  30.0 s  event 30' and lines[-1] == 'redis-cli -p 4711'


def test_a_broken_rule_is_counted():
    seen = monitor()
    seen.record.violations.append('at 3.00 s: x')
    assert 'rules broken: 1' in '\n'.join(lines_of(80, 24, seen))


def test_the_map_shows_places_robots_boxes_and_wrecks_where_they_are():
    seen = monitor()
    rows = [''.join(sign for sign, _ in row) for row in draw(seen.robots, seen.holder, 11)]
    assert {len(row) for row in rows} == {73}
    (middle,) = [row for row in rows if '1▪' in row]
    assert middle.index('1▪') == 36 and '·' in middle
    assert '✖' in rows[1] and 'D1' in rows[1] and 'P3' in rows[1]
    assert all(name in '\n'.join(rows) for name in ('P1', 'P2', 'D2', 'D3'))
    seen.robots['robot3'].is_there = False
    assert '✖' not in ''.join(
        sign for row in draw(seen.robots, None, 11) for sign, _ in row
    )  # towed


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize('has_rich', [True, False])
def test_without_a_terminal_or_without_rich_each_event_is_one_line(monkeypatch, has_rich):
    if not has_rich:
        monkeypatch.setitem(sys.modules, 'rich', None)
    stream = io.StringIO() if has_rich else Terminal()
    seen = monitor()
    with View(stream, 'title') as view:
        assert not view.is_live
        view.say('starting')
        view.show(seen, 'hint')
        seen.events.append(Event(31.0, 'event 31'))
        view.show(seen, 'hint')
        view.show(seen, 'hint')
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ['starting', '   1.0 s  event 1']
    assert lines[-2:] == ['  30.0 s  event 30', '  31.0 s  event 31']
    assert len(lines) == 32


def test_on_a_terminal_a_picture_takes_the_place_of_the_one_before(monkeypatch):
    pytest.importorskip('rich')
    monkeypatch.setenv('TERM', 'xterm-256color')
    monkeypatch.setenv('COLUMNS', '80')
    monkeypatch.setenv('LINES', '24')
    terminal = Terminal()
    with View(terminal, '3 robots') as view:
        assert view.is_live
        view.show(monitor(), 'hint')
        first = terminal.tell()
        view.show(monitor(), 'hint')
        second = terminal.getvalue()[first:]
        view.say('the end')
    assert '\x1b[1A' in second  # up, line by line
    assert terminal.getvalue().endswith('the end\n')
    assert '\x1b[?25h' in terminal.getvalue()  # the cursor is back
