# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""`python -m redis_bridge.cli`: the command `redis-bridge`."""

import sys

from redis_bridge.cli.main import main

sys.exit(main())
