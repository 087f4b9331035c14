# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The roster in Redis: which robots are online, and each change of that.

The channel `redis_bridge:fleet` carries a JSON object per change, and the hash of the same name
has the last one of each robot. The sorted set `redis_bridge:{redis_bridge:fleet}:due`, which is in
the same slot of a Redis Cluster, has the robots that are online, with the time at which the claim
of each runs out unless it is renewed (seconds since 1970 by the Redis server's clock).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

ONLINE, OFFLINE, LOST = 'online', 'offline', 'lost'
KEPT_S = 86400.0  # for which a robot that is not online any more is listed


class RobotEvent(NamedTuple):
    """A change of the roster.

    `event` is 'online', 'offline' (its bridge ended in order) or 'lost' (its time to live ran
    out). `boot` is the start of the bridge, as in `Robot.boot`, and `stamp` the time of the change
    in seconds since 1970, by the Redis server's clock. The stamps of one robot only grow.
    """

    event: str
    robot: str
    host: str
    boot: str
    stamp: float

    def to_json(self) -> str:
        """Return the payload of the channel, and the robot's field of the hash."""
        return json.dumps(self._asdict())

    def then(self, event: str, now: float) -> RobotEvent:
        """Return the next change of the same start of this robot."""
        return self._replace(event=event, stamp=stamp_after(self, now))


def event_of(payload: bytes) -> RobotEvent | None:
    """Return the change in a payload; None if it holds none. Unknown fields are ignored."""
    try:
        said = json.loads(payload)
        event = RobotEvent(**{name: said[name] for name in RobotEvent._fields})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    *names, stamp = event
    is_valid = all(isinstance(name, str) for name in names) and isinstance(stamp, (int, float))
    return event if is_valid and abs(event.stamp) < 1e18 else None


def events_of(fields: Mapping[bytes, bytes | None]) -> dict[str, RobotEvent]:
    """Return the changes in fields of the hash, by robot."""
    events = {name: event_of(value) for name, value in fields.items() if value is not None}
    return {
        event.robot: event
        for name, event in events.items()
        if event is not None and event.robot == name.decode(errors='replace')
    }


def stamp_after(previous: RobotEvent | None, now: float) -> float:
    """Return the stamp of a robot's next change; it grows though the server's clock may be set."""
    return round(now if previous is None else max(now, previous.stamp + 0.001), 3)


def is_listed(event: RobotEvent, now: float) -> bool:
    """Return whether a robot with this last change is still in the roster."""
    return event.event == ONLINE or event.stamp > now - KEPT_S
