# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A robot's hash in Redis: the claim on its name, the heartbeat and the status of its bridge.

`boot`, `host` and `pid` name the process that holds the robot's name, and `process` does so for
others on the same machine. `since` is its start and `stamp` the last heartbeat (seconds since
1970, `stamp` by the Redis server's clock). `state` is a JSON object of connection role -> state.
`route:<id>`, such as `route:/odom -> key robot1:odom`, is the JSON report of a route; earlier
versions numbered the routes as `route:0`.

A bridge that does not hold its robot's name writes the same under its origin, `robot1/<boot>`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis_bridge.protocol import keys

OWNER = 'boot'  # the field whose value names the holder
PROCESS = 'process'  # the field that lets others on the machine find out whether it still runs
_ROUTE = 'route:'
_NUMBERS = ('protocol', 'since', 'stamp', 'pid', 'clock_uncertainty_ms')


@dataclass(frozen=True)
class Robot:
    """A robot whose heartbeat is in Redis, and what its bridge reports.

    `status` holds the other fields of the robot's hash: `host`, `pid`, `since` (seconds since
    1970), `clock_uncertainty_ms`, `state` (of each connection), and in `routes` what each route
    carries. `age` is the time since the last heartbeat in seconds, None if the bridge does not
    report it.
    """

    name: str
    boot: str | None
    protocol: int | None
    age: float | None
    status: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_closed(self) -> bool:
        """Whether this is a bridge without its robot's name, such as `robot1/<boot>`.

        It waits for the name, or another bridge has it.
        """
        return '/' in self.name


def report_json(report: Mapping[str, Any]) -> str:
    """Return the report of a route as it is in the robot's hash."""
    return json.dumps(report)


def status_fields(states: Mapping[str, str], routes: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that report how a bridge does; `routes` are JSON reports by route id."""
    return {
        'state': json.dumps(states),
        **{f'{_ROUTE}{id_}': report for id_, report in routes.items()},
    }


def claim_fields(
    boot: str,
    host: str,
    pid: int,
    process: str,
    since: float,
    stamp: float,
    uncertainty_s: float,
) -> dict[str, str]:
    """Return the fields that name the holder and date the heartbeat.

    :param uncertainty_s: by which the Redis server's clock may be ahead of `stamp`; commands
        count as so much older.
    """
    return {
        OWNER: boot,
        'protocol': str(keys.PROTOCOL),
        'host': host,
        'pid': str(pid),
        PROCESS: process,
        'since': f'{since:.3f}',
        'stamp': f'{stamp:.3f}',
        'clock_uncertainty_ms': f'{uncertainty_s * 1000:.1f}',
    }


def read(name: str, fields: Mapping[bytes, bytes], now: float) -> Robot:
    """Return the robot that a hash describes; unknown fields are passed on.

    :param now: the Redis server's time, from which the age is counted.
    """
    said: dict[str, Any] = {}
    routes: dict[str, Any] = {}
    for key, value in fields.items():
        text = key.decode(errors='backslashreplace')
        field = _value(text, value.decode(errors='backslashreplace'))
        if text.startswith(_ROUTE):
            routes[text.removeprefix(_ROUTE)] = field
        else:
            said[text] = field
    boot, protocol, stamp, _ = (
        said.pop(key, None) for key in (OWNER, 'protocol', 'stamp', PROCESS)
    )
    said['routes'] = [routes[id_] for id_ in sorted(routes, key=_route_order)]
    is_time = isinstance(stamp, (int, float)) and abs(stamp) < 1e18  # not so: NaN
    age = max(0.0, round(now - stamp, 3)) if is_time else None
    return Robot(name, boot, protocol, age, said)


def _route_order(id_: str) -> tuple[int, str]:
    """Return what sorts routes: numbers of earlier versions first, then ids by name."""
    return (int(id_), '') if id_.isdecimal() else (sys.maxsize, id_)


def _value(key: str, text: str) -> Any:
    """Return a field's value: a number or JSON if it is meant as such, else a string."""
    if key.startswith(_ROUTE) or key in _NUMBERS or text[:1] in ('{', '['):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    return text
