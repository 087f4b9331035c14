# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The programs that are measured, but for the bridge itself; each is one process."""
