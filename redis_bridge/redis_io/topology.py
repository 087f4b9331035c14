# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Which server holds which name; today one server holds all."""

from __future__ import annotations

from redis_bridge.redis_io.address import Address


class Topology:
    """The servers behind one address."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def nodes(self) -> list[Address]:
        """Return the servers that can be written to; each has its own writer."""
        return [self._address]

    def node_of(self, name: str) -> Address:
        """Return the server that holds a name."""
        return self._address
