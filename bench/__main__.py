# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command: which comparisons to run, how long each may take, and where the results go."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench import measure, report
from bench.contestants import CDR, EMPTY, FLOOR, HAND, IN, JSON, MSGPACK, NOTICE, OUT, Contestant
from bench.figures import Figures
from bench.kinds import KINDS
from bench.lab import ROOT, Lab
from bench.measure import Pace
from bench.stage import Stage

PACES = {
    'quick': Pace(rounds=1, window_s=0.5, timed_s=1.0, precision=1.15, tries=3, idle_s=2.0),
    'default': Pace(rounds=3, window_s=0.4, timed_s=1.0, precision=1.1, tries=2, idle_s=3.0),
    'full': Pace(rounds=5, window_s=5.0, timed_s=5.0, precision=1.05, tries=2, idle_s=10.0),
}
# Who takes part, by direction and kind.
ENTRIES: dict[tuple[str, str], list[Contestant]] = {
    (OUT, 'String'): [FLOOR, MSGPACK, HAND],
    (OUT, 'Odometry'): [FLOOR, MSGPACK, HAND, EMPTY, JSON, CDR],
    (OUT, 'JointState'): [FLOOR, MSGPACK],
    (OUT, 'LaserScan'): [FLOOR, MSGPACK],
    (OUT, 'LaserScan typed'): [FLOOR, MSGPACK],
    (OUT, 'Image'): [FLOOR, MSGPACK, NOTICE],
    (OUT, 'PointCloud2'): [FLOOR, MSGPACK, NOTICE],
    (IN, 'Odometry'): [FLOOR, MSGPACK, HAND],
    (IN, 'Twist'): [FLOOR, MSGPACK, HAND],
}
QUICK_KINDS = {(OUT, 'Odometry'), (OUT, 'Image'), (IN, 'Twist')}
TIMED = {(OUT, 'Odometry'), (IN, 'Odometry'), (IN, 'Twist')}  # CPU and latency at fixed rates, too
MEASURES = ('rate', 'cpu', 'latency', 'rest', 'startup', 'routes', 'sinks', 'beside')
QUICK_MEASURES = ('rate', 'cpu', 'latency', 'rest')
HZ = {'quick': (1000,), 'default': (100, 1000), 'full': (10, 100, 1000)}
ROUTES = (1, 10, 100)
START_ROUTES = {'quick': (100,), 'default': (10, 100, 1000), 'full': (10, 100, 1000)}
SINKS = {1: ('channel',), 2: ('key', 'channel'), 4: ('key', 'hash', 'stream', 'channel')}


