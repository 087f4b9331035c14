# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The ROS world; imports `mapping.model`, `messages`, `ports` and `log_once`, never redis."""
