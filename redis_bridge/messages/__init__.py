# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Message types as data, and functions that read and write CDR; imports only `errors`."""
