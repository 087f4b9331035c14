# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The mappings of doc/frames.md are sound."""

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
    made = plan(load(path, robot='robot1'))
    assert not made.errors
    assert 'frame_prefix robot1/' in str(made)


def test_some_mappings_are_there():
    assert len(MAPPINGS) >= 2
