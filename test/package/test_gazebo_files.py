# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The files for Gazebo, read by the real SDF parser, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from redis_bridge.demo import gazebo
from redis_bridge.demo.warehouse import MAX_ROBOTS, robot_names

PARSER = shutil.which('gz') or shutil.which('ign')
pytestmark = pytest.mark.skipif(
    PARSER is None,
    reason='needs the SDF parser: apt install libsdformat-dev sdformat-sdf ignition-tools, or gz',
)
# Said by the Debian package of `ign` at each call, whatever the file.
HARMLESS = 'libignition-tools-backward.so'


def complaints_of(source, folder):
    """Return all that the parser says of a file: on its output, and in its log."""
    path, home = folder / 'file.sdf', folder / 'home'
    path.write_text(source, encoding='utf-8')
    home.mkdir()
    done = subprocess.run(
        [PARSER, 'sdf', '--check', str(path)],
        env={**os.environ, 'HOME': str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    logs = [log.read_text(encoding='utf-8') for log in home.rglob('*.log')]
    lines = '\n'.join([done.stdout, done.stderr, *logs]).splitlines()
    said = [line for line in lines if line.strip() and HARMLESS not in line]
    assert (done.returncode == 0) == ('Valid.' in said), said
    return [line for line in said if line != 'Valid.']


def test_the_world_is_valid_without_a_warning(tmp_path):
    assert complaints_of(gazebo.world(), tmp_path) == []


@pytest.mark.parametrize('robot', robot_names(MAX_ROBOTS))
def test_a_robot_is_valid_without_a_warning(robot, tmp_path):
    assert complaints_of(gazebo.model(robot), tmp_path) == []


@pytest.mark.parametrize(
    ('right', 'wrong'),
    [
        ('<max_step_size>', '<stepp>1</stepp><max_step_size>'),  # no such element
        ('<world name="warehouse">', '<world>'),  # needs a name
        ('name="shelf_2"', 'name="shelf_1"'),  # twice
    ],
)
def test_the_parser_finds_what_is_wrong(right, wrong, tmp_path):
    source = gazebo.world()
    assert right in source
    assert complaints_of(source.replace(right, wrong), tmp_path)
