# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The Redis world; imports `mapping.model`, `protocol`, `ports` and `counters`, never rclpy."""
