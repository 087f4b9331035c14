# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The mappings of doc/frames.md are sound; `test/ros/test_tf.py` runs the last two."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from redis_bridge.mapping.load import load
from redis_bridge.mapping.plan import plan

PAGE = (Path(__file__).parents[2] / 'doc/frames.md').read_text()
MAPPINGS = re.findall(r'```yaml\n(.*?)```', PAGE, re.DOTALL)


@pytest.mark.parametrize('text', MAPPINGS)
def test_a_mapping_is_sound(tmp_path, text):
    path = tmp_path / 'doc.yaml'
    path.write_text(text)
    assert not plan(load(path, robot='robot1')).errors


@pytest.mark.parametrize(('distro', 'is_loop'), [('kilted', False), ('jazzy', True)])
def test_robots_that_see_one_another_need_to_identify_publishers(tmp_path, distro, is_loop):
    robot, viewer = MAPPINGS[-2:]
    both = robot + viewer.removeprefix('version: 1\n')
    both += '    exclude: ["{robot}:tf_static"]\n'
    assert both.splitlines()[-1].strip() in PAGE
    path = tmp_path / 'doc.yaml'
    path.write_text(both)
    assert bool(plan(load(path, robot='robot1'), distro).errors) is is_loop
