# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The registry: which keys and streams there are, so that patterns find them.

The hash `redis_bridge:names` has a field `key:<name>` or `stream:<name>` for each; the value says
who registered it. Whoever writes such a name may register it with one HSET. Channels need none.

Who uses a lease or a queue adds `lease:<name>` or `queue:<name>`, so that these can be listed;
patterns ignore them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from redis_bridge.protocol.names import redis_name

KINDS = ('key', 'stream')  # that routes read, and that are stored
LEASE, QUEUE = 'lease', 'queue'


def field_of(kind: str, name: str) -> str:
    """Return the field that registers a name."""
    return f'{kind}:{name}'


def registered(
    fields: Iterable[bytes], kinds: Collection[str] = KINDS
) -> frozenset[tuple[str, str]]:
    """Return what fields register, as (kind, name); fields that are invalid are ignored."""
    found = (field.partition(b':') for field in fields)
    pairs = ((kind.decode(errors='replace'), redis_name(name)) for kind, _, name in found)
    return frozenset((kind, name) for kind, name in pairs if kind in kinds and name is not None)
