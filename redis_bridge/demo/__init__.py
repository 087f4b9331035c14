# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The demo: two simulated robots in two ROS graphs that only Redis connects."""
