# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command `robots`: the roster, one line per robot."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from redis_bridge.cli.options import Command, connect
from redis_bridge.cli.output import complain, cut, is_number, printable, span, table, to_json
from redis_bridge.protocol.fleet import LOST, ONLINE, RobotEvent

if TYPE_CHECKING:
    from redis_bridge.client.client import Client, Robot

COLUMNS = (
    'ROBOT', 'STATE', 'SINCE', 'HOST', 'ROUTES', 'RATE', 'DROPPED', 'BATTERY', 'CONNECTION',
)  # fmt: skip


class Robots(Command):
    """Show which robots are online, one line per robot.

    STATE is `online`; `offline` (its bridge ended in order) or `lost` (its heartbeat ended), both
    for a day; or `closed`, for a bridge that waits for its robot's name, or whose name another
    bridge has. ROUTES is how many of its routes are open; RATE the messages per second of all of
    them; DROPPED what they dropped since their start. BATTERY is there if the bridge writes a
    sensor_msgs/msg/BatteryState to a key or hash. `status` shows each route.

    With --watch, the last change of each robot, then each change as it happens, one per line.

    examples:
      redis-bridge robots
      redis-bridge robots --json | jq -r '.[] | select(.state == "online") | .name'
      redis-bridge robots --watch
      redis-bridge robots --watch --json | jq --unbuffered 'select(.event == "lost")'
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            '--watch',
            action='store_true',
            help='robots that come, leave or are lost, until Ctrl-C',
        )
        parser.add_argument(
            '--json',
            action='store_true',
            help='a JSON list of robots; with --watch a JSON object per line: event (online, '
            'offline, lost), robot, host, boot and stamp (seconds)',
        )

    def run(self, args: argparse.Namespace) -> None:
        with connect(args) as client:
            if args.watch:
                for event in client.watch_robots(on_notice=complain):
                    print(event.to_json() if args.json else _line(event), flush=True)
                return
            found = _found(client)
            now = client.now()
        if args.json:
            print(to_json(found))
        elif found:
            rows = [tuple(printable(cell, sys.stdout) for cell in _cells(r, now)) for r in found]
            for line in table([COLUMNS, *rows], right=(4, 5, 6, 7)):
                print(cut(line, sys.stdout))
        else:
            complain('no robot is known: neither a heartbeat nor a roster is in Redis')


def _line(event: RobotEvent) -> str:
    clock = datetime.datetime.fromtimestamp(event.stamp).strftime('%H:%M:%S.%f')[:-3]
    text = f'{clock} {event.robot} {event.event} (host {event.host}, boot {event.boot})'
    return cut(printable(text, sys.stdout), sys.stdout)


def _found(client: Client) -> list[dict[str, Any]]:
    """Return all that is known of each robot, by name."""
    beating = {robot.name: robot for robot in client.robots(on_notice=complain)}
    known = {event.robot: event for event in client.roster()}
    batteries = client.batteries(beating)
    found = []
    for name in sorted({*beating, *known}):
        robot, event = beating.get(name), known.get(name)
        if robot is not None:
            found.append(_present(robot, event, batteries.get(name)))
        elif event is not None:
            gone = LOST if event.event == ONLINE else event.event
            found.append(_summary(name, gone, event.stamp, event.host, event.boot))
    return found


def _summary(
    name: str, state: str, since: float | None, host: str | None, boot: str | None
) -> dict[str, Any]:
    return {'name': name, 'state': state, 'since': since, 'host': host, 'boot': boot}


def _present(robot: Robot, event: RobotEvent | None, battery: float | None) -> dict[str, Any]:
    """Return what a robot with a heartbeat reports; every field may be missing."""
    said = robot.status
    since = said.get('since')
    if event is not None and (event.event, event.boot) == (ONLINE, robot.boot):
        since = event.stamp
    routes = [route for route in said.get('routes') or () if isinstance(route, dict)]
    drops = [route['dropped'] for route in routes if isinstance(route.get('dropped'), dict)]
    return {
        **_summary(
            robot.name,
            'closed' if robot.is_closed else ONLINE,
            since if is_number(since) else None,
            said.get('host'),
            robot.boot,
        ),
        'routes': len(routes),
        'routes_open': sum(route.get('state') == 'open' for route in routes),
        'rate_hz': round(_sum(route.get('rate_hz') for route in routes), 3),
        'dropped': _sum(count for each in drops for count in each.values()),
        'battery': battery,
        'connection': _connection(said.get('state')),
    }


def _sum(values: Any) -> Any:
    return sum(value for value in values if is_number(value))


def _connection(states: Any) -> str | None:
    """Return 'connected', or what is wrong with connections."""
    if not isinstance(states, dict):
        return None
    problems = [f'{role}: {text}' for role, text in states.items() if text != 'connected']
    return '; '.join(problems) or 'connected'


def _cells(robot: Mapping[str, Any], now: float) -> tuple[str, ...]:
    since, battery, rate = (robot.get(key) for key in ('since', 'battery', 'rate_hz'))
    return (
        robot['name'],
        robot['state'],
        '' if since is None else span(now - since),
        str(robot['host'] or ''),
        f'{robot["routes_open"]}/{robot["routes"]}' if 'routes' in robot else '',
        '' if rate is None else f'{rate:.1f} Hz',
        str(robot.get('dropped', '')),
        '' if battery is None else f'{battery:.0%}',
        robot.get('connection') or '',
    )
