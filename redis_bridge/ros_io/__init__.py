# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The ROS side: everything that knows rclpy, and nothing of Redis."""
