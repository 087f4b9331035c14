# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The code in doc/coordination.md runs as it is."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from redis_bridge import Client
from redis_bridge.errors import RedisError, WaitTimeoutError
from redis_bridge.mapping.load import load
from redis_bridge.mapping.plan import plan

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = (CHECKOUT / 'doc/coordination.md').read_text()
PROGRAMS = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)
URL = 'redis://localhost:6379/0'


@pytest.mark.parametrize('program', PROGRAMS, ids=lambda program: program.split('\n')[-2].strip())
def test_a_program_runs(redis_server, program):
    done = subprocess.run(
        [sys.executable, '-c', program.replace(URL, redis_server.url)],
        env={**os.environ, 'PYTHONPATH': str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert bool(done.stdout) == ('print' in program)


def test_some_programs_are_there():
    assert len(PROGRAMS) >= 3


@pytest.mark.parametrize('text', re.findall(r'```yaml\n(.*?)```', TEXT, re.DOTALL))
def test_a_mapping_is_sound(tmp_path, text):
    path = tmp_path / 'doc.yaml'
    path.write_text(text)
    assert not plan(load(path, robot='robot1')).errors


def test_the_commands_run(redis_server):
    (block,) = re.findall(r'```sh\n(.*?)```', TEXT, re.DOTALL)
    for line in block.splitlines():
        done = subprocess.run(
            [sys.executable, '-m', 'redis_bridge.cli', *shlex.split(line)[1:]],
            env={**os.environ, 'PYTHONPATH': str(CHECKOUT), 'REDIS_URL': redis_server.url},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, ''), line


def rights(what: str) -> list[str]:
    """Return the rights for leases or queues that the page lists, as ACL SETUSER takes them."""
    (text,) = re.findall(
        rf'A Redis user with few rights needs for (?:the )?{what}\n(.*?)\.\n', TEXT, re.DOTALL
    )
    words = re.findall(r'`([^`]+)`', text)
    return [word if word.startswith('~') else f'+{word.lower()}' for word in words]


@pytest.fixture
def limited(redis_server):
    """Give a function that returns a client which has some rights only."""
    with contextlib.ExitStack() as opened:
        db = opened.enter_context(redis_server.client())

        def client(given: list[str]) -> Client:
            user = ('ACL', 'SETUSER', 'ann', 'reset', 'on', '>pw', '+client|setname', '+select')
            db.flushall()
            db.execute_command(*user, *given)
            url = redis_server.url.replace('redis://', 'redis://ann:pw@')
            return opened.enter_context(Client(url))

        yield client


def use_lease(client: Client) -> None:
    with client.lease('dock-1', ttl_ms=200) as lease:
        with pytest.raises(WaitTimeoutError):
            client.lease('dock-1', ttl_ms=200, timeout_s=0).acquire()
        assert not lease.lost.wait(0.3)


def use_queue(client: Client) -> None:
    queue = client.queue('tasks', return_after_ms=100)
    queue.put({'n': 1})
    for _ in range(3):
        queue.fail(next(queue.claim(0)), 'no')
    queue.requeue(queue.status().dead[0].id)
    task = next(queue.claim(timeout_s=1))
    time.sleep(0.2)  # in which it is heard of
    assert queue.done(task)
    queue.close()


@pytest.mark.parametrize(('what', 'use'), [('leases', use_lease), ('queue', use_queue)])
def test_the_rights_on_the_page_are_those_that_are_needed(limited, what, use):
    given = rights(what)
    assert len(given) > 10
    use(limited(given))
    for one in given:
        if one in ('+info', '+time'):  # without them there is another way
            continue
        with pytest.raises(RedisError):
            use(limited([each for each in given if each != one]))
