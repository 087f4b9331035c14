# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command `redis-bridge`.

Only `run`, `demo` and `check --live` use ROS, and `check` needs no Redis client: each command
imports what it needs when it is called.
"""

from __future__ import annotations

import argparse
import inspect
import io
import sys

from redis_bridge import __version__
from redis_bridge.cli.dashboard import Dashboard
from redis_bridge.cli.data_commands import Get, Publish, Watch
from redis_bridge.cli.mapping_commands import Check, Demo, Run
from redis_bridge.cli.options import CONNECTION, DEFAULT_URL, Command, UsageError, add_connection
from redis_bridge.cli.output import abandon, complain
from redis_bridge.cli.queue_command import Queue
from redis_bridge.cli.robots import Robots
from redis_bridge.cli.status import Status
from redis_bridge.errors import BridgeError, MappingError, NotFoundError, RedisError
from redis_bridge.signals import release_signals

COMMANDS: dict[str, Command] = {
    type(command).__name__.lower(): command
    for command in (
        Run(),
        Check(),
        Demo(),
        Robots(),
        Status(),
        Get(),
        Watch(),
        Publish(),
        Queue(),
        Dashboard(),
    )
}
# The first that fits.
EXIT_STATUS = {NotFoundError: 4, RedisError: 3, UsageError: 2, BridgeError: 1}
DESCRIPTION = 'Mirror ROS 2 topics into Redis and back, and look at what is there.'
EPILOG = f"""\
The address of Redis is --url, else the environment variable REDIS_URL, else {DEFAULT_URL}.
Put a password into --password-file or REDIS_URL. A password in --url is rejected, because every
user of the machine could read it in the list of processes.

examples:
  redis-bridge check warehouse.yaml --robot robot1     what would this mapping do?
  redis-bridge run warehouse.yaml --robot robot1       run the bridge (needs ROS 2)
  redis-bridge robots                                  which robots are online?
  redis-bridge status robot1                           what does its bridge carry?
  redis-bridge get robot1:odom
  redis-bridge watch robot1:odom robot1:battery
  redis-bridge publish robot1:goal '{{pose: {{position: {{x: 1.5}}}}}}'
  redis-bridge queue tasks                             what waits, who has what, what is dead?
  redis-bridge dashboard                               a web page with a map of the fleet

See also: redis-bridge COMMAND --help

"""
EXIT_STATUS_HELP = """\
exit status:
  0    done
  1    invalid input: a mapping, a value, a name of the wrong kind
  2    invalid command line
  3    Redis cannot be reached, or answers with an error
  4    no such name, or no such robot
  130  ended by Ctrl-C (`run` then ends with 0, as for SIGTERM)
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status; expected errors print one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
    try:
        try:
            return _run_command(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()  # here, where a closed pipe is recognised
    except BrokenPipeError:
        abandon(sys.stdout)  # the reader (`| head`) has read enough
        return 0


def _run_command(argv: list[str]) -> int:
    argv, ros_args = _split_ros_args(argv)
    parser = _parser()
    args = parser.parse_args(argv)
    command = COMMANDS[args.command]
    if ros_args and args.command != 'run':
        parser.error('--ros-args is for `run` only')
    for option in CONNECTION:
        if getattr(args, option) is not None and option not in command.connection:
            parser.error(f'`{args.command}` has no option --{option.replace("_", "-")}')
    args.ros_args = ros_args
    try:
        if not command.handles_signals:
            release_signals()
        return command.run(args) or 0
    except BridgeError as error:
        complain(error, prefix='' if isinstance(error, MappingError) else 'redis-bridge: ')
        return next(status for kind, status in EXIT_STATUS.items() if isinstance(error, kind))
    except KeyboardInterrupt:
        return 130


def _split_ros_args(argv: list[str]) -> tuple[list[str], list[str]]:
    """Split `--ros-args ...` (up to `--`, as in ROS) from the arguments."""
    if '--ros-args' not in argv:
        return argv, []
    start = argv.index('--ros-args')
    end = argv.index('--', start) if '--' in argv[start:] else len(argv)
    return argv[:start] + argv[end + 1 :], argv[start:end]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='redis-bridge',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EPILOG + EXIT_STATUS_HELP,
    )
    parser.add_argument('--version', action='version', version=f'redis-bridge {__version__}')
    add_connection(parser, default=None)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, command in COMMANDS.items():
        description, _, examples = (inspect.getdoc(command) or '').partition('examples:\n')
        summary = description.partition('.\n')[0]
        sub = commands.add_parser(
            name,
            help=summary[:1].lower() + summary[1:],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            description=description,
            epilog=f'examples:\n{examples}\n\n{EXIT_STATUS_HELP}',
        )
        command.add_options(sub)
        if command.connection == CONNECTION:
            add_connection(sub, default=argparse.SUPPRESS)
    return parser
