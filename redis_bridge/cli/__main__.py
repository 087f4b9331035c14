# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The program `redis-bridge`; signals wait until it is loaded."""

import sys

from redis_bridge.signals import hold_signals


def main() -> int:
    """Run one command; return the exit status."""
    hold_signals()
    from redis_bridge.cli import main

    return main.main()


if __name__ == '__main__':
    sys.exit(main())
