# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The ROS executable `redis_bridge`, which runs a mapping until a signal ends it.

Whatever takes time to import is imported after the signal handlers are set, so that a signal
during start-up ends the process as cleanly as a later one. `--help` works without ROS.
"""

from __future__ import annotations

import gc
import sys
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from redis_bridge.signals import RELOAD, hold_hangups, reloaded_by_hangups, stopped_by_signals

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from queue import SimpleQueue

    from rclpy.node import Node

    from redis_bridge.bridge.bridge import Bridge
    from redis_bridge.mapping.model import Mapping

USAGE = """\
usage: redis_bridge --ros-args -p mapping:=FILE [-p robot:=NAME] [-p redis_url:=URL]

Carries ROS 2 topics to Redis and back, as the mapping says, until SIGINT or SIGTERM.
SIGHUP and the service ~/reload (std_srvs/srv/Trigger) load the mapping again.

parameters:
  mapping    the mapping file (YAML)
  robot      name of the robot, in place of the one in the mapping
  redis_url  address of Redis without a password, in place of the one in the mapping

`redis-bridge check FILE` checks a mapping without ROS and without Redis."""
COLLECT_AFTER = 20_000  # objects that are alive at once, beyond those at the last collection


def main(args: list[str] | None = None) -> int:
    """Run the bridge until SIGINT or SIGTERM.

    `args` are command line arguments as ROS takes them (`--ros-args -p mapping:=my.yaml`), None
    for those of the process. Returns the exit status: 0, or 1 with the reason on stderr.
    """
    args = sys.argv[1:] if args is None else args
    if '-h' in args or '--help' in args:
        print(USAGE)
        return 0
    hold_hangups()
    with stopped_by_signals() as stop:
        from redis_bridge.errors import BridgeError, MappingError

        try:
            return _run(args, stop)
        except BridgeError as error:
            who = '' if isinstance(error, MappingError) else 'redis_bridge: '
            print(f'{who}{error}', file=sys.stderr)
            return 1


def _run(args: list[str], stop: SimpleQueue[int]) -> int:
    from redis_bridge.bridge.bridge import Bridge
    from redis_bridge.errors import MissingRosError
    from redis_bridge.redis_io.side import RedisSide

    try:
        from rclpy.context import Context

        from redis_bridge.ros_io import nodes
        from redis_bridge.ros_io.diagnostics import Diagnostics
        from redis_bridge.ros_io.drain import has_publisher_gid
        from redis_bridge.ros_io.executor import spinning
        from redis_bridge.ros_io.leases import LeaseServices
        from redis_bridge.ros_io.reload import Reloads
        from redis_bridge.ros_io.roster import RosterTopics
        from redis_bridge.ros_io.side import RosSide
    except ImportError as error:
        raise MissingRosError(error) from None
    if not stop.empty():
        return stop.get()

    has_gid = has_publisher_gid()
    with ExitStack() as opened:
        context = Context()
        opened.callback(context.try_shutdown)
        services = nodes.services_node(context, args)
        opened.callback(services.destroy_node)
        log = opened.enter_context(nodes.RosLog(services.get_logger()))
        threading.excepthook = partial(_end, log, stop)
        read = _reader(services, has_gid, log)
        mapping = read(None)
        redis = RedisSide(
            mapping.redis, mapping.robot, log=log, presence=mapping.presence, leases=mapping.leases
        )
        opened.callback(redis.close)
        topics = nodes.topics_node(services, args, redis.origin.rpartition('/')[2])
        opened.callback(topics.destroy_node)
        ros = RosSide(topics, log, has_gid=has_gid, clock=services.get_clock())
        opened.callback(ros.close)
        bridge = Bridge(
            mapping, ros, redis,
            log=log, resolve=services.resolve_topic_name, distro='kilted' if has_gid else 'jazzy',
        )  # fmt: skip
        Diagnostics(services, mapping.robot, bridge.report, redis.states, log)
        RosterTopics(services, redis.watch_robots, redis.now, log)
        LeaseServices(services, mapping.leases, redis.acquire_lease, redis.release_lease)
        if not stop.empty():
            return stop.get()
        opened.enter_context(bridge)
        # Samples die young, by their reference counts; what is there now stays to the end.
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        reloads = Reloads(services, partial(_reload, read, mapping, bridge, log))
        # Two of them, because topics must not wait for services, such as a reload.
        for kind, node in (('single_threaded', services), (mapping.executor, topics)):
            opened.enter_context(spinning(kind, [node], log, failed=lambda: stop.put(1)))
        opened.callback(bridge.close)  # first of all, because it stops the robots
        log.info(
            'robot %s: %d routes to Redis, %d to ROS',
            mapping.robot,
            len(mapping.ros_to_redis) + len(mapping.outbound_patterns),
            len(mapping.redis_to_ros) + len(mapping.inbound_patterns),
        )  # fmt: skip
        for route in (*mapping.ros_to_redis, *mapping.redis_to_ros):
            log.debug('%s', route)
        opened.enter_context(reloaded_by_hangups(stop))
        while (status := stop.get()) == RELOAD:
            reloads.request()
        return status


def _end(log: logging.Logger, stop: SimpleQueue[int], died: threading.ExceptHookArgs) -> None:
    """End the bridge because a thread died: its work would be missing unnoticed."""
    name = 'without a name' if died.thread is None else died.thread.name
    log.critical('thread %s died, the bridge ends', name, exc_info=died.exc_value)
    stop.put(1)


def _reload(
    read: Callable[[Mapping | None], Mapping],
    mapping: Mapping,
    bridge: Bridge,
    log: logging.Logger,
) -> tuple[bool, str]:
    """Run what the file says now, all or nothing; return whether, and what changed or is wrong.

    `mapping` is that of the start.
    """
    from redis_bridge.errors import BridgeError

    try:
        changes = bridge.change(read(mapping))
    except BridgeError as error:
        text = f'the mapping was not reloaded, nothing has changed:\n{error}'
        log.error('%s', text)
        return False, text
    except Exception as error:  # a bug must not end the spinning
        log.exception('reload failed')
        return False, f'internal error, see the log: {error}'
    text = f'{mapping.path}: reloaded, routes: {changes}'
    log.info('%s', text)
    return True, text


def _reader(
    services: Node, has_gid: bool, log: logging.Logger
) -> Callable[[Mapping | None], Mapping]:
    """Return what loads and checks the whole mapping that the node's parameters name.

    It is given the mapping of a bridge that runs already.
    """
    from redis_bridge.errors import BridgeError
    from redis_bridge.mapping.load import load
    from redis_bridge.mapping.plan import plan
    from redis_bridge.ros_io import nodes, types

    path, robot, redis_url = (
        nodes.string_parameter(services, name) for name in ('mapping', 'robot', 'redis_url')
    )
    if not path:
        raise BridgeError('no mapping: give the parameter, -p mapping:=FILE')
    resolve = services.resolve_topic_name

    def read(running: Mapping | None) -> Mapping:
        mapping = load(
            path,
            robot=robot or None,
            redis_url=redis_url or None,
            resolve=resolve,
            describe=types.message,
            running=running,
        )
        checked = plan(mapping, 'kilted' if has_gid else 'jazzy', resolve)
        if checked.errors:
            raise BridgeError('\n'.join(checked.errors))
        for warning in checked.warnings:
            log.warning(warning)
        return mapping

    return read


if __name__ == '__main__':
    sys.exit(main())
