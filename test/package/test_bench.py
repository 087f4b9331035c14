# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The benchmark's harness: that it measures what it says, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis
from support import eventually

pytest.importorskip('rclpy')

from graph import DOMAIN

from bench import picture
from bench.candidates import MSGPACK, OUT
from bench.comparison import Trial
from bench.figures import Figures, Subject
from bench.kinds import KINDS, Stamped, stamp_reader
from bench.load import Publisher, send_paced
from bench.measure import rates
from bench.pace import Pace
from bench.report import tables, verdict_text, verdicts
from bench.search import confirmed, near
from bench.targets import Outcome, Target

ROOT = Path(__file__).resolve().parents[2]
PACE = Pace(
    rounds=3, growth_rounds=1, short_s=1, long_s=5, timed_s=1, precision=1.05, tries=2, idle_s=1
)


@pytest.mark.parametrize('kind', KINDS.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize('encoding', ['cdr', 'msgpack', 'json'])
def test_a_stamp_is_read_as_it_was_written(kind, encoding):
    stamped, read = Stamped(kind, encoding), stamp_reader(kind, encoding)
    for nanoseconds in (1_500_000_000, 123_456_789_012_345):
        assert read(stamped.at(nanoseconds)) == pytest.approx(nanoseconds, abs=2000)


def test_the_load_sends_all_it_was_asked_to_at_the_rate():
    counts: list[int] = []
    report = send_paced(counts.append, 5000, 0.1)
    assert sum(counts) == report['sent'] == 500
    assert 0.09 < report['seconds'] < 1
    assert max(counts) < 100


class FakeWire:
    """A socket to a server that counts what is published, and answers in pieces."""

    def __init__(self) -> None:
        self.received = b''
        self._answers: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.received += data
        self._answers += [b':1\r', b'\n'] * data.count(b'PUBLISH')

    def recv(self, size: int) -> bytes:
        return self._answers.pop(0)

    @property
    def has_unread(self) -> bool:
        return bool(self._answers)


def test_the_load_packs_publish_as_redis_py_does_and_awaits_each_answer():
    wire, stamped = FakeWire(), Stamped(KINDS['Twist'], 'msgpack')
    Publisher(wire, stamped, ['a', 'bc']).send(3)
    assert not wire.has_unread
    pack = redis.Connection().pack_command
    size = len(stamped.at(0))
    empty = b''.join(b''.join(pack('PUBLISH', name, bytes(size))) for name in ('a', 'bc', 'a'))
    assert len(wire.received) == len(empty)
    assert wire.received.split(b'\r\n')[:6] == empty.split(b'\r\n')[:6]


def test_the_load_does_not_go_on_when_a_server_refuses():
    wire = FakeWire()
    wire.recv = lambda size: b'-OOM command not allowed\r\n'
    with pytest.raises(RuntimeError, match='OOM'):
        Publisher(wire, Stamped(KINDS['Twist'], 'cdr'), ['a']).send(1)


class Weak:
    """A comparison whose candidate, or whose load, keeps up with so many messages a second.

    The trials whose numbers are disturbed lose half of what was sent.
    """

    direction, kind = OUT, KINDS['String']

    def __init__(
        self, limit: float, *, load_limit: float = 1e9, disturbed: Collection[int] = ()
    ) -> None:
        self.limit = limit
        self.load_limit = load_limit
        self.disturbed = disturbed
        self.trials: list[tuple[float, float]] = []
        self.candidates = {'it': MSGPACK}

    def trial(self, name: str, rate: float, seconds: float) -> Trial:
        sent = round(rate * seconds)
        took = seconds * max(1.0, rate / self.load_limit)
        arrived = round(min(1.0, self.limit * took / sent) * sent)
        if len(self.trials) in self.disturbed:
            arrived = sent // 2
        self.trials.append((rate, seconds))
        return Trial(rate, sent, arrived, took, seconds, 10.0, 1.0)

    def rounds_of_rates(self) -> Figures:
        figures = Figures()
        rates(self, ['it'], PACE, figures, say=lambda text: None)
        return figures

    @property
    def long_windows(self) -> int:
        return sum(seconds == PACE.long_s for _, seconds in self.trials)


IT = Subject(OUT, 'String', 'it')


@pytest.mark.parametrize('first_hz', [20, 2000, 190_000])
@pytest.mark.parametrize('limit', [30, 777, 60_000])
def test_the_short_search_ends_below_what_is_kept_up_with(first_hz, limit):
    assert limit / 1.12 < near(Weak(limit), 'it', first_hz, PACE) < limit * 1.02


@pytest.mark.parametrize('first_hz', [400, 740, 777, 790, 2000])
def test_the_confirmed_rate_held_over_a_long_window_wherever_the_search_began(first_hz):
    found = confirmed(Weak(777), 'it', first_hz, PACE)
    assert 777 / 1.06 < found.trial.rate < 777 * 1.02
    assert found.trial.wanted_s == PACE.long_s
    assert not found.is_at_least


def test_later_rounds_begin_where_the_one_before_has_ended():
    comparison = Weak(50_000)
    values = comparison.rounds_of_rates().rounds[IT, 'rate']
    assert len(set(values)) == 1
    assert comparison.long_windows <= 3 * 3
    assert comparison.trials[-2:] == [(values[-1], 5), (pytest.approx(values[-1] * 1.05), 1)]


def test_a_round_climbs_by_short_windows_and_confirms_by_one_long_one():
    comparison = Weak(50_000)
    found = confirmed(comparison, 'it', 10_000, PACE)
    assert 50_000 / 1.06 < found.trial.rate < 50_000 * 1.02
    assert comparison.long_windows <= 3


@pytest.mark.parametrize('number', range(25))
def test_one_disturbance_does_not_lower_the_figure(number):
    comparison = Weak(50_000, disturbed=[number])
    assert 50_000 / 1.06 < comparison.rounds_of_rates().median(IT, 'rate') < 50_000 * 1.02


def test_the_first_rate_is_tried_again_once_a_lower_one_has_held():
    comparison = Weak(50_000, disturbed=[0])
    assert confirmed(comparison, 'it', 49_000, PACE).trial.rate == 49_000


def test_a_rate_at_which_the_load_was_at_its_end_is_marked():
    figures = Weak(50_000, load_limit=30_000).rounds_of_rates()
    assert 30_000 / 1.06 < figures.median(IT, 'rate') < 30_000 * 1.06
    assert figures.is_at_least(IT, 'rate')
    assert '| ≥ ' in tables(figures)
    assert next(figures.rows())['is_at_least']
    assert not Weak(30_000, load_limit=50_000).rounds_of_rates().is_at_least(IT, 'rate')


def test_a_load_late_by_one_disturbance_marks_nothing():
    comparison = Weak(50_000)
    calm, late = comparison.trial, {1}

    def trial(name: str, rate: float, seconds: float) -> Trial:
        is_late = len(comparison.trials) in late
        seen = calm(name, rate, seconds)
        return replace(seen, arrived=seen.sent, seconds=2 * seconds) if is_late else seen

    comparison.trial = trial
    assert not confirmed(comparison, 'it', 49_000, PACE).is_at_least


@pytest.mark.parametrize('values, limited, marked', [
    ((1, 2, 3), (), False), ((1, 2, 3), (3,), False), ((1, 2, 3), (2,), True),
    ((1, 2, 3), (1,), True), ((1, 2), (2,), True), ((2, 2, 2), (2,), True),
])  # fmt: skip
def test_a_median_is_marked_if_a_round_it_rests_on_is(values, limited, marked):
    figures = Figures()
    for value in values:
        figures.add(IT, 'rate', value, is_at_least=value in limited)
    assert figures.is_at_least(IT, 'rate') == marked


def test_a_contestant_faster_than_the_search_goes_is_marked_too():
    figures = Weak(1e9).rounds_of_rates()
    assert figures.median(IT, 'rate') > 200_000 / 1.06
    assert figures.is_at_least(IT, 'rate')


def test_the_picture_has_a_group_of_bars_per_rate():
    figures = Figures()
    for hz, value in ((100, 120.0), (1000, 95.0)):
        figures.add(Subject(OUT, 'Odometry', 'floor'), f'cpu_us@{hz}', value)
    groups = picture._cpu(figures)
    assert groups == {
        'at 100 Hz': {'floor': (120.0, '120')}, 'at 1,000 Hz': {'floor': (95.0, '95')}
    }  # fmt: skip


@pytest.mark.parametrize('seed', range(20))
def test_the_search_ends_whatever_comes(seed):
    dice = random.Random(seed)
    share = dice.choice([0.1, 0.5, 0.9])
    comparison = Weak(50_000, disturbed=[n for n in range(10_000) if dice.random() < share])
    comparison.rounds_of_rates()
    assert len(comparison.trials) < 1000


def test_a_contestant_that_takes_nothing_has_a_rate_of_zero():
    assert Weak(0).rounds_of_rates().rounds[IT, 'rate'] == [0, 0, 0]


def test_a_load_that_is_late_did_not_offer_its_rate():
    assert not Trial(1000, 1000, 1000, 1.2, 1.0, 10.0, 1.0).is_sustained


def test_a_failure_beside_a_receiver_at_its_end_is_not_the_candidates():
    failed = Trial(1000, 1000, 900, 1.0, 1.0, 10.0, 1.0, receiver_cores=0.95)
    assert failed.is_load_limited
    assert not replace(failed, receiver_cores=0.5).is_load_limited
    assert not replace(failed, arrived=1000).is_load_limited


def test_a_target_compares_medians_of_one_kind():
    figures = Figures()
    for value in (90.0, 10.0, 80.0):
        figures.add(Subject(OUT, 'String', 'bridge'), 'rate', value)
    figures.add(Subject(OUT, 'String', 'floor'), 'rate', 100.0)
    target = Target(OUT, 'String', 'bridge', 'rate', 'at least', 0.85, 'floor')
    assert target.outcome(figures) == Outcome(0.8, False)
    assert Target(OUT, 'Image', 'bridge', 'rate', 'at least', 1).outcome(figures) is None
    assert '|   80 |' in tables(figures)


@pytest.mark.parametrize('bridge, floor, bound', [
    (False, False, ''), (True, False, '≥'), (False, True, '≤'), (True, True, '?'),
])  # fmt: skip
def test_a_ratio_of_rates_that_the_load_limited_is_a_bound(bridge, floor, bound):
    figures = Figures()
    figures.add(Subject(OUT, 'String', 'bridge msgpack'), 'rate', 90.0, is_at_least=bridge)
    figures.add(Subject(OUT, 'String', 'floor'), 'rate', 100.0, is_at_least=floor)
    found = verdicts(figures)
    assert [item.get('bound', '') for item in found] == [bound]
    assert f'{bound} 0.9  ROS → Redis, String' in verdict_text(found)
    assert len(verdict_text(found).splitlines()) == (3 if bound else 2)  # the sign is explained


def bench(folder: Path, *options: str) -> subprocess.Popen:
    quickly = ['--quick', '--window', '0.1', '--domain', str(DOMAIN), '--into', str(folder)]
    return subprocess.Popen(
        [sys.executable, '-m', 'bench', *quickly, *options],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, 'TMPDIR': str(folder)}, start_new_session=True,
    )  # fmt: skip


