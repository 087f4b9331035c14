# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The keys that the bridge itself writes in Redis."""

from __future__ import annotations

PROTOCOL = 1  # version of the payloads and of these keys; a field of the type and robot hashes
PREFIX = 'redis_bridge:'
FLEET = f'{PREFIX}fleet'  # the channel with each change of the roster, and a hash of the last ones
NAMES = f'{PREFIX}names'  # the hash of registered keys and streams; see `registry`
# The sorted set of robots that are online; see `fleet`. It is in the slot of the roster.
FLEET_DUE = f'{PREFIX}{{{FLEET}}}:due'


def type_key(type_name: str) -> str:
    """Return the hash that describes a message type: definition, type hash, protocol."""
    return f'{PREFIX}type:{type_name}'


def meta_key(name: str) -> str:
    """Return the hash that describes what a name holds that a route writes or reads."""
    return f'{PREFIX}meta:{name}'


def described_key(robot: str) -> str:
    """Return the hash that lists which descriptions a robot's bridge has written."""
    return f'{PREFIX}described:{robot}'


def robot_key(robot: str) -> str:
    """Return the hash with a robot's claim on its name, its heartbeat and its status."""
    return f'{PREFIX}robot:{robot}'


def dead_stream(stream: str) -> str:
    """Return the stream that keeps the rejected entries of `stream`."""
    return f'{stream}:dead'
