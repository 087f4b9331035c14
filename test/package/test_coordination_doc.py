# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The code in doc/coordination.md runs as it is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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
