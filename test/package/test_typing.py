# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The types of the public API, as a user's type checker sees them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """\
import redis_bridge
from redis_bridge import Lease, Notice, Queue, Robot, Task, Update


def show(notice: Notice) -> None:
    print(notice.event, notice.name, notice.text, notice.missed)


def age(robot: Robot) -> float:
    return 0.0 if robot.age is None else robot.age


with redis_bridge.Client('redis://localhost:6379/0', origin='me') as client:
    position = client.get('robot1:odom')['pose']['pose']['position']
    receivers: int = client.publish('robot1:goal', {'x': 1.5}, encoding='json')
    with client.watch('robot1:odom', on_notice=show) as watch:
        update: Update
        for update in watch:
            sender = update.meta.origin if update.meta else 'unknown'
            print(update.name, update.kind, update.value, sender)
    ages: list[float] = [age(robot) for robot in client.robots()]
    payload: bytes | dict[bytes, bytes] = client.get_raw('robot1:odom')
    lease: Lease
    with client.lease('dock-1', ttl_ms=2000, on_lost=lambda lost: print(lost.name)) as lease:
        token: int = lease.token
        print(token, lease.held, lease.lost.is_set())
    queue: Queue = client.queue('tasks', return_after_ms=30_000)
    id_: str = queue.put({'shelf': 7})
    task: Task
    for task in queue.claim(timeout_s=1.0):
        print(task.value, task.id, task.tries, queue.done(task) or queue.fail(task, 'no'))
    print(queue.status().waiting, queue.requeue(id_))
"""
WRONG = """\
import redis_bridge

client = redis_bridge.Client()
client.publish(5, {})
client.publish('name', {}, kind=1)
client.watch('name', on_notice='log')
client.robot('robot1').age + 1
redis_bridge.Cleint
"""


def errors_of(program: str, folder: Path) -> list[str]:
    """Return the errors that mypy --strict finds, each as `line [code]`."""
    pytest.importorskip('mypy')
    path = folder / 'program.py'
    path.write_text(program)
    done = subprocess.run(
        [
            sys.executable, '-m', 'mypy', '--strict', '--follow-imports=silent',
            '--no-color-output',
            '--cache-dir', str(folder / 'cache'), '--config-file', str(ROOT / 'pyproject.toml'),
            str(path),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=85,
        env={**os.environ, 'MYPYPATH': str(ROOT)},
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(r'program\.py:(\d+): error: .*\[([a-z-]+)\]$', done.stdout, re.M)
    assert len(found) == done.stdout.count(': error: '), done.stdout
    return [f'{line} [{code}]' for line, code in found]


def test_a_program_that_uses_the_client_has_no_type_errors(tmp_path: Path):
    assert errors_of(PROGRAM, tmp_path) == []


def test_wrong_uses_are_type_errors(tmp_path: Path):
    assert errors_of(WRONG, tmp_path) == [
        '4 [arg-type]', '5 [arg-type]', '6 [arg-type]', '7 [operator]', '8 [attr-defined]',
    ]  # fmt: skip
