# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A queue of tasks in Redis: a stream with a consumer group, and a stream of dead letters.

The stream has the queue's name. An entry is a task; it is deleted when it is done. Its consumer
in the group is the worker that has it, and its delivery count the number of tries. What failed
and may be tried again belongs to the consumer `(returned)`. A consumer that the server has not
heard of for a while is a worker that died.

If the name has a hash tag (`{tasks}`), both streams are in one slot of a Redis Cluster.
"""

from __future__ import annotations

from redis_bridge.protocol import names
from redis_bridge.protocol.keys import dead_stream

GROUP = 'workers'
RETURNED = '(returned)'  # neither a robot nor a worker has such a name
MOST_TRIES = 3
DEAD = dead_stream('')


def queue_name_problem(name: str) -> str | None:
    """Return why `name` is not the name of a queue; None if it is."""
    if name.endswith(DEAD):
        return (
            f'{name!r} keeps what was given up in the queue {name.removesuffix(DEAD)!r}, and is '
            'no queue itself'
        )
    return names.redis_name_problem(name)


def worker_name(origin: str, host: str, pid: int, unique: str) -> str:
    """Return the name of the consumer that a worker is."""
    return f'{origin}@{host}/{pid}-{unique}'
