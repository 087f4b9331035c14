# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command `dashboard`: a web page of the fleet."""

from __future__ import annotations

import argparse

from redis_bridge.cli.options import Command, connect
from redis_bridge.errors import BridgeError
from redis_bridge.signals import stopped_by_signals


class Dashboard(Command):
    """Serve a web page with a map of all robots, live.

    It finds robots and topics by what bridges register in Redis. Robots can be sent to a place, or
    stopped, after the token is entered, which is printed at the start. It listens on this machine
    alone. To reach it from others, use an SSH tunnel (`ssh -L 8090:localhost:8090 HOST`), or give
    --host the address that it shall listen at: then everybody who reaches it sees the fleet.

    Needs aiohttp: `pip install 'redis_bridge[dashboard]'` or `apt install python3-aiohttp`.

    examples:
      redis-bridge dashboard
      redis-bridge dashboard --url redis://10.0.0.5:6379/0 --port 8091
      redis-bridge dashboard --host 0.0.0.0 --token-file /etc/redis_bridge/token
    """

    handles_signals = True

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            '--host',
            default='127.0.0.1',
            metavar='ADDRESS',
            help='where to listen (default: 127.0.0.1)',
        )
        parser.add_argument(
            '--port',
            type=_port,
            default=8090,
            metavar='PORT',
            help='0: one that is free (default: 8090)',
        )
        parser.add_argument(
            '--token-file',
            metavar='FILE',
            help='file whose first line is the token for control (default: a new one at each '
            'start, which is printed)',
        )

    def run(self, args: argparse.Namespace) -> None:
        try:
            import aiohttp  # noqa: F401
        except ModuleNotFoundError:
            raise BridgeError(
                'the dashboard needs aiohttp, which is not installed: `pip install aiohttp` or '
                '`apt install python3-aiohttp`'
            ) from None
        from redis_bridge.dashboard.guard import read_token
        from redis_bridge.dashboard.run import run

        token = read_token(args.token_file)

        def tell(port: int) -> None:
            host = f'[{args.host}]' if ':' in args.host else args.host
            print(f'The dashboard is at http://{host}:{port}/', flush=True)
            if args.token_file is None:
                print(f'The token for control: {token}', flush=True)

        with stopped_by_signals() as stop:
            run(lambda: connect(args), args.host, args.port, token, stop, tell)


def _port(text: str) -> int:
    """Return a number of a TCP port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'expected a port from 0 to 65535, got {text!r}')
    return int(text)
