# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Which server holds which name: one all of them, perhaps the primary of several, or a cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from redis_bridge.mapping.model import RedisSettings
from redis_bridge.redis_io.address import Address, Timing, parse_url
from redis_bridge.redis_io.cluster import Cluster
from redis_bridge.redis_io.sentinel import PrimaryAddress


class Topology(Protocol):
    """The servers behind one URL."""

    @property
    def address(self) -> Address:
        """What leads to all names, for single commands; transactions go by `Connection.at`."""

    @property
    def quick(self) -> Address:
        """As `address`, but one of several servers that does not answer holds up the rest less."""

    def node_of(self, name: str) -> Address:
        """Return the primary that holds a name; the same object for all names that it holds."""

    def reader_of(self, name: str) -> Address:
        """Return what leads to a name; the same object for names that one command may read."""

    def on_change(self, react: Callable[[], None]) -> None:
        """Call `react`, from a thread of its own, each time names are held by other primaries."""


class OneServer:
    """One server holds all names."""

    def __init__(self, address: Address) -> None:
        self.address = self.quick = address

    def node_of(self, name: str) -> Address:
        return self.address

    def reader_of(self, name: str) -> Address:
        return self.address

    def on_change(self, react: Callable[[], None]) -> None:
        """Names are never held by another one."""


def topology_of(
    settings: RedisSettings, client_name: str, timing: Timing, log: logging.Logger
) -> Topology:
    """Return the topology that a URL asks for; raises RedisError if that can never work."""
    url = parse_url(settings)
    if url.is_cluster:
        return Cluster(settings, client_name, timing, log)
    if url.is_sentinel:
        return OneServer(PrimaryAddress(settings, client_name, timing, log))
    return OneServer(Address(settings, client_name, timing))