def main() -> int:
    """Run what was asked for; return the exit status."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is closed
    figures = Figures()
    begun = time.monotonic()
    status = 0

    def say(text: str) -> None:
        print(f'{time.monotonic() - begun:6.1f} s  {text}', file=sys.stderr, flush=True)

    try:
        with Lab(options.domain) as lab:
            about = report.machine(lab.program)
            print(', '.join(f'{name} {value}' for name, value in about.items()), flush=True)
            _run(lab, options, figures, say)
    except (KeyboardInterrupt, RuntimeError) as error:
        status = 1
        say(f'ended early: {error or "interrupted"}')
    if not figures.rounds:
        return 1
    about |= {'pace': options.pace, 'seconds': round(time.monotonic() - begun)}
    print(f'\n{report.tables(figures)}\n\n{report.verdict_text(report.verdicts(figures))}\n')
    print(f'written: {report.write(options.into, figures, about)}')
    if path := report.plot(options.into, figures, about):
        print(f'written: {path}')
    return status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m bench', description=__doc__)
    pace = parser.add_mutually_exclusive_group()
    for name, text in (('quick', 'two minutes, one round'), ('full', 'long windows, 5 rounds')):
        pace.add_argument(f'--{name}', dest='pace', action='store_const', const=name, help=text)
    parser.add_argument('--only', metavar='KIND,…', help=f'of {", ".join(KINDS)}')
    parser.add_argument('--direction', choices=(OUT, IN), help='out: ROS to Redis')
    parser.add_argument('--measure', metavar='WHAT,…', help=f'of {", ".join(MEASURES)}')
    parser.add_argument('--contestants', metavar='NAME,…', help='such as floor,bridge msgpack')
    parser.add_argument('--rounds', type=int, help='instead of what the pace says')
    parser.add_argument('--window', type=float, metavar='S', help='the same, of one offered rate')
    parser.add_argument('--domain', type=int, default=88, help='ROS domain (default %(default)s)')
    parser.add_argument('--into', type=Path, default=ROOT / 'bench' / 'results', metavar='FOLDER')
    options = parser.parse_args()
    options.pace = options.pace or 'default'
    options.only = _chosen(parser, options.only, list(KINDS))
    options.measure = _chosen(parser, options.measure, MEASURES)
    names = dict.fromkeys(entry.name for entries in ENTRIES.values() for entry in entries)
    options.contestants = _chosen(parser, options.contestants, list(names))
    return options


def _chosen(parser: argparse.ArgumentParser, given: str | None, known) -> list[str] | None:
    if given is None:
        return None
    words = [word.strip() for word in given.split(',')]
    for word in words:
        if word not in known:
            parser.error(f'{word!r} is none of: {", ".join(known)}')
    return words


def _run(lab: Lab, options: argparse.Namespace, figures: Figures, say: measure.Say) -> None:
    pace, hz = PACES[options.pace], HZ[options.pace]
    if options.rounds:
        pace = replace(pace, rounds=options.rounds)
    if options.window:
        pace = replace(pace, window_s=options.window, timed_s=options.window)
    is_quick = options.pace == 'quick'
    measures = options.measure or (QUICK_MEASURES if is_quick else MEASURES)
    for (direction, kind), entries in ENTRIES.items():
        if options.direction not in (None, direction):
            continue
        if options.only is None and is_quick and (direction, kind) not in QUICK_KINDS:
            continue
        if options.only is not None and kind not in options.only:
            continue
        chosen = [
            entry
            for entry in entries
            if options.contestants is None or entry.name in options.contestants
        ]
        _compare(lab, direction, kind, chosen, measures, pace, hz, figures, say)
    if 'rest' in measures:
        say('--- at rest, and in a flood')
        measure.rest(lab, pace, figures, say)
    if 'routes' in measures:
        say('--- routes')
        measure.growth(lab, _over_routes(), replace(pace, rounds=1), figures, say)
    if 'sinks' in measures:
        say('--- sinks')
        measure.growth(lab, _over_sinks(), replace(pace, rounds=1), figures, say)
    if 'startup' in measures:
        say('--- start-up')
        measure.start_up(lab, START_ROUTES[options.pace], replace(pace, rounds=1), figures, say)
    if 'beside' in measures:
        say('--- commands beside images')
        measure.beside(lab, pace, figures, say)


def _compare(
    lab: Lab, direction: str, kind: str, entries: list[Contestant], measures, pace: Pace, hz,
    figures: Figures, say: measure.Say,
) -> None:  # fmt: skip
    """Run one kind in one direction."""
    wanted = [
        name
        for name in ('rate', 'cpu', 'latency')
        if name in measures and (name == 'rate' or (direction, kind) in TIMED)
    ]
    if not wanted or not entries:
        return
    say(f'--- {report.WAYS[direction]}, {kind}')
    with Stage(lab, direction, KINDS[kind], entries) as stage:
        telling = [entry.name for entry in entries if entry.program != 'empty']
        if 'rate' in wanted:
            measure.rates(stage, telling, pace, figures, say)
        # A hand-written node cannot keep up with 1000 Hz: it is compared by rate alone.
        quick_enough = [entry.name for entry in entries if entry.program != 'hand']
        if 'cpu' in wanted:
            measure.cpu(stage, quick_enough, hz, pace, figures, say)
        if 'latency' in wanted:
            timed = [name for name in ('floor', 'bridge msgpack') if name in telling]
            measure.latency(stage, timed, hz, pace, figures, say)


def _over_routes() -> list[Contestant]:
    return [
        replace(MSGPACK, name=f'over {count} route{"s" if count > 1 else ""}', routes=count)
        for count in ROUTES
    ]


def _over_sinks() -> list[Contestant]:
    return [
        replace(MSGPACK, name=f'into {count} sink{"s" if count > 1 else ""}', sinks=sinks)
        for count, sinks in SINKS.items()
    ]


if __name__ == '__main__':
    sys.exit(main())
