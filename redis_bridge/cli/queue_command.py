# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command `queue`: what is in a queue of tasks, and dead tasks put back."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from redis_bridge.cli.options import Command, connect, count
from redis_bridge.cli.output import cut, printable, span, table, to_json

if TYPE_CHECKING:
    from redis_bridge.client.client import QueueStatus

ALL = 'all'
ALL_MOST = 1_000_000  # more than are kept
REASON_WIDTH = 60


class Queue(Command):
    """Show the tasks of a queue, or put dead ones back.

    How many tasks wait; which ones are claimed, by which worker, since when and in which try;
    which ones are dead, and why: after three tries, or because they could not be read. --requeue
    puts a dead task back at the end, with three new tries.

    examples:
      redis-bridge queue tasks
      redis-bridge queue tasks --json | jq '.dead[] | {id, reason}'
      redis-bridge queue tasks --requeue 1795744137586-0
      redis-bridge queue tasks --requeue all
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('name', metavar='NAME', help='a queue, by the name of its stream')
        parser.add_argument(
            '--requeue', metavar='ID', help='put this dead task back; `all`: all of them'
        )
        parser.add_argument(
            '--count', type=count, default=20, metavar='N', help='list N of each (default: 20)'
        )
        parser.add_argument('--json', action='store_true', help='one line of JSON, with all')

    def run(self, args: argparse.Namespace) -> None:
        with connect(args) as client:
            queue = client.queue(args.name)
            if args.requeue is not None:
                ids = [args.requeue]
                if args.requeue == ALL:
                    ids = [dead.id for dead in queue.status(ALL_MOST).dead]
                for id_ in ids:
                    print(f'{id_} is task {queue.requeue(id_)} now')
                return
            status = queue.status(ALL_MOST if args.json else args.count)
        if args.json:
            fields = dataclasses.asdict(status)
            for part in ('claimed', 'dead'):
                fields[part] = [task._asdict() for task in getattr(status, part)]
            print(to_json(fields))
        else:
            for line in _lines(status, args.count):
                print(cut(printable(line, sys.stdout), sys.stdout))


def _lines(status: QueueStatus, most: int) -> Iterator[str]:
    claimed = status.claimed[:most]
    yield (
        f'{status.name}: {status.waiting} waiting, {len(status.claimed)} claimed, '
        f'{status.dead_total} dead'
    )
    if claimed:
        rows: list[tuple[str, ...]] = [('CLAIMED', 'TRY', 'SINCE', 'BY')]
        rows += [(task.id, str(task.tries), span(task.age_s), task.worker) for task in claimed]
        yield from (f'  {line}' for line in table(rows, right=(1,)))
        if len(status.claimed) > most:
            yield f'  and {len(status.claimed) - most} more'
    if status.dead:
        rows = [('DEAD', 'TRIES', 'REASON', 'VALUE')]
        for dead in status.dead:
            reason = _short(dead.reason) or 'rejected by a bridge'
            tries = '' if dead.tries is None else str(dead.tries)
            rows.append((dead.id, tries, reason, to_json(dead.value)))
        yield from (f'  {line}' for line in table(rows, right=(1,)))
        if status.dead_total > len(status.dead):
            yield f'  and {status.dead_total - len(status.dead)} more'


def _short(reason: str) -> str:
    """Return a reason as one short line; it may be a whole traceback."""
    line = ' '.join(reason.split())
    half = REASON_WIDTH // 2
    return line if len(line) <= REASON_WIDTH else f'{line[: half - 1]}…{line[-half:]}'
