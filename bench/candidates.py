# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Who is measured: the names each uses, and the command that starts it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.kinds import Kind

OUT, IN = 'out', 'in'  # ROS to Redis, and Redis to ROS
# What guards a Twist. The limit of linear.x leaves room for the time stamp that is sent there.
GUARDS = {
    'max_age_ms': 200,
    'unstamped': 'accept',
    'required': ['linear.x', 'angular.z'],
    'limits': {'linear.x': [-1e12, 1e12], 'angular.z': [-1, 1]},
    'stop': {'after_ms': 500},
}


@dataclass(frozen=True)
class Candidate:
    """One program with the topics and Redis names that are its own."""

    name: str
    program: str = 'bridge'  # floor | hand | empty | bridge
    encoding: str = 'msgpack'  # of what it writes to Redis, or reads there
    sinks: tuple[str, ...] = ('key', 'channel')
    send: str = 'payload'
    routes: int = 1
    is_guarded: bool = False  # its route to ROS is one for commands
    is_pattern: bool = False  # one pattern takes all its topics
    in_cluster: bool = False  # it writes to a cluster, not to one server
    is_tagged: bool = False  # the names of each topic are in one slot of a cluster

    @property
    def slug(self) -> str:
        """The name in a form that ROS and Redis accept in names."""
        return f'bench_{self.name.replace(" ", "_")}'

    @property
    def topics(self) -> list[str]:
        """The topics of its routes."""
        return [f'/{self.slug}/t{number}' for number in range(self.routes)]

    @property
    def redis_names(self) -> list[str]:
        """The channels, and keys, of its routes."""
        form = '{slug}:{{t{number}}}' if self.is_tagged else '{slug}:t{number}'
        return [form.format(slug=self.slug, number=number) for number in range(self.routes)]

    def mapping(self, direction: str, kind: Kind, *, typed: bool = False) -> dict[str, Any]:
        """Return the mapping file of a bridge; `typed`: it does not wait to discover types."""
        route = self._out_route if direction == OUT else self._in_route
        section = 'ros_to_redis' if direction == OUT else 'redis_to_ros'
        names = [*zip(self.topics, self.redis_names)]
        variables: dict[str, Any] = {}
        if self.is_pattern:
            part = '{{part}}' if self.is_tagged else '{part}'
            names = [(f'/{self.slug}/{{part:*}}', f'{self.slug}:{part}')]
        elif self.is_tagged:  # braces are those of a variable
            parts = [f't{number}' for number in range(self.routes)]
            names = [(f'/{self.slug}/{part}', f'{self.slug}:{{{{{part}}}}}') for part in parts]
            variables = {'vars': dict(zip(parts, parts))}
        routes = [route(kind, *each) for each in names]
        if typed:
            routes = [{**route, 'type': kind.type} for route in routes]
        return {'version': 1, **variables, section: routes}

    def _out_route(self, kind: Kind, topic: str, name: str) -> dict[str, Any]:
        sinks: dict[str, Any] = {sink: {'name': f'{name}:{sink}'} for sink in self.sinks}
        if 'channel' in sinks:
            sinks['channel'] = {'name': name, 'send': self.send}
        return {
            'topic': topic,
            'encoding': self.encoding,
            **({'arrays': 'typed'} if kind.arrays == 'typed' else {}),
            'to': sinks,
        }

    def _in_route(self, kind: Kind, topic: str, name: str) -> dict[str, Any]:
        return {
            'channel': name,
            'topic': topic,
            'type': kind.type,
            'encoding': self.encoding,
            'qos': {'reliability': 'best_effort'},
            **(GUARDS if self.is_guarded else {}),
        }

    def command(self, direction: str, kind: Kind, url: str, folder: Path) -> list[str]:
        """Return what starts its process; a bridge's mapping file is written to the folder."""
        if self.program == 'bridge':
            return bridge_command(self.slug, self.mapping(direction, kind), url, folder)
        return [
            sys.executable, '-m', f'bench.programs.{self.program}', direction,
            kind.name, self.topics[0], self.redis_names[0], str(urlsplit(url).port),
        ]  # fmt: skip


def bridge_command(robot: str, mapping: dict[str, Any], url: str, folder: Path) -> list[str]:
    """Return what starts the bridge as users run it."""
    path = folder / f'{robot}.yaml'
    path.write_text(json.dumps(mapping, indent=1))  # JSON is YAML
    parameters = {'mapping': path, 'robot': robot, 'redis_url': url}
    return [
        sys.executable, '-m', 'redis_bridge.node', '--ros-args',
        *(word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')),
    ]  # fmt: skip


FLOOR = Candidate('floor', 'floor', 'cdr')
HAND = Candidate('hand', 'hand', 'json')
EMPTY = Candidate('empty', 'empty')
MSGPACK = Candidate('bridge msgpack')
JSON = Candidate('bridge json', encoding='json')
CDR = Candidate('bridge cdr', encoding='cdr')
NOTICE = Candidate('bridge notice', send='notice')
GUARDED = Candidate('bridge guarded', is_guarded=True)
GUARDED_JSON = Candidate('bridge guarded json', encoding='json', is_guarded=True)
