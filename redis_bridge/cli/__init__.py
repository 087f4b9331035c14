# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command line; imports all but rclpy: only `run` and `demo` need ROS."""
