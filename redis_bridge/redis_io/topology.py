# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Which server holds which name; today one server holds all, if need be the primary of several."""

from __future__ import annotations

import logging

from redis_bridge.mapping.model import RedisSettings
from redis_bridge.redis_io.address import Address, Timing, parse_url
from redis_bridge.redis_io.sentinel import PrimaryAddress


def address_of(
    settings: RedisSettings, client_name: str, timing: Timing, log: logging.Logger
) -> Address:
    """Return the address of the server that holds all names.

    Raises RedisError for settings that can never work.
    """
    if parse_url(settings).is_sentinel:
        return PrimaryAddress(settings, client_name, timing, log)
    return Address(settings, client_name, timing)


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
