# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What a Redis Cluster asks of names: those that one command touches must be in one slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from redis_bridge.mapping.model import RedisToRos, RosToRedis
from redis_bridge.mapping.yaml12 import Path
from redis_bridge.protocol.names import hash_tag, slot_problem


def errors(
    inbound: Mapping[Path, RedisToRos], *, in_cluster: bool, is_sharded: bool
) -> Iterator[tuple[Path, str]]:
    """Yield each error as its path and text; routes and templates of patterns are given by path.

    :param is_sharded: the mapping asks for sharded pub/sub.
    """
    if is_sharded and not in_cluster:
        yield ('redis', 'sharded_pubsub'), 'needs a url that begins with redis+cluster://'
    for path, route in inbound.items() if in_cluster else ():
        if is_sharded and getattr(route.source, 'pattern', None) is not None:
            yield (
                (*path, 'channel'),
                'sharded pub/sub has no patterns: name the channel, or leave out sharded_pubsub',
            )
        dead = route.source.dead_stream
        if dead is not None and (text := slot_problem(route.source.name, dead)):
            yield (*path, route.source.kind), text


def scattered(route: RosToRedis) -> Iterator[tuple[str, str]]:
    """Yield a warning, as its kind and text, if one sample goes to several slots."""
    names = {hash_tag(sink.name): f'{sink.kind} {sink.name}' for sink in route.sinks}
    if len(names) > 1:
        yield (
            'several slots',
            f'{" and ".join(names.values())} may be at several nodes of the cluster: one may take '
            'a sample that the other has not, and their order is open. Give them one hash tag, '
            'such as "{{robot}}:odom"',
        )
