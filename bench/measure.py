# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The measurements, each a function that adds to the figures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from bench.agent import Agent
from bench.candidates import IN, MSGPACK, OUT, Candidate, bridge_command
from bench.comparison import Comparison, Trial
from bench.environment import STOP_S, Environment, cpu_seconds, memory_mb
from bench.figures import Figures, Subject
from bench.kinds import KINDS
from bench.pace import Pace
from bench.search import confirmed, near
from redis_bridge.demo.processes import Child, stop

Say = Callable[[str], None]

FLOOD_HZ = 30_000
START_S = 60.0


def rates(
    comparison: Comparison, names: Iterable[str], pace: Pace, figures: Figures, say: Say
) -> None:
    """Find the sustained rate of each candidate, and what a message costs there.

    A round begins at the rate that the one before has found; from the second on, the median is
    guard enough against a moment's disturbance, so that nothing is tried again.
    """
    begin: dict[str, float | None] = {}
    for turn in range(pace.rounds):
        for name in names:
            if turn == 0:
                slow = 10 if comparison.candidates[name].program == 'hand' else 1
                begin[name] = near(comparison, name, comparison.kind.first_hz / slow, pace)
            patience = pace if turn == 0 else replace(pace, tries=1)
            first_hz = begin[name]
            found = confirmed(comparison, name, first_hz, patience) if first_hz else None
            subject = Subject(comparison.direction, comparison.kind.name, name)
            if found is None:
                figures.add(subject, 'rate', 0.0)
                say(f'{name}: keeps up with no rate')
                continue
            trial = found.trial
            begin[name] = trial.rate
            figures.add(subject, 'rate', trial.rate, is_at_least=found.is_at_least)
            figures.add(subject, 'cpu_us@sustained', trial.cpu_us)
            figures.add(subject, 'server_us@sustained', trial.server_us)
            sign = '≥ ' if found.is_at_least else ''
            say(f'{name}: {sign}{trial.rate:.0f}/s, {trial.cpu_us:.0f} µs')


def cpu(
    comparison: Comparison, names: Iterable[str], rate: int, pace: Pace, figures: Figures, say: Say
) -> None:
    """Find what a message costs at a fixed rate."""
    for _ in range(pace.rounds):
        for name in names:
            trial = comparison.trial(name, rate, pace.timed_s)
            _add_cost(figures, comparison, trial, name)
            say(f'{name}: {trial.cpu_us:.0f} µs at {rate} Hz')


def _add_cost(figures: Figures, comparison: Comparison, trial: Trial, name: str) -> None:
    subject = Subject(comparison.direction, comparison.kind.name, name)
    figures.add(subject, f'cpu_us@{trial.rate:g}', trial.cpu_us)
    figures.add(subject, f'server_us@{trial.rate:g}', trial.server_us)


def latency(
    comparison: Comparison, names: Iterable[str], rate: int, pace: Pace, figures: Figures, say: Say
) -> None:
    """Find how long a message is under way, from its sender to another process at the far end.

    Towards ROS, that process is always there: a trial says what a message costs, too.
    """
    for _ in range(pace.rounds):
        for name in names:
            trial, milliseconds = comparison.timed(name, rate, pace.timed_s)
            subject = Subject(comparison.direction, comparison.kind.name, name)
            p50, _, _ = add_latency(figures, subject, f'@{rate}', milliseconds)
            if comparison.direction == IN:
                _add_cost(figures, comparison, trial, name)
            say(f'{name}: {p50:.2f} ms at {rate} Hz')


def add_latency(
    figures: Figures, subject: Subject, where: str, milliseconds: list[float]
) -> tuple[float, float, float]:
    """Add the percentiles of one round."""
    if len(milliseconds) < 2:
        raise RuntimeError(f'{subject}: nothing arrived while it was timed')
    cuts = statistics.quantiles(milliseconds, n=100, method='inclusive')
    for percent in (50, 90, 99):
        figures.add(subject, f'p{percent}_ms{where}', cuts[percent - 1])
    return cuts[49], cuts[89], cuts[98]