def running(folder: Path) -> list[str]:
    """Return the command lines of the processes of the benchmark that `bench` began there."""
    found = []
    for process in Path('/proc').glob('[0-9]*'):
        try:
            if f'TMPDIR={folder}\0'.encode() in (process / 'environ').read_bytes():
                found.append((process / 'cmdline').read_text().replace('\0', ' '))
        except OSError:  # it has ended, or is not ours
            continue
    return found


def test_a_run_gives_rates_and_cost_of_floor_and_bridge(tmp_path):
    run = bench(
        tmp_path, '--only', 'String', '--direction', 'out', '--measure', 'rate',
        '--candidates', 'floor,bridge msgpack',
    )  # fmt: skip
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert 'bridge msgpack' in output
    result = json.loads((tmp_path / 'latest.json').read_text())
    medians = {(row['candidate'], row['measure']): row['median'] for row in result['figures']}
    for candidate in ('floor', 'bridge msgpack'):
        assert medians[candidate, 'rate'] > 0
        assert medians[candidate, 'cpu_us@sustained'] > 0
    assert [entry['target'].split(':')[0] for entry in result['targets']] == [
        'ROS → Redis, String, bridge msgpack'
    ]
    assert '| floor ' in (tmp_path / 'latest.md').read_text()
    if find_spec('matplotlib'):
        assert (tmp_path / 'latest.png').read_bytes().startswith(b'\x89PNG')
    assert running(tmp_path) == []


def test_ctrl_c_ends_it_with_all_its_processes(tmp_path):
    run = bench(tmp_path, '--only', 'Twist', '--measure', 'rate')
    eventually(lambda: len(running(tmp_path)) >= 5, 20)
    started = time.monotonic()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=20)
    assert time.monotonic() - started < 12
    assert run.returncode == 1
    assert running(tmp_path) == []
    assert list(tmp_path.glob('redis_bridge_bench_*')) == []
