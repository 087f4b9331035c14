# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The records that the bridge writes in Redis; imports only `errors`."""
