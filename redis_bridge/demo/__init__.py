# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The fleet demo: simulated robots, each in a ROS graph of its own, that only Redis connects."""
