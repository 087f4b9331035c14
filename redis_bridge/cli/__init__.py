# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command line; only `run` and `demo` import what needs ROS."""
