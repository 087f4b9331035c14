# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The web page of a fleet: built on the client, served by aiohttp."""
