# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command `status`: what the bridges of robots carry, route by route."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from redis_bridge.cli.options import Command, connect
from redis_bridge.cli.output import complain, is_number, span, table, to_json

if TYPE_CHECKING:
    from redis_bridge.client.client import Robot

COLUMNS = ('ROUTE', 'DIRECTION', 'STATE', 'CARRIED', 'RATE', 'LATENCY', 'DROPPED')


class Status(Command):
    """Show what the bridges of robots carry, route by route.

    Each robot that has sent a heartbeat within its time to live (6 s unless its mapping says
    otherwise), with the state of its connections and, for each route, the messages carried and
    dropped, the rate and the latency. `robots` has one line per robot, and who is lost.

    examples:
      redis-bridge status
      redis-bridge status robot1
      redis-bridge status --json | jq '.[] | {name, age}'
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('robot', nargs='?', metavar='ROBOT', help='one robot (default: all)')
        parser.add_argument(
            '--json',
            action='store_true',
            help='a JSON list of robots; with ROBOT, that object alone',
        )

    def run(self, args: argparse.Namespace) -> None:
        with connect(args) as client:
            if args.robot:
                robots = [client.robot(args.robot)]
            else:
                robots = client.robots(on_notice=complain)
        if args.json:
            found = [_fields(robot) for robot in robots]
            print(to_json(found[0] if args.robot else found))
        elif robots:
            print('\n\n'.join('\n'.join(_lines(robot)) for robot in robots))
        else:
            complain('no robot is online: no heartbeat is in Redis')


def _fields(robot: Robot) -> dict[str, Any]:
    fields = dataclasses.asdict(robot)
    reported = fields.pop('status')
    return {**fields, **reported}


def _lines(robot: Robot) -> Iterator[str]:
    """Yield the lines about one robot; every field may be missing."""
    state = robot.status
    facts = [robot.name]
    if robot.age is not None:
        facts.append(f'seen {robot.age:.1f} s ago')
    if is_number(state.get('since')):
        facts.append(f'up {span(time.time() - state["since"])}')
    facts += [
        f'{key} {state[key]}'
        for key in sorted(state)
        if key not in ('since', 'state', 'routes') and not isinstance(state[key], dict)
    ]
    facts += [f'boot {robot.boot}', f'protocol {robot.protocol}']
    yield ', '.join(facts)
    connections = state.get('state')
    if isinstance(connections, dict):
        for role, text in connections.items():
            if text != 'connected':
                yield f'  {role}: {text}'
        if connections and all(text == 'connected' for text in connections.values()):
            yield f'  connected: {", ".join(connections)}'
    elif connections is not None:
        yield f'  state: {connections}'
    routes = [route for route in state.get('routes') or () if isinstance(route, dict)]
    if routes:
        for line in table([COLUMNS, *map(_cells, routes)], right=(3, 4, 5)):
            yield f'  {line}'


def _cells(route: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of one route."""
    dropped = route.get('dropped')
    if isinstance(dropped, dict):
        dropped = ', '.join(f'{reason} {count}' for reason, count in sorted(dropped.items()))
    rate, latency = route.get('rate_hz'), route.get('latency_ms')
    return (
        str(route.get('route', '?')),
        str(route.get('direction', '')),
        str(route.get('state', '')),
        str(route.get('carried', '')),
        f'{rate:.1f} Hz' if is_number(rate) else '',
        f'{latency:.1f} ms' if is_number(latency) else '',
        str(dropped or ''),
    )
