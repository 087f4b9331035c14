# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Running routes.

Imports `mapping.model`, `messages`, `payloads`, `protocol`, `ports`, `counters` and `log_once`.
"""
