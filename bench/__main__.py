# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command: which comparisons to run, how long each may take, and where the results go."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from bench import measure, picture, report
from bench.candidates import (
    CDR,
    EMPTY,
    FLOOR,
    GUARDED,
    GUARDED_JSON,
    HAND,
    IN,
    JSON,
    MSGPACK,
    NOTICE,
    OUT,
    Candidate,
)
from bench.comparison import Comparison
from bench.environment import ROOT, Environment
from bench.figures import Figures, Subject
from bench.kinds import KINDS
from bench.pace import PACES, Pace

# Who takes part, by direction and kind.
ENTRIES: dict[tuple[str, str], list[Candidate]] = {
    (OUT, 'String'): [FLOOR, MSGPACK, HAND],
    (OUT, 'Odometry'): [FLOOR, MSGPACK, HAND, EMPTY, JSON, CDR],
    (OUT, 'JointState'): [FLOOR, MSGPACK],
    (OUT, 'LaserScan'): [FLOOR, MSGPACK],
    (OUT, 'LaserScan typed'): [FLOOR, MSGPACK],
    (OUT, 'Image'): [FLOOR, MSGPACK, NOTICE],
    (OUT, 'PointCloud2'): [FLOOR, MSGPACK, NOTICE],
    (IN, 'Odometry'): [FLOOR, MSGPACK, HAND],
    (IN, 'Twist'): [FLOOR, MSGPACK, HAND, GUARDED, GUARDED_JSON],
}
ENCODINGS = [JSON, CDR]  # beside msgpack; with --full, of every kind
QUICK_KINDS = {(OUT, 'Odometry'), (OUT, 'Image'), (IN, 'Twist')}
TIMED = {(OUT, 'Odometry'), (IN, 'Odometry'), (IN, 'Twist')}  # CPU and latency at fixed rates, too
MEASURES = (
    'rate', 'cpu', 'latency', 'rest', 'startup', 'routes', 'sinks', 'patterns', 'cluster',
    'beside',
)  # fmt: skip
QUICK_MEASURES = ('rate', 'cpu', 'latency', 'rest')
# A second at 10 Hz is ten messages, with or without the bridge's report of every two seconds.
HZ = {'quick': (1000,), 'default': (100, 1000), 'full': (10, 100, 1000)}
LATENCY_HZ = 100  # and above: at 10 Hz it would take too long to see a 99th percentile
HAND_HZ = 100  # the hand-written node is sure to take so much
AMPLE = 1.5  # times a fixed rate: who sustains that is not near its limit there
ROUTES = (1, 10, 100)
START_ROUTES = {'quick': (100,), 'default': (10, 100, 1000), 'full': (10, 100, 1000)}
MATCHES = 100
ROBOTS = 50  # a topic of each
SINKS = {1: ('channel',), 2: ('key', 'channel'), 4: ('key', 'hash', 'stream', 'channel')}


def main() -> int:
    """Run what was asked for; return the exit status."""
    options = _options()
    figures = Figures()
    begun = time.monotonic()
    status = 0

    def say(text: str) -> None:
        print(f'{time.monotonic() - begun:6.1f} s  {text}', file=sys.stderr, flush=True)

    try:
        with Environment(options.domain) as environment:
            about = report.machine(environment.program)
            print(', '.join(f'{name} {value}' for name, value in about.items()), flush=True)
            _run(environment, options, figures, say)
    except (KeyboardInterrupt, RuntimeError) as error:
        status = 1
        say(f'ended early: {error or "interrupted"}')
    if not figures.rounds:
        return 1
    about |= {
        'pace': options.pace,
        'rounds': options.rounds or PACES[options.pace].rounds,
        'seconds': round(time.monotonic() - begun),
    }
    print(f'\n{report.tables(figures)}\n\n{report.verdict_text(report.verdicts(figures))}\n')
    for path in report.write(options.into, figures, about):
        print(f'written: {path}')
    if drawn := picture.draw(options.into, figures, about):
        print(f'written: {drawn}')
    return status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m bench', description=__doc__)
    pace = parser.add_mutually_exclusive_group()
    for name, text in (
        ('quick', 'two minutes: one round, and of some kinds only'),
        ('full', '45 minutes: two rounds, 5 s windows, all encodings of all kinds'),
    ):
        pace.add_argument(f'--{name}', dest='pace', action='store_const', const=name, help=text)
    parser.add_argument('--only', metavar='KIND,…', help=f'of {", ".join(KINDS)}')
    parser.add_argument('--direction', choices=(OUT, IN), help='out: ROS to Redis')
    parser.add_argument('--measure', metavar='WHAT,…', help=f'of {", ".join(MEASURES)}')
    parser.add_argument('--candidates', metavar='NAME,…', help='such as floor,bridge msgpack')
    parser.add_argument('--rounds', type=int, help='instead of what the pace says')
    parser.add_argument('--window', type=float, metavar='S', help='the same, of every window')
    parser.add_argument('--domain', type=int, default=88, help='ROS domain (default %(default)s)')
    parser.add_argument(
        '--into', type=Path, default=ROOT / 'bench' / 'results', metavar='FOLDER',
        help='where latest.json, .md and .png go (default bench/results; '
        'doc/benchmark holds those that are committed)',
    )  # fmt: skip
    options = parser.parse_args()
    options.pace = options.pace or 'default'
    options.only = _chosen(parser, options.only, list(KINDS))
    options.measure = _chosen(parser, options.measure, MEASURES)
    names = dict.fromkeys(entry.name for entries in ENTRIES.values() for entry in entries)
    options.candidates = _chosen(parser, options.candidates, list(names))
    return options