def growth(
    environment: Environment, variants: list[Candidate], pace: Pace, figures: Figures, say: Say
) -> None:
    """See how rate and cost of one kind change with routes or sinks."""
    pace = replace(pace, rounds=pace.growth_rounds)
    with Comparison(environment, OUT, KINDS['Odometry'], variants) as comparison:
        rates(comparison, comparison.candidates, pace, figures, say)
        cpu(comparison, comparison.candidates, 1000, pace, figures, say)


def cluster(
    environment: Environment, variants: list[Candidate], pace: Pace, figures: Figures, say: Say
) -> None:
    """See what a message costs at a cluster, beside one server."""
    environment.start_cluster()
    with Comparison(environment, OUT, KINDS['Odometry'], variants) as comparison:
        cpu(comparison, comparison.candidates, 1000, pace, figures, say)


def rest(environment: Environment, pace: Pace, figures: Figures, say: Say) -> None:
    """See what the bridge takes when nothing happens, and in a flood."""
    with Comparison(environment, OUT, KINDS['Odometry'], [MSGPACK]) as comparison:
        pid = comparison.pid(MSGPACK.name)
        subject = Subject(OUT, 'Odometry', MSGPACK.name)
        figures.add(subject, 'memory_mb@rest', memory_mb(pid))
        figures.add(subject, 'cpu_percent@idle', _idle_percent(pid, pace.idle_s))
        comparison.trial(MSGPACK.name, FLOOD_HZ, pace.idle_s)
        figures.add(subject, 'memory_mb@flood', memory_mb(pid, 'VmHWM'))
    say(f'{figures.median(subject, "memory_mb@flood"):.0f} MB in a flood')


def _idle_percent(pid: int, seconds: float) -> float:
    before, start = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - start)


def start_up(
    environment: Environment, routes: Iterable[int], pace: Pace, figures: Figures, say: Say
) -> None:
    """See how long the bridge takes to subscribe to so many topics, and what it takes then."""
    for count in routes:
        candidate = replace(MSGPACK, name=f'{count} routes', routes=count)
        subject = Subject(OUT, 'Odometry', candidate.name)
        mapping = candidate.mapping(OUT, KINDS['Odometry'], typed=True)
        command = bridge_command(
            candidate.slug, mapping, environment.url_of(candidate), environment.folder
        )
        for _ in range(pace.rounds):
            begun = time.monotonic()
            child = environment.start(candidate.slug, command)
            try:
                _wait_for_report(environment, candidate, child)
                took = time.monotonic() - begun
                figures.add(subject, 'start_s', took)
                time.sleep(1.0)  # the first looks at the graph are no part of idling
                figures.add(subject, 'memory_mb@rest', memory_mb(child.pid))
                figures.add(subject, 'cpu_percent@idle', _idle_percent(child.pid, pace.idle_s))
            finally:
                stop([child], STOP_S)
            say(f'{count} routes: started in {took:.1f} s')


def patterns(environment: Environment, count: int, pace: Pace, figures: Figures, say: Say) -> None:
    """See what a pattern with so many matches takes at the start and at rest, beside routes."""
    written = replace(MSGPACK, name=f'{count} written routes', routes=count)
    matched = replace(MSGPACK, name=f'{count} matches', routes=count, is_pattern=True)
    for _ in range(pace.growth_rounds):
        for candidate in (written, matched):
            _beside_publishers(environment, candidate, pace, figures, say)


