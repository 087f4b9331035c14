# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The code in doc/coordination.md runs as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert len(PROGRAMS) >= 2
