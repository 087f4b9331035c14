# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The empty callback: an ordinary rclpy node that does nothing with the messages it is given."""

from __future__ import annotations

import sys
from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from bench.kinds import KINDS
from bench.ros import profile
from redis_bridge.ros_io import types


def main(kind_name: str, topic: str) -> None:
    """Subscribe and spin."""
    kind = KINDS[kind_name]
    node = Node('bench_empty')
    node.create_subscription(types.load(kind.type), topic, lambda message: None, profile(kind))
    rclpy.spin(node)


if __name__ == '__main__':
    rclpy.init()
    with suppress(ExternalShutdownException):
        main(*sys.argv[2:4])
