# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Gives the tasks of a lost robot to the others, with redis_bridge.Client: no ROS.

    pip install redis_bridge
    python examples/watch_robots.py     # Ctrl-C ends it

It shows the pattern only: which robots are online is kept in a set, and a loss is acted on.
"""

from __future__ import annotations

import os
import sys

import redis_bridge


def main() -> None:
    """Print who can work after each change, until the process is interrupted."""
    online: set[str] = set()
    url = os.environ.get('REDIS_URL', 'redis://localhost:6379/0')
    with redis_bridge.Client(url) as client:
        for change in client.watch_robots():
            if change.event == 'online':
                online.add(change.robot)
            else:
                online.discard(change.robot)
            text = f'{change.robot} is {change.event}'
            if change.event == 'lost':
                text += f' (it ran on {change.host}): its tasks go to the others'
            print(f'{text}; online: {", ".join(sorted(online)) or "nobody"}', flush=True)


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
