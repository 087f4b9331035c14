# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Names a process so that another one on the same machine can find out whether it is gone."""

from __future__ import annotations

import os
from pathlib import Path

_STATE, _START = 0, 19  # places in /proc/PID/stat behind the name; see proc(5)


def own_process() -> str:
    """Return what names this process: the machine's start, the pid namespace, pid and start.

    '' where the system does not say so.
    """
    try:
        return ' '.join((*_home(), str(os.getpid()), _stat(os.getpid())[_START]))
    except OSError:
        return ''


def is_gone(process: str) -> bool:
    """Return whether a process, named by `own_process`, is surely no longer running."""
    try:
        *home, pid, start = process.split()
        if home != _home():
            return False
        os.kill(int(pid), 0)
        stat = _stat(int(pid))
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return stat[_START] != start or stat[_STATE] in ('Z', 'X')


def _home() -> list[str]:
    """Return what two processes have in common if each sees the other by its pid."""
    boot_id = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    return [boot_id, os.readlink('/proc/self/ns/pid')]


def _stat(pid: int) -> list[str]:
    return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
