# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The rules within one route, and the route that comes of it."""

from __future__ import annotations

import pytest
from mappings import INBOUND, errors, inbound, load, outbound

from redis_bridge.payloads import WITH_META

ERRORS = [
    (
        outbound(''),
        "m.yaml:3: ros_to_redis[0]: 'topic' is missing",
        "m.yaml:3: ros_to_redis[0]: 'to' is missing",
    ),
    (
        outbound('topic: /a, to: {}'),
        'm.yaml:3: ros_to_redis[0].to: expected at least one of key, hash, stream, channel',
    ),
    (
        outbound('topic: /a, to: {keys: x}'),
        "m.yaml:3: ros_to_redis[0].to: unknown key 'keys', did you mean 'key'?",
    ),
    (
        outbound('topic: /a, to: {key: 5}'),
        'm.yaml:3: ros_to_redis[0].to.key: expected a string or a map, got 5',
    ),
    (
        outbound('topic: /a, to: {key: {ttl_ms: 5}}'),
        "m.yaml:3: ros_to_redis[0].to.key: 'name' is missing",
    ),
    (
        outbound('topic: /a, to: {key: ""}'),
        'm.yaml:3: ros_to_redis[0].to.key: expected a string, got an empty one',
    ),
    (
        outbound('topic: ~/a, to: {key: x}'),
        "m.yaml:3: ros_to_redis[0].topic: expected a topic name, got '~/a': the bridge's "
        "own node has no private topics, write the full name, from '/' on",
    ),
    (
        outbound('topic: a, to: {key: x}') + '- {topic: /a, to: {channel: y}}\n',
        "m.yaml:4: ros_to_redis[1].topic: expected 'a' as in ros_to_redis[0], got '/a'",
    ),
    (
        outbound('topic: "/{place}/a", to: {key: x}', 'vars: {place: hall/r-1}'),
        'm.yaml:3: ros_to_redis[0].topic: a topic name consists of letters, digits and '
        "underscores between slashes: 'r-1' in '/hall/r-1/a' (from '/{place}/a')",
    ),
    (
        outbound('topic: /a, type: String, to: {key: x}'),
        "m.yaml:3: ros_to_redis[0].type: expected a type such as 'std_msgs/msg/String', "
        "got 'String'",
    ),
    (
        outbound('topic: /a, type: std_srvs/srv/Empty, to: {key: x}'),
        "m.yaml:3: ros_to_redis[0].type: a topic carries messages, got 'std_srvs/srv/Empty'",
    ),
    (
        outbound('topic: /a, to: {key: "__x"}'),
        "m.yaml:3: ros_to_redis[0].to.key: names that begin with '__' belong to Redis: '__x'",
    ),
    (
        outbound('topic: /a, to: {key: {name: "redis_bridge:x"}}'),
        "m.yaml:3: ros_to_redis[0].to.key.name: names under 'redis_bridge:' belong to the "
        "bridge itself: 'redis_bridge:x'",
    ),
    (
        outbound('topic: /a, to: {key: "{robt}:x"}'),
        "m.yaml:3: ros_to_redis[0].to.key: unknown variable {robt} in '{robt}:x', did you "
        "mean 'robot'? (known: robot)",
    ),
    (
        outbound('topic: /a, to: {key: "{robot:x"}'),
        "m.yaml:3: ros_to_redis[0].to.key: unmatched '{' in '{robot:x'",
    ),
    (
        outbound('topic: /a, exclude: [/b], to: {key: x}'),
        'm.yaml:3: ros_to_redis[0].exclude: only a pattern such as {x:*} has names to leave out',
    ),
    (
        outbound('topic: "/{robot:*}/scan", to: {channel: "{robot}:scan"}'),
        'm.yaml:3: ros_to_redis[0].topic: {robot} is a variable already: give the capture '
        'another name',
    ),
    (
        outbound('topic: "/{a:*}/{a:*}", to: {channel: "{a}:scan"}'),
        'm.yaml:3: ros_to_redis[0].topic: {a} is captured twice: give one of them another name',
    ),
    (
        outbound('topic: "/tb{a:*}/scan", to: {channel: "{a}:scan"}'),
        'm.yaml:3: ros_to_redis[0].topic: a capture is all that is between two slashes, got '
        "'tb{a:*}'",
    ),
    (
        outbound('topic: "{a:*}/scan", to: {channel: "{a}:scan"}'),
        "m.yaml:3: ros_to_redis[0].topic: a pattern of topics is a full name: it begins with '/'",
    ),
    (
        outbound('topic: "/{a:*}/{b:*}/x", to: {key: "{a}"}'),
        'm.yaml:3: ros_to_redis[0].to.key: all topics that match would write this key: put {b} '
        'into its name',
    ),
    (
        outbound('topic: "/{a:*}/x", to: {stream: {name: x}}'),
        'm.yaml:3: ros_to_redis[0].to.stream: all topics that match would write this stream: '
        'put {a} into its name',
    ),
    (
        outbound('topic: "/{a}/x", to: {channel: c}'),
        "m.yaml:3: ros_to_redis[0].topic: unknown variable {a} in '/{a}/x' (known: robot); to "
        'match any name, write {a:*}',
    ),
    (
        inbound('channel: "{a}:x", topic: /x, type: std_msgs/msg/String'),
        "m.yaml:3: redis_to_ros[0].channel: unknown variable {a} in '{a}:x' (known: robot); to "
        'match any name, write {a:*}',
    ),
    (
        outbound('topic: "/{a:*}/x", to: {channel: "{b}"}'),
        "m.yaml:3: ros_to_redis[0].to.channel: unknown variable {b} in '{b}' (known: a, robot)",
    ),
    (
        outbound('topic: "/{a:*}/x", to: {channel: "{b:*}"}'),
        'm.yaml:3: ros_to_redis[0].to.channel: only the topic that is matched has captures: '
        'write {x} for {x:*}',
    ),
    (
        outbound('topic: "/{a:*}/x", exclude: ["/{c}/x"], to: {channel: "{a}"}'),
        "m.yaml:3: ros_to_redis[0].exclude[0]: unknown variable {c} in '/{c}/x' (known: a, robot)",
    ),
    (
        outbound('topic: "/{a:*}/x", exclude: ["{a}/x", /b/x], to: {channel: "{a}"}'),
        'm.yaml:3: ros_to_redis[0].exclude[0]: topics that match are full names: expected one '
        "that begins with '/', got '{a}/x'",
    ),
    (
        inbound('channel: "{a:*}{b:*}", topic: "/{a}/{b}", type: std_msgs/msg/String'),
        'm.yaml:3: redis_to_ros[0].channel: two captures need something between them, which '
        'tells where one ends',
    ),
    (
        inbound('channel: x, topic: "/{a:*}", type: std_msgs/msg/String'),
        'm.yaml:3: redis_to_ros[0].topic: only the Redis name that is matched has captures: '
        'write {x} for {x:*}',
    ),
    (
        inbound('key: "{a:*}:x", topic: "/4{a}", type: std_msgs/msg/String'),
        'm.yaml:3: redis_to_ros[0].topic: no part of a topic name begins with a digit: '
        "'4x' in '/4x' (from '/4{a}')",
    ),
    (
        inbound(
            'stream: {name: "{a:*}:x", from: group, group: "{b:*}"}, topic: "/{a}", '
            'type: std_msgs/msg/String'
        ),
        'm.yaml:3: redis_to_ros[0].stream.group: only the Redis name that is matched has '
        'captures: write {x} for {x:*}',
    ),
    (
        outbound('topic: /a, qos: {reliability: besteffort}, to: {key: x}'),
        'm.yaml:3: ros_to_redis[0].qos.reliability: expected one of reliable, best_effort, '
        "got 'besteffort', did you mean 'best_effort'?",
    ),
    (
        outbound('topic: /a, qos: {depth: 0}, to: {key: x}'),
        'm.yaml:3: ros_to_redis[0].qos.depth: expected at least 1, got 0',
    ),
    (
        outbound('topic: /a, max_rate_hz: 0, to: {key: x}'),
        'm.yaml:3: ros_to_redis[0].max_rate_hz: expected at least 0.0001, got 0',
    ),
    (
        outbound('topic: /a, max_rate_hz: .inf, to: {key: x}'),
        'm.yaml:3: ros_to_redis[0].max_rate_hz: expected a number, got inf',
    ),
    (
        outbound('topic: /a, on_change: yes, to: {key: x}'),
        "m.yaml:3: ros_to_redis[0].on_change: expected true or false, got 'yes', did you "
        'mean true?',
    ),
    (
        outbound('topic: /a, to: {key: {name: x, ttl_ms: 1.5}}'),
        'm.yaml:3: ros_to_redis[0].to.key.ttl_ms: expected a whole number, got 1.5',
    ),
    (
        outbound('topic: /a, field: [a], to: {key: x}'),
        'm.yaml:3: ros_to_redis[0].field: expected a string, got a list',
    ),
    (
        outbound('topic: /a, fields: [a, a], to: {key: x}'),
        "m.yaml:3: ros_to_redis[0].fields: 'a' is listed twice",
    ),
    (
        outbound('topic: /a, fields: [a, b.], to: {key: x}'),
        'm.yaml:3: ros_to_redis[0].fields[1]: expected a dotted path such as '
        "'pose.position.x', got 'b.'",
    ),
    (
        outbound('topic: /a, field: a, fields: [b], to: {key: x}'),
        "m.yaml:3: ros_to_redis[0].fields: write either 'field' or 'fields', not both",
    ),
    (
        outbound('topic: /a, field: a, encoding: cdr, to: {key: x}'),
        'm.yaml:3: ros_to_redis[0].encoding: cdr carries whole messages, it cannot be '
        "combined with 'field'",
    ),
    (
        outbound('topic: /a, fields: [a], to: {key: {name: x, encoding: cdr}}'),
        'm.yaml:3: ros_to_redis[0].to.key.encoding: cdr carries whole messages, it cannot '
        "be combined with 'fields'",
    ),
    (
        outbound('topic: /a, fields: [a], encoding: text, to: {key: x}'),
        "m.yaml:3: ros_to_redis[0].encoding: text is one scalar: use 'field' instead of 'fields'",
    ),
    (
        outbound('topic: /a, field: a, to: {key: x}', 'defaults: {encoding: cdr}'),
        'm.yaml:3: ros_to_redis[0].encoding: cdr (from defaults) carries whole messages, '
        "it cannot be combined with 'field'",
    ),
    (
        outbound('topic: /a, field: a, to: {hash: x}'),
        "m.yaml:3: ros_to_redis[0].to.hash: a hash has named fields: write 'fields: [a]', "
        'or use a key',
    ),
    (
        outbound('topic: /a, to: {hash: {name: x, encoding: json}}'),
        "m.yaml:3: ros_to_redis[0].to.hash: unknown key 'encoding', expected one of name, ttl_ms",
    ),
    (
        outbound('topic: /a, arrays: typed, encoding: json, to: {key: x}'),
        'm.yaml:3: ros_to_redis[0].arrays: arrays: typed needs msgpack, expected arrays: '
        'list with json',
    ),
    (
        outbound('topic: /a, to: {key: {name: x, encoding: text, arrays: typed}}'),
        'm.yaml:3: ros_to_redis[0].to.key.arrays: arrays: typed needs msgpack, expected '
        'arrays: list with text',
    ),
    (
        outbound('topic: /a, to: {channel: {name: x, send: notice}}'),
        "m.yaml:3: ros_to_redis[0].to.channel.send: a notice reports that the route's key "
        'has changed: the route needs a key',
    ),
    (
        outbound('topic: /a, stop: {after_ms: 5}, to: {key: x}'),
        "m.yaml:3: ros_to_redis[0]: 'stop' is an option of redis_to_ros routes",
    ),
    (
        inbound('topic: /a, type: std_msgs/String'),
        'm.yaml:3: redis_to_ros[0]: expected one of channel, key, stream as the source',
    ),
    (
        inbound('channel: c, topic: /a'),
        "m.yaml:3: redis_to_ros[0]: 'type' is missing",
    ),
    (
        inbound(f'key: k, {INBOUND}'),
        'm.yaml:3: redis_to_ros[0]: expected only one of channel, key, stream, got channel '
        'and key',
    ),
    (
        inbound(f'{INBOUND}, on_change: true'),
        "m.yaml:3: redis_to_ros[0]: 'on_change' is an option of ros_to_redis routes",
    ),
    (
        inbound('key: {name: k, initial: skip}, topic: /a, type: a/B'),
        "m.yaml:3: redis_to_ros[0].key: 'initial' is an option of the route: write it "
        "beside 'key'",
    ),
    (
        inbound(f'{INBOUND}, initial: skip'),
        'm.yaml:3: redis_to_ros[0].initial: only a key has an initial value, a channel has none',
    ),
    (
        inbound('hash: h, topic: /a, type: a/B'),
        'm.yaml:3: redis_to_ros[0]: a hash cannot be read: use a key, a channel or a stream',
    ),
    (
        inbound('stream: {name: s, from: group}, topic: /a, type: a/B'),
        "m.yaml:3: redis_to_ros[0].stream: from: group needs the group's name: 'group' is missing",
    ),
    (
        inbound('stream: {name: s, group: g}, topic: /a, type: a/B'),
        "m.yaml:3: redis_to_ros[0].stream.group: a group needs 'from: group', got from: new",
    ),
    (
        inbound('stream: {name: s, from: start}, topic: /a, type: a/B'),
        'm.yaml:3: redis_to_ros[0].stream.from: expected one of new, last, beginning, '
        "group, got 'start'",
    ),
    (
        inbound(f'{INBOUND}, encoding: cdr, field: data'),
        'm.yaml:3: redis_to_ros[0].field: encoding cdr carries whole messages, it cannot '
        "be combined with 'field'",
    ),
    (
        inbound(f'{INBOUND}, encoding: text, max_age_ms: 5'),
        'm.yaml:3: redis_to_ros[0].max_age_ms: text on a channel carries no stamp, so '
        f'max_age_ms would reject all: send whole messages as {WITH_META}, use a '
        "stream, or set 'unstamped: accept'",
    ),
    (
        inbound(f'{INBOUND}, encoding: cdr, max_age_ms: 5'),
        'm.yaml:3: redis_to_ros[0].max_age_ms: cdr on a channel carries no stamp, so '
        f'max_age_ms would reject all: send whole messages as {WITH_META}, use a '
        "stream, or set 'unstamped: accept'",
    ),
    (
        inbound('key: k, topic: /a, type: a/B, field: data, max_age_ms: 5'),
        'm.yaml:3: redis_to_ros[0].max_age_ms: a bare field on a key carries no stamp, so '
        f'max_age_ms would reject all: send whole messages as {WITH_META}, use a '
        "stream, or set 'unstamped: accept'",
    ),
    (
        inbound('key: k, topic: /a, type: a/B, encoding: text', 'defaults: {max_age_ms: 9}'),
        'm.yaml:3: redis_to_ros[0].max_age_ms: text on a key carries no stamp, so '
        f'max_age_ms (from defaults) would reject all: send whole messages as {WITH_META}, '
        "use a stream, or set 'unstamped: accept'",
    ),
    (
        inbound(f'{INBOUND}, max_age_ms: -1'),
        'm.yaml:3: redis_to_ros[0].max_age_ms: expected at least 1, got -1',
    ),
    (
        inbound(f'{INBOUND}, limits: {{linear.x: [1, -1]}}'),
        "m.yaml:3: redis_to_ros[0].limits['linear.x']: expected [lowest, highest], got [1, -1]",
    ),
    (
        inbound(f'{INBOUND}, limits: {{x: [1]}}'),
        'm.yaml:3: redis_to_ros[0].limits.x: expected [lowest, highest], got 1 value',
    ),
    (
        inbound(f'{INBOUND}, limits: {{x: [1, .nan]}}'),
        'm.yaml:3: redis_to_ros[0].limits.x[1]: expected a number, got nan',
    ),
    (
        inbound(f'{INBOUND}, limits: {{x: 5}}'),
        'm.yaml:3: redis_to_ros[0].limits.x: expected a list, got 5',
    ),
    (
        inbound(f'{INBOUND}, limits: {{"a b": [1, 2]}}'),
        "m.yaml:3: redis_to_ros[0].limits['a b']: expected a dotted path such as "
        "'pose.position.x', got 'a b'",
    ),
    (
        inbound(f'{INBOUND}, set: {{/a: 1}}'),
        "m.yaml:3: redis_to_ros[0].set['/a']: expected a dotted path such as "
        "'pose.position.x', got '/a'",
    ),
    (
        inbound(f'{INBOUND}, stop: {{}}'),
        "m.yaml:3: redis_to_ros[0].stop: 'after_ms' is missing",
    ),
    (
        inbound(f'{INBOUND}, stop: {{after_ms: 5, message: now}}'),
        "m.yaml:3: redis_to_ros[0].stop.message: expected a map, got 'now'",
    ),
    (
        inbound(f'{INBOUND}, stop: {{after_ms: 5, message: {{linear.x: 0}}}}'),
        "m.yaml:3: redis_to_ros[0].stop.message['linear.x']: expected fields nested as in "
        "ROS, got the path 'linear.x'",
    ),
    (
        inbound(f'{INBOUND}, stop: {{after_ms: 5, message: {{a: [1, .inf]}}}}'),
        'm.yaml:3: redis_to_ros[0].stop.message.a[1]: a stop message has finite numbers only',
    ),
]


