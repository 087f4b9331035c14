# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The code in doc/patterns.md runs as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from redis_bridge.mapping.load import load
from redis_bridge.mapping.plan import plan
from redis_bridge.protocol import keys, registry

CHECKOUT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r'```(\w+)\n(.*?)```', (CHECKOUT / 'doc/patterns.md').read_text(), re.DOTALL)
SPEED = ('key', 'robot9:speed')


def in_language(language: str) -> str:
    (text,) = [text for kind, text in BLOCKS if kind == language]
    return text


def test_the_mapping_is_sound(tmp_path):
    path = tmp_path / 'doc.yaml'
    path.write_text(in_language('yaml'))
    assert not plan(load(path, robot='robot1')).errors


def test_the_program_registers_a_name_and_writes_it(redis_server, db):
    done = subprocess.run(
        [sys.executable, '-c', in_language('python').replace(
            'redis://localhost:6379/0', redis_server.url
        )],
        env={**os.environ, 'PYTHONPATH': str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr, done.stdout) == (0, '', '')
    assert registry.registered(db.hkeys(keys.NAMES)) == {SPEED}
    assert b'0.5' in db.get('robot9:speed')


def test_the_commands_register_a_name_and_take_it_out(db):
    adds, removes = (line.partition('#')[0].split()[1:] for line in in_language('sh').splitlines())
    db.execute_command(*adds)
    assert registry.registered(db.hkeys(keys.NAMES)) == {SPEED}
    db.execute_command(*removes)
    assert not db.exists(keys.NAMES)
