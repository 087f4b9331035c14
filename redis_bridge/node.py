# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The ROS executable `bridge`: parameters, signals and the order of starting and stopping.

Nothing of ROS is imported before the signal handlers stand, so that a signal during start-up ends
the process as cleanly as a later one.
"""

from __future__ import annotations

import gc
import logging
import sys
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any

from redis_bridge.errors import BridgeError, MappingError
from redis_bridge.mapping.model import Mapping
from redis_bridge.signals import stopped_by_signals

NODE_NAME = 'redis_bridge'
COLLECT_AFTER = 20_000  # objects that are alive at once, beyond those there were at the last time


def main(args: list[str] | None = None) -> int:
    """Run the bridge until SIGINT or SIGTERM.

    `args` are command line arguments as ROS takes them (`--ros-args -p mapping:=my.yaml`), None
    for those of the process. Returns the exit status: 0, or 1 with the reason on stderr.
    """
    with stopped_by_signals() as stop:
        try:
            return _run(sys.argv[1:] if args is None else args, stop)
        except MappingError as error:
            for mistake in error.errors:
                print(mistake, file=sys.stderr)
            return 1
        except BridgeError as error:
            print(f'redis_bridge: {error}', file=sys.stderr)
            return 1


def _run(args: list[str], stop: SimpleQueue[int]) -> int:
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from redis_bridge.bridge.bridge import Bridge
    from redis_bridge.redis_io.side import RedisSide
    from redis_bridge.ros_io.diagnostics import Diagnostics
    from redis_bridge.ros_io.drain import tells_publisher
    from redis_bridge.ros_io.topics import RosSide

    has_gid = tells_publisher()
    with ExitStack() as opened:
        context = rclpy.Context()
        rclpy.init(
            args=['bridge', *args],
            context=context,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        opened.callback(context.try_shutdown)
        node = rclpy.create_node(NODE_NAME, context=context)
        opened.callback(node.destroy_node)
        log = opened.enter_context(RosLog(node.get_logger()))
        mapping = _mapping(node, has_gid, log)
        redis = RedisSide(mapping.redis, mapping.robot, log=log.logger, presence=mapping.presence)
        opened.callback(redis.close)
        topics = _topics_node(context, node, args, redis.origin.rpartition('/')[2])
        opened.callback(topics.destroy_node)
        ros = RosSide(topics, log.logger, has_gid=has_gid)
        opened.callback(ros.close)
        bridge = Bridge(
            mapping,
            ros,
            redis,
            ros_now=lambda: node.get_clock().now().seconds_nanoseconds(),
            log=log.logger,
        )
        Diagnostics(node, bridge, log.logger)
        if not stop.empty():
            return stop.get()
        opened.enter_context(bridge)
        # Samples die young, and by their reference counts; what is there now stays to the end.
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        for spinner in _spinners(
            mapping.executor, topics, node, context, log.logger, failed=lambda: stop.put(1)
        ):
            opened.enter_context(spinner)
        _tell_what_runs(bridge, log.logger)
        return stop.get()


def _parameter(node: Any, name: str) -> str:
    """Return a string parameter of the node, empty if it was not given."""
    from rclpy.exceptions import InvalidParameterTypeException

    try:
        return node.declare_parameter(name, '').value
    except InvalidParameterTypeException:
        raise BridgeError(
            f'{name}: expected a string, quoted if it looks like a number: -p \'{name}:="7"\''
        ) from None


def _mapping(node: Any, has_gid: bool, log: RosLog) -> Mapping:
    """Load and check the whole mapping that the node's parameters name."""
    from redis_bridge.mapping.load import load
    from redis_bridge.mapping.plan import plan

    given = {name: _parameter(node, name) for name in ('mapping', 'robot', 'redis_url')}
    if not given['mapping']:
        raise BridgeError('no mapping: give the parameter, -p mapping:=FILE')
    mapping = load(
        given['mapping'], robot=given['robot'] or None, redis_url=given['redis_url'] or None
    )
    checked = plan(mapping, 'kilted' if has_gid else 'jazzy')
    if checked.refusals:
        raise BridgeError('\n'.join(checked.refusals))
    for warning in checked.warnings:
        log.logger.warning(warning)
    return mapping


def _tell_what_runs(bridge: Any, log: logging.Logger) -> None:
    """Log once what this process carries."""
    mapping = bridge.mapping
    log.info(
        'robot %s: %d routes to Redis, %d to ROS',
        mapping.robot, len(mapping.ros_to_redis), len(mapping.redis_to_ros),
    )  # fmt: skip


def _topics_node(context: Any, node: Any, args: list[str], boot: str) -> Any:
    """Make the node that carries topics, beside `node`, which has everything else."""
    from rclpy.node import Node

    from redis_bridge.ros_io.topics import BRIDGE_NODE

    return Node(
        f'{BRIDGE_NODE}{boot}',
        context=context,
        namespace=node.get_namespace(),
        use_global_arguments=False,
        cli_args=topic_remappings(args),
        enable_rosout=False,
        start_parameter_services=False,
    )


def topic_remappings(args: list[str]) -> list[str]:
    """Return the ROS arguments that remap topics, without those that name nodes or namespaces."""
    remappings: list[str] = []
    for flag, rule in zip(args, args[1:]):
        name = rule.partition(':=')[0].rpartition(':')[2]
        if flag in ('-r', '--remap') and name not in ('__node', '__name', '__ns'):
            remappings += ['-r', rule]
    return ['--ros-args', *remappings] if remappings else []


def _spinners(
    kind: str, topics: Any, node: Any, context: Any, log: logging.Logger, failed: Any
) -> list[Any]:
    from redis_bridge.ros_io.executor import Spinner

    if kind == 'events':
        return [
            Spinner('events', [topics], context, log, failed),
            Spinner('single_threaded', [node], context, log, failed),
        ]
    return [Spinner('single_threaded', [topics, node], context, log, failed)]


class RosLog(logging.Handler):
    """Hands Python's log records to a ROS logger while open."""

    def __init__(self, ros_logger: Any) -> None:
        super().__init__()
        # One line per level: rclpy refuses a call site that changes its severity.
        self._calls = {
            logging.DEBUG: lambda text: ros_logger.debug(text),
            logging.INFO: lambda text: ros_logger.info(text),
            logging.WARNING: lambda text: ros_logger.warning(text),
            logging.ERROR: lambda text: ros_logger.error(text),
            logging.CRITICAL: lambda text: ros_logger.fatal(text),
        }
        self.logger = logging.getLogger('redis_bridge')

    def __enter__(self) -> RosLog:
        self.logger.setLevel(logging.DEBUG)
        self.logger.propagate = False
        self.logger.addHandler(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one record."""
        self._calls.get(record.levelno, self._calls[logging.INFO])(self.format(record))


if __name__ == '__main__':
    sys.exit(main())
