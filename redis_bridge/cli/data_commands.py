# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The commands that read and write values in Redis: `get`, `watch` and `publish`."""

from __future__ import annotations

import argparse
import datetime
import itertools
import sys
import time
from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING

from redis_bridge.cli.options import Command, UsageError, connect, count, positive
from redis_bridge.cli.output import complain, cut, printable, to_json, to_yaml
from redis_bridge.mapping import yaml12
from redis_bridge.mapping.model import SINKS, SOURCES
from redis_bridge.payloads import CODECS

if TYPE_CHECKING:
    from redis_bridge.client.client import Update


class Get(Command):
    """Print the present value of a key, a hash or a stream.

    The value of a key, all fields of a hash, or the last entry of a stream. If a bridge wrote it,
    its description says how to decode it. Anything else is JSON if it is an object or a list, else
    a string if it is UTF-8, else bytes. Strings are printed unchanged, all other values as YAML.

    examples:
      redis-bridge get Temperature
      redis-bridge get robot1:odom --json | jq .pose.pose.position
      redis-bridge get robot1:image --raw > image.msgpack
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('name', metavar='NAME', help='a key, hash or stream in Redis')
        form = parser.add_mutually_exclusive_group()
        form.add_argument('--json', action='store_true', help='one line of JSON')
        form.add_argument('--raw', action='store_true', help='the payload unchanged, not decoded')

    def run(self, args: argparse.Namespace) -> None:
        with connect(args) as client:
            value = client.get_raw(args.name) if args.raw else client.get(args.name)
        if args.raw:
            if isinstance(value, dict):
                value = b''.join(b'%b\t%b\n' % item for item in value.items())
            sys.stdout.buffer.write(value)
        elif args.json:
            print(to_json(value))
        elif isinstance(value, str):
            print(printable(value, sys.stdout))
        else:
            print(to_yaml(value), end='')


class Watch(Command):
    """Print what arrives at names, one line per message.

    Channels, keys (the present value, then each change) and streams (new entries). The kind comes
    from the bridge that writes the name, else from the key in Redis, else it is a channel. A name
    of several kinds is watched as all of them; --kind picks one.

    A line is time, name and the value as JSON, with the kind after a name of several kinds. It is
    cut to the width of a terminal, but never in a pipe. Lost connections, gaps and payloads that
    cannot be decoded are reported on stderr. A lost connection is restored automatically.

    examples:
      redis-bridge watch robot1:odom
      redis-bridge watch robot1:odom robot1:battery robot1:tasks
      redis-bridge watch robot1:odom --json | jq -c .value.pose.pose.position
      redis-bridge watch robot1:goal --count 1 --json
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('names', nargs='+', metavar='NAME', help='channels, keys and streams')
        parser.add_argument('--kind', choices=SINKS, help='kind of the names')
        parser.add_argument('--count', type=count, metavar='N', help='end after N messages')
        form = parser.add_mutually_exclusive_group()
        form.add_argument(
            '--json',
            action='store_true',
            help='a JSON object per line: time (seconds), name, kind, value and, if '
            'there are any, meta {origin, seq, stamp} and id (of a stream entry)',
        )
        form.add_argument(
            '--raw',
            action='store_true',
            help='the payloads alone, not decoded, each followed by a newline',
        )

    def run(self, args: argparse.Namespace) -> None:
        with (
            connect(args) as client,
            client.watch(*args.names, kind=args.kind, on_notice=complain, raw=args.raw) as updates,
        ):
            for update in itertools.islice(updates, args.count):
                if args.raw:
                    sys.stdout.buffer.write(_raw(update.value) + b'\n')
                    sys.stdout.buffer.flush()
                elif args.json:
                    print(_json_line(update), flush=True)
                else:
                    print(_line(update, updates.kinds(update.name)), flush=True)


def _raw(payload: bytes | dict[bytes, bytes] | None) -> bytes:
    if isinstance(payload, dict):
        return b'\t'.join(b'%b=%b' % item for item in payload.items())
    return payload or b''


