# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Watches names in Redis in any encoding with redis_bridge.Client: no ROS.

    pip install redis_bridge
    python examples/watch_client.py robot1:odom robot1:temperature     # Ctrl-C ends it

The client looks up what a bridge says about each name (channel, key or stream, encoding, type),
decodes each message, and restores a lost connection. Notices such as gaps go to stderr.
"""

from __future__ import annotations

import os
import sys

import redis_bridge


def main(names: list[str]) -> None:
    """Print a line for each message until the process is interrupted."""
    url = os.environ.get('REDIS_URL', 'redis://localhost:6379/0')
    with redis_bridge.Client(url) as client:
        for update in client.watch(*names, on_notice=lambda note: print(note, file=sys.stderr)):
            sender = update.meta.origin if update.meta else 'unknown'
            print(f'{update.kind} {update.name} from {sender}: {update.value}', flush=True)


if __name__ == '__main__':
    try:
        main(sys.argv[1:] or ['robot1:odom'])
    except KeyboardInterrupt:
        sys.exit(130)
