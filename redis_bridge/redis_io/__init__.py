# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The Redis world, never rclpy.

Imports `mapping.model`, `mapping.redis_url`, `protocol`, `ports`, `counters` and `log_once`.
"""