def _json_line(update: Update) -> str:
    meta = update.meta and update.meta._asdict()
    fields = {'time': round(time.time(), 6), **update._asdict(), 'meta': meta}
    return to_json(
        {key: fields[key] for key in fields if key == 'value' or fields[key] is not None}
    )


def _line(update: Update, kinds: Sized) -> str:
    """Return one message as a line, with its kind if the name is watched as several."""
    clock = datetime.datetime.now().strftime('%H:%M:%S.%f')[:-3]
    value = 'deleted' if update.value is None else to_json(update.value)
    name = update.name if len(kinds) == 1 else f'{update.name} ({update.kind})'
    return cut(f'{clock} {printable(name, sys.stdout)} {value}', sys.stdout)


class Publish(Command):
    r"""Send a value to a channel, key or stream.

    VALUE is YAML or JSON. It is encoded as the bridge that reads NAME expects (json if none does)
    and, if the bridge described its type, checked first, also against the limits and required
    fields of the bridge's route. It carries the Redis server's time, so that it is not rejected as
    too old. With the encoding text, VALUE is sent unchanged. Status 0 means that the value was
    delivered, not that a robot obeyed: `status` shows what a bridge rejected, and why.

    Without --kind, NAME is the kind that the bridge reads it as; else a stream or a key if one is
    stored; else a channel. A command route with a dead-man timeout needs repeated messages:
    --rate.

    examples:
      redis-bridge publish robot1:goal '{pose: {position: {x: 1.5, y: 2}}}'
      redis-bridge publish robot1:cmd_vel '{linear: {x: 0.2}}' --rate 10 --count 50
      redis-bridge publish learning_rate 0.001 --kind key --encoding text
      redis-bridge watch robot1:odom --json | jq -c --unbuffered .value.twist.twist \
        | redis-bridge publish robot2:cmd_vel - --lines
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('name', metavar='NAME', help='a channel, key or stream in Redis')
        parser.add_argument('value', metavar='VALUE', help='YAML or JSON; - reads it from stdin')
        parser.add_argument('--kind', choices=SOURCES, help='kind of NAME')
        parser.add_argument('--encoding', choices=CODECS, help='encoding (default: as expected)')
        parser.add_argument(
            '--type',
            metavar='PKG/MSG/NAME',
            help='message type to check against (default: as expected)',
        )
        parser.add_argument('--rate', type=positive, metavar='HZ', help='repeat at this rate')
        parser.add_argument(
            '--count',
            type=count,
            metavar='N',
            help='number of messages (default: 1; with --rate unlimited)',
        )
        parser.add_argument(
            '--lines',
            action='store_true',
            help='with -: each line of stdin is one value, sent at once',
        )

    def run(self, args: argparse.Namespace) -> None:
        if args.lines and args.value != '-':
            raise UsageError('--lines needs - for VALUE')
        if args.lines and (args.rate or args.count):
            raise UsageError('--lines sends each line at once: omit --rate and --count')
        repeats = args.count or (sys.maxsize if args.rate else 1)
        with connect(args) as client:
            target = client.target(
                args.name, kind=args.kind, encoding=args.encoding, type=args.type
            )
            for text in _values(args):
                value = text if CODECS[target.encoding].one_scalar else yaml12.parse_value(text)
                reached = client.send(target, value)
                due = time.monotonic()
                for _ in range(repeats - 1):
                    if args.rate:
                        due = max(due + 1 / args.rate, time.monotonic() - 1)
                        time.sleep(max(0.0, due - time.monotonic()))
                    client.send(target, value)
                if target.kind == 'channel' and not reached and not args.lines:
                    complain(f'channel {args.name} has no subscribers')


def _values(args: argparse.Namespace) -> Iterator[str]:
    """Yield the values to send, as typed."""
    if args.value != '-':
        yield args.value
    elif args.lines:
        yield from (line.rstrip('\r\n') for line in sys.stdin if line.strip())
    else:
        yield sys.stdin.read().rstrip('\n')