def _chosen(
    parser: argparse.ArgumentParser, given: str | None, known: Sequence[str]
) -> list[str] | None:
    if given is None:
        return None
    words = [word.strip() for word in given.split(',')]
    for word in words:
        if word not in known:
            parser.error(f'{word!r} is none of: {", ".join(known)}')
    return words


def _run(
    environment: Environment, options: argparse.Namespace, figures: Figures, say: measure.Say
) -> None:
    pace, hz = PACES[options.pace], HZ[options.pace]
    if options.rounds:
        pace = replace(pace, rounds=options.rounds, growth_rounds=options.rounds)
    if options.window:
        windows = dict.fromkeys(('short_s', 'long_s', 'timed_s'), options.window)
        pace = replace(pace, **windows)
    is_quick = options.pace == 'quick'
    measures = options.measure or (QUICK_MEASURES if is_quick else MEASURES)
    for (direction, kind), entries in ENTRIES.items():
        if options.direction not in (None, direction):
            continue
        if options.only is None and is_quick and (direction, kind) not in QUICK_KINDS:
            continue
        if options.only is not None and kind not in options.only:
            continue
        if options.pace == 'full' and KINDS[kind].arrays != 'typed':  # which is msgpack's alone
            entries = list(dict.fromkeys([*entries, *ENCODINGS]))
        chosen = [
            entry
            for entry in entries
            if options.candidates is None or entry.name in options.candidates
        ]
        _compare(environment, direction, kind, chosen, measures, pace, hz, figures, say)
    if 'rest' in measures:
        say('--- at rest, and in a flood')
        measure.rest(environment, pace, figures, say)
    if 'routes' in measures:
        say('--- routes')
        measure.growth(environment, _over_routes(), pace, figures, say)
    if 'sinks' in measures:
        say('--- sinks')
        measure.growth(environment, _over_sinks(), pace, figures, say)
    if 'startup' in measures:
        say('--- start-up')
        measure.start_up(
            environment, START_ROUTES[options.pace], replace(pace, rounds=1), figures, say
        )
    if 'patterns' in measures:
        say('--- patterns')
        measure.patterns(environment, MATCHES, pace, figures, say)
    if 'cluster' in measures:
        say('--- cluster')
        measure.cluster(environment, _over_a_cluster(), pace, figures, say)
    if 'beside' in measures:
        say('--- commands beside images')
        measure.beside(environment, pace, figures, say)


def _compare(
    environment: Environment, direction: str, kind: str, entries: list[Candidate],
    measures: Collection[str], pace: Pace, hz: Sequence[int], figures: Figures, say: measure.Say,
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
    with Comparison(environment, direction, KINDS[kind], entries) as comparison:
        telling = [entry.name for entry in entries if entry.program != 'empty']
        if 'rate' in wanted:
            measure.rates(comparison, telling, pace, figures, say)
        if 'cpu' in wanted or 'latency' in wanted:
            _at_fixed_rates(comparison, entries, wanted, hz, pace, figures, say)


def _at_fixed_rates(
    comparison: Comparison, entries: list[Candidate], wanted: Collection[str],
    hz: Sequence[int], pace: Pace, figures: Figures, say: measure.Say,
) -> None:  # fmt: skip
    """See what a message costs and how long it takes; inbound, one trial measures both."""
    timed = [entry.name for entry in entries if entry in (FLOOR, MSGPACK)]
    for rate in hz:
        able = [entry.name for entry in entries if _can_take(entry, rate, comparison, figures)]
        if comparison.direction == IN and rate >= LATENCY_HZ:
            measure.latency(comparison, able, rate, pace, figures, say)
        elif 'cpu' in wanted:
            measure.cpu(comparison, able, rate, pace, figures, say)
    if comparison.direction == OUT and 'latency' in wanted:
        for rate in hz:
            if rate >= LATENCY_HZ:
                measure.latency(comparison, timed, rate, pace, figures, say)


def _can_take(entry: Candidate, rate: int, comparison: Comparison, figures: Figures) -> bool:
    """Tell whether a candidate is at its ease at a fixed rate; a hand-written node may not be."""
    if entry.program != 'hand' or rate <= HAND_HZ:
        return True
    found = figures.median(Subject(comparison.direction, comparison.kind.name, entry.name), 'rate')
    return found is not None and found >= AMPLE * rate


def _over_routes() -> list[Candidate]:
    routes = [
        replace(MSGPACK, name=f'over {count} route{"s" if count > 1 else ""}', routes=count)
        for count in ROUTES
    ]
    matches = replace(MSGPACK, name=f'over {MATCHES} matches', routes=MATCHES, is_pattern=True)
    return [*routes, matches]


def _over_a_cluster() -> list[Candidate]:
    """Return the same mappings at one server and at a cluster, whose nodes share the names."""
    routes = replace(MSGPACK, routes=ROUTES[1], is_tagged=True)
    robots = replace(routes, routes=ROBOTS, is_pattern=True)
    return [
        replace(routes, name='at one server'),
        replace(routes, name='at a cluster', in_cluster=True),
        replace(robots, name='robots at one server'),
        replace(robots, name='robots at a cluster', in_cluster=True),
    ]


def _over_sinks() -> list[Candidate]:
    return [
        replace(MSGPACK, name=f'into {count} sink{"s" if count > 1 else ""}', sinks=sinks)
        for count, sinks in SINKS.items()
    ]


if __name__ == '__main__':
    sys.exit(main())
