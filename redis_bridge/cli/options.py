# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What the commands share: their base class, option types and connection."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from redis_bridge.errors import BridgeError, RedisError
from redis_bridge.mapping import redis_url
from redis_bridge.protocol import names

if TYPE_CHECKING:
    from redis_bridge.client.client import Client

CONNECTION = (
    'url', 'username', 'password_file', 'sentinel_username', 'sentinel_password_file',
    'sharded_pubsub',
)  # fmt: skip
DEFAULT_URL = 'redis://localhost:6379/0'


class UsageError(BridgeError):
    """An invalid command line that argparse could not find."""


class Command:
    """One command: it is named like its class, and its help is the docstring.

    The first sentence of the docstring is the summary; examples follow the line `examples:`.
    """

    connection: tuple[str, ...] = CONNECTION  # the connection options that it takes
    handles_signals = False  # by itself; they are held until it does

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command alone."""

    def run(self, args: argparse.Namespace) -> int | None:
        """Run the command; return the exit status, if it is not 0."""
        raise NotImplementedError


def add_connection(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the connection options, which may precede or follow the command."""
    group = parser.add_argument_group('connection')
    group.add_argument(
        '--url',
        default=default,
        metavar='URL',
        help='address of Redis, without a password: redis://, rediss://, unix://, '
        'redis+sentinel://HOST,HOST,HOST/NAME or redis+cluster://HOST,HOST '
        f'(default: $REDIS_URL, else {DEFAULT_URL})',
    )
    group.add_argument('--username', default=default, metavar='NAME', help='ACL user')
    group.add_argument(
        '--password-file',
        default=default,
        metavar='FILE',
        help='file whose first line is the password',
    )
    group.add_argument(
        '--sentinel-username', default=default, metavar='NAME', help='ACL user at the sentinels'
    )
    group.add_argument(
        '--sentinel-password-file',
        default=default,
        metavar='FILE',
        help='file whose first line is the password of the sentinels',
    )
    group.add_argument(
        '--sharded-pubsub',
        action='store_true',
        default=default,
        help='in a cluster, use SPUBLISH and SSUBSCRIBE for channels',
    )


def connect(args: argparse.Namespace) -> Client:
    """Return the client for the connection options."""
    from redis_bridge.client.client import Client

    if args.url is not None:
        reject_password(args.url, '--url')
    url = args.url or os.environ.get('REDIS_URL') or DEFAULT_URL
    try:
        return Client(
            url,
            username=args.username,
            password_file=args.password_file,
            sentinel_username=args.sentinel_username,
            sentinel_password_file=args.sentinel_password_file,
            sharded_pubsub=args.sharded_pubsub is True,
        )
    except RedisError as error:
        text = str(error).replace('redis.url', 'the URL of Redis')
        text = text.replace('redis.sharded_pubsub', '--sharded-pubsub')
        raise UsageError(text.replace('redis.sentinel', 'a login at sentinels')) from None


def reject_password(url: str, option: str) -> None:
    """Raise UsageError for a URL on the command line that carries a password."""
    if redis_url.has_password(url):
        raise UsageError(
            f'{option} carries a password, which every user of this machine could read in the '
            'list of processes: put the URL into the environment variable REDIS_URL, or the '
            'password into a file and give --password-file FILE'
        )


def name_and_value(text: str) -> tuple[str, str]:
    """Return the parts of NAME=VALUE."""
    name, equals, value = text.partition('=')
    if not equals or not name:
        raise argparse.ArgumentTypeError(f'expected NAME=VALUE, got {text!r}')
    return name, value


def namespace(text: str) -> str:
    """Return a namespace of ROS with its leading slash."""
    name = '/' + text.strip('/')
    if problem := name != '/' and names.topic_problem(name):
        raise argparse.ArgumentTypeError(problem)
    return name


def remapping(text: str) -> tuple[str, str]:
    """Return the topics of FROM:=TO."""
    before, assigned, after = text.partition(':=')
    if not assigned:
        raise argparse.ArgumentTypeError(f'expected FROM:=TO, got {text!r}')
    if before == '__ns':
        raise argparse.ArgumentTypeError(f'give the namespace as --namespace {after}')
    for topic in (before, after):
        if problem := names.topic_problem(topic):
            raise argparse.ArgumentTypeError(problem)
    return before, after


def count(text: str) -> int:
    """Return a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1, got {text!r}')
    return int(text)


def positive(text: str) -> float:
    """Return a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f'expected a number above 0, got {text!r}')
    return value