def _beside_publishers(
    environment: Environment, candidate: Candidate, pace: Pace, figures: Figures, say: Say
) -> None:
    kind, subject = KINDS['Odometry'], Subject(OUT, 'Odometry', candidate.name)
    _, load = environment.agent('load', 'load', 'ros', kind, [candidate])
    children = [load]
    try:
        mapping = candidate.mapping(OUT, kind)
        command = bridge_command(
            candidate.slug, mapping, environment.url_of(candidate), environment.folder
        )
        begun = time.monotonic()
        child = environment.start(candidate.slug, command)
        children.append(child)
        _wait_for_report(environment, candidate, child)
        took = time.monotonic() - begun
        figures.add(subject, 'start_s', took)
        time.sleep(2.0)  # the first looks at the graph are no part of idling
        figures.add(subject, 'start_cpu_s', cpu_seconds(child.pid))
        figures.add(subject, 'memory_mb@rest', memory_mb(child.pid))
        figures.add(subject, 'cpu_percent@idle', _idle_percent(child.pid, pace.idle_s))
        say(f'{candidate.name}: started in {took:.1f} s')
    finally:
        stop(children, STOP_S)


def _routes_reported(fields: list[bytes]) -> int:
    return sum(field.startswith(b'route:') for field in fields)


def _wait_for_report(environment: Environment, candidate: Candidate, child: Child) -> None:
    """Wait until the bridge reports on its last route, which it does once all are set up."""
    deadline = time.monotonic() + START_S
    key = f'redis_bridge:robot:{candidate.slug}'
    environment.db.delete(key)
    expected = candidate.routes + candidate.is_pattern  # which has a report of its own
    while _routes_reported(environment.db.hkeys(key)) < expected:
        if how_it_ended := child.how_it_ended():
            raise RuntimeError(how_it_ended)
        if time.monotonic() > deadline:
            raise RuntimeError(f'{candidate.name}: not started within {START_S:.0f} s')
        time.sleep(0.01)


def beside(environment: Environment, pace: Pace, figures: Figures, say: Say) -> None:
    """See how long commands at 100 Hz take, alone and beside images at 30 Hz, in one bridge."""
    image, twist = KINDS['Image'], KINDS['Twist']
    images = replace(MSGPACK, name='images')
    commands = replace(MSGPACK, name='cmd_vel')
    mapping = images.mapping(OUT, image) | commands.mapping(IN, twist)
    mapping['redis_to_ros'][0]['stop'] = {'after_ms': 500}
    children = []
    try:
        image_load, child = environment.agent('image_load', 'load', 'ros', image, [images])
        children.append(child)
        load, child = environment.agent('load', 'load', 'redis', twist, [commands])
        children.append(child)
        receiver, child = environment.agent(
            'receiver', 'receiver', 'ros', twist, [commands], large=True
        )
        children.append(child)
        url = environment.url_of(commands)
        command = bridge_command('beside', mapping, url, environment.folder)
        children.append(environment.start('beside', command, large=True))
        _wait_until_both_flow(environment, image_load, load, receiver)
        for _ in range(pace.rounds):
            for hz, name in ((0, 'cmd_vel alone'), (30, 'cmd_vel beside images')):
                seconds = max(2.0, pace.timed_s)
                receiver.do('begin', candidate='cmd_vel')
                if hz:
                    image_load.ask('send', candidate='images', rate=hz, seconds=seconds)
                load.do('send', candidate='cmd_vel', rate=100, seconds=seconds)
                if hz:
                    image_load.answer()
                figures_of = Subject(IN, 'Twist', name)
                p50, _, p99 = add_latency(
                    figures, figures_of, '@100', receiver.do('end', candidate='cmd_vel')
                )
                say(f'{name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms')
    finally:
        stop(children, STOP_S)


def _wait_until_both_flow(
    environment: Environment, image_load: Agent, load: Agent, receiver: Agent
) -> None:
    deadline = time.monotonic() + START_S

    def counts() -> tuple[int, int]:
        return receiver.do('count', candidate='cmd_vel'), environment.published()

    while True:
        before = counts()
        load.do('send', candidate='cmd_vel', rate=50, seconds=0.1)
        image_load.do('send', candidate='images', rate=20, seconds=0.1)
        time.sleep(0.2)
        commands, published = (now - then for now, then in zip(counts(), before))
        if commands >= 5 and published >= 5 + 2:  # the load's commands are published, too
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f'{commands} commands came of 5, {published - 5} images of 2')
