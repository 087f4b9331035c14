# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A robot's hash, as it is written and read."""

from __future__ import annotations

from redis_bridge.protocol import robot_status
from redis_bridge.protocol.robot_status import Robot


def as_bytes(fields):
    return {key.encode(): value.encode() for key, value in fields.items()}


def test_a_robot_is_read_as_it_was_written():
    routes = {
        '/a -> key x': {'route': 'a'},
        '/b -> key y': {'route': 'b'},
        'key z -> /c': {'route': 'c'},
    }
    fields = {
        **robot_status.status_fields(
            {'writer': 'connected'},
            {id_: robot_status.report_json(report) for id_, report in routes.items()},
        ),
        **robot_status.claim_fields('12e4', 'host', 5, 'x y 5 9', 1000.25, 1010.0, 0.0125),
    }
    assert {'state', 'route:key z -> /c', 'boot', 'stamp'} < set(fields)
    robot = robot_status.read('r', as_bytes(fields), 1012.5)
    assert robot == Robot(
        'r', '12e4', 1, 2.5,
        {
            'host': 'host', 'pid': 5, 'since': 1000.25, 'clock_uncertainty_ms': 12.5,
            'state': {'writer': 'connected'},
            'routes': [{'route': 'a'}, {'route': 'b'}, {'route': 'c'}],
        },
    )  # fmt: skip


def test_routes_come_by_their_ids_so_that_outbound_ones_come_first():
    ids = ['key k -> /b', 'channel c -> /b', '/odom -> key k', '/a -> channel c']
    fields = {f'route:{id_}': f'"{id_}"' for id_ in ids}
    assert robot_status.read('r', as_bytes(fields), 0.0).status['routes'] == sorted(ids)


def test_routes_of_earlier_versions_come_by_number():
    fields = {'route:10': '"last"', 'route:9': '"before"', 'route:0': '{"route": "first"}'}
    routes = robot_status.read('r', as_bytes(fields), 0.0).status['routes']
    assert routes == [{'route': 'first'}, 'before', 'last']


def test_whatever_is_in_the_hash_is_passed_on():
    robot = robot_status.read('r', {b'state': b'{broken', b'\xff': b'\xfe', b'stamp': b'x'}, 0.0)
    assert (robot.boot, robot.protocol, robot.age) == (None, None, None)
    assert robot.status == {'state': '{broken', '\\xff': '\\xfe', 'routes': []}
