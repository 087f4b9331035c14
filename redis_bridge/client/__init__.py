# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The API without ROS; imports `redis_io`, `payloads`, `messages`, `protocol`, `mapping.model`."""
