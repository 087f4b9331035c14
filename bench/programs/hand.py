# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The hand-written node: what everyone writes who needs a topic in Redis, or the reverse."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import suppress
from typing import Any

import rclpy
import redis
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from bench.kinds import KINDS
from bench.ros import profile
from redis_bridge.ros_io import types


def to_plain(value: Any) -> Any:
    """Return a message as dicts and lists, as rosidl_runtime_py's message_to_ordereddict does."""
    if hasattr(value, 'get_fields_and_field_types'):
        names = value.get_fields_and_field_types()
        return {name: to_plain(getattr(value, name)) for name in names}
    if isinstance(value, (str, bytes, bool, int, float)):
        return value
    return [to_plain(item) for item in (value.tolist() if hasattr(value, 'tolist') else value)]


def fill(message: Any, value: dict[str, Any]) -> None:
    """Set a message's fields, as rosidl_runtime_py's set_message_fields does."""
    for name, setting in value.items():
        if isinstance(setting, dict):
            fill(getattr(message, name), setting)
        else:
            setattr(message, name, setting)


def outbound(kind_name: str, topic: str, name: str, port: str) -> None:
    """Write each message to a key and publish it to a channel."""
    kind = KINDS[kind_name]
    db = redis.Redis('127.0.0.1', int(port))

    def callback(message: Any) -> None:
        text = json.dumps(to_plain(message))
        db.set(name, text)
        db.publish(name, text)

    node = Node('bench_hand')
    node.create_subscription(types.load(kind.type), topic, callback, profile(kind))
    rclpy.spin(node)


def inbound(kind_name: str, topic: str, name: str, port: str) -> None:
    """Publish what comes on a channel."""
    kind = KINDS[kind_name]
    message_class = types.load(kind.type)
    node = Node('bench_hand')
    publisher = node.create_publisher(message_class, topic, profile(kind))
    pubsub = redis.Redis('127.0.0.1', int(port), socket_timeout=None).pubsub()
    pubsub.subscribe(name)

    def listen() -> None:
        for event in pubsub.listen():
            if event['type'] == 'message':
                message = message_class()
                fill(message, json.loads(event['data']))
                publisher.publish(message)

    threading.Thread(target=listen, daemon=True).start()
    rclpy.spin(node)


if __name__ == '__main__':
    rclpy.init()
    with suppress(ExternalShutdownException):
        {'out': outbound, 'in': inbound}[sys.argv[1]](*sys.argv[2:])
