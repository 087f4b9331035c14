# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The benchmark: the bridge beside what it could at best be, and what one would write instead."""