@pytest.mark.parametrize('row', ERRORS, ids=lambda row: row[1][:60])
def test_each_error_has_its_place_and_its_reason(tmp_path, row):
    text, *expected = row
    robot = None if 'vars: {robot' in text else 'r1'
    assert errors(tmp_path, text, robot=robot) == expected


def test_a_name_alone_is_short_for_a_map_with_the_name(tmp_path):
    short = load(tmp_path, outbound('topic: /a, to: {key: k, hash: h, stream: s, channel: k}'))
    long = load(
        tmp_path,
        outbound(
            'topic: /a, '
            'to: {key: {name: k}, hash: {name: h}, stream: {name: s}, channel: {name: k}}'
        ),
    )
    assert short == long
    for kind in ('channel', 'key', 'stream'):
        rest = 'topic: /a, type: std_msgs/String'
        assert load(tmp_path, inbound(f'{kind}: x, {rest}')) == load(
            tmp_path, inbound(f'{kind}: {{name: x}}, {rest}')
        )


def test_the_defaults_of_keys_do_not_reach_other_sources(tmp_path):
    text = inbound(
        'key: x, topic: /a, type: std_msgs/String}\n- {stream: y, topic: /b, type: std_msgs/Int8',
        'defaults: {initial: skip, max_bytes: 5, arrays: typed, encoding: json}',
    )
    key, stream = load(tmp_path, text).redis_to_ros
    assert key.source.initial == 'skip'
    assert (key.max_bytes, stream.max_bytes, stream.encoding) == (5, 5, 'json')


def test_typed_arrays_from_the_defaults_only_concern_msgpack(tmp_path):
    text = outbound(
        'topic: /a, to: {key: {name: k, encoding: json}, channel: k}', 'defaults: {arrays: typed}'
    )
    key, channel = load(tmp_path, text).ros_to_redis[0].sinks
    assert (key.arrays, channel.arrays) == ('list', 'typed')
