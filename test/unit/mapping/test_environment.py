# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Variables of the environment in a mapping."""

from __future__ import annotations

import pytest
from mappings import errors, inbound, load, outbound

from redis_bridge.errors import MappingError


def test_the_environment_is_put_in_with_defaults_and_escapes(tmp_path):
    text = outbound('topic: /a, to: {key: "${A}-${B:-b}-${C:-}-${D:-{robot}}-$${E}-${F:-${A}}"}')
    environ = {'A': 'a', 'D': ''}
    with pytest.raises(MappingError, match=r'unknown variable \{E\}'):
        load(tmp_path, text, environ=environ)
    loaded = load(tmp_path, text.replace('-$${E}', ''), environ=environ)
    assert loaded.ros_to_redis[0].sinks[0].name == 'a-b--r1-a'
    loaded = load(tmp_path, inbound('channel: c, topic: /a, type: a/B, set: {data: "$${A}"}'))
    assert loaded.redis_to_ros[0].set == {'data': '${A}'}


def test_numbers_and_truths_may_come_from_the_environment(tmp_path):
    text = outbound('topic: /a, max_rate_hz: "${R}", on_change: "${C:-true}", to: {key: "${R}"}')
    route = load(tmp_path, text, environ={'R': '20'}).ros_to_redis[0]
    assert (route.max_rate_hz, route.on_change, route.sinks[0].name) == (20, True, '20')
    assert errors(tmp_path, text, environ={'R': 'fast'}) == [
        "m.yaml:3: ros_to_redis[0].max_rate_hz: expected a number, got 'fast'"
    ]
