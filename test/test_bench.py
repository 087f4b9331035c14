# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The benchmark's harness: that it measures what it says, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import eventually

pytest.importorskip('rclpy')

from bench.contestants import OUT
from bench.figures import Figures, Subject
from bench.kinds import KINDS, Stamped, stamp_reader
from bench.load import send_paced
from bench.measure import Pace, sustained
from bench.report import tables
from bench.stage import Trial
from bench.targets import Target

ROOT = Path(__file__).resolve().parent.parent
PACE = Pace(rounds=1, window_s=1, timed_s=1, precision=1.05, tries=2, idle_s=1)


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


class Weak:
    """A stage whose contestant keeps up with so many messages a second."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def trial(self, name: str, rate: float, seconds: float) -> Trial:
        sent = round(rate * seconds)
        arrived = round(min(rate, self.limit) * seconds)
        return Trial(rate, sent, arrived, seconds, seconds, 10.0, 1.0)


@pytest.mark.parametrize('first_hz', [20, 2000, 190_000])
@pytest.mark.parametrize('limit', [30, 777, 60_000])
def test_the_search_ends_just_below_what_is_kept_up_with(first_hz, limit):
    best = sustained(Weak(limit), 'it', first_hz, PACE, step=2)
    assert limit / 1.06 < best.rate < limit * 1.02


def test_a_load_that_is_late_did_not_offer_its_rate():
    assert not Trial(1000, 1000, 1000, 1.2, 1.0, 10.0, 1.0).is_sustained


def test_a_target_compares_medians_of_one_kind():
    figures = Figures()
    for value in (90.0, 10.0, 80.0):
        figures.add(Subject(OUT, 'String', 'bridge'), 'rate', value)
    figures.add(Subject(OUT, 'String', 'floor'), 'rate', 100.0)
    target = Target(OUT, 'String', 'bridge', 'rate', 'at least', 0.85, 'floor')
    assert target.reached(figures) == (0.8, False)
    assert Target(OUT, 'Image', 'bridge', 'rate', 'at least', 1).reached(figures) is None
    assert '|   80 |' in tables(figures)


def bench(folder: Path, domain: int, *options: str) -> subprocess.Popen:
    quickly = ['--quick', '--window', '0.1', '--domain', str(domain), '--into', str(folder)]
    return subprocess.Popen(
        [sys.executable, '-m', 'bench', *quickly, *options],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, 'TMPDIR': str(folder)}, start_new_session=True,
    )  # fmt: skip


def left_behind(domain: int) -> list[str]:
    """Return the command lines of processes in a ROS domain that only one benchmark uses."""
    found = []
    for process in Path('/proc').glob('[0-9]*'):
        try:
            if f'ROS_DOMAIN_ID={domain}\0'.encode() in (process / 'environ').read_bytes():
                found.append((process / 'cmdline').read_text().replace('\0', ' '))
        except OSError:  # it has ended, or is not ours
            continue
    return found


def test_a_run_gives_rates_and_cost_of_floor_and_bridge(tmp_path):
    run = bench(
        tmp_path, 89, '--only', 'String', '--direction', 'out', '--measure', 'rate',
        '--contestants', 'floor,bridge msgpack',
    )  # fmt: skip
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert 'bridge msgpack' in output
    result = json.loads((tmp_path / 'latest.json').read_text())
    medians = {(row['contestant'], row['measure']): row['median'] for row in result['figures']}
    for contestant in ('floor', 'bridge msgpack'):
        assert medians[contestant, 'rate'] > 0
        assert medians[contestant, 'cpu_us@sustained'] > 0
    assert [entry['target'].split(':')[0] for entry in result['targets']] == [
        'ROS → Redis, String, bridge msgpack'
    ]
    assert left_behind(89) == []


def test_ctrl_c_ends_it_with_all_its_processes(tmp_path):
    run = bench(tmp_path, 90, '--only', 'Twist', '--measure', 'rate')
    eventually(lambda: len(left_behind(90)) >= 4, 20)
    started = time.monotonic()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=20)
    assert time.monotonic() - started < 12
    assert run.returncode == 1
    assert left_behind(90) == []
    assert list(tmp_path.glob('redis_bridge_bench_*')) == []
