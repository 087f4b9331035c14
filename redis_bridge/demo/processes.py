# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Child processes that never outlive this process, and leave no files."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # prctl(2)
LOG_LINES, LOG_BYTES = 12, 20_000


class Child(subprocess.Popen[bytes]):
    """A process with a name and a log; nothing of it is left when it and this process have ended.

    It leads a process group of its own, so a Ctrl-C at the terminal reaches only the parent, which
    then ends its children in order. On Linux the kernel kills it should the parent (or rather the
    thread that started it) be killed. Start children before there are other threads.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its last reader
        weakref.finalize(self, self._log.close)
        super().__init__(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environ,
            pass_fds=pass_fds,
            cwd='/',  # Python imports from there
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )

    def wait_for_end(self, seconds: float) -> None:
        """Wait for the end of the process, but not longer than that."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(seconds)

    def how_it_ended(self) -> str | None:
        """Return how the process ended and its last lines; None while it runs."""
        status = self.poll()
        if status is None:
            return None
        end = f'ended with status {status}'
        if status < 0:
            end = f'was killed by {signal.Signals(-status).name}'
        lines = self.last_lines() or ['(it logged nothing)']
        return '\n    '.join([f'{self.name} {end}; its last lines:', *lines])

    def last_lines(self) -> list[str]:
        """Return the end of the log."""
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), LOG_BYTES, max(0, size - LOG_BYTES))
        return text.decode(errors='replace').splitlines()[-LOG_LINES:]

    def send_signal(self, number: int) -> None:
        """Send a signal to the process and what it started; harmless after its end."""
        if self.poll() is None:  # until then, nobody else can have got its number
            os.killpg(self.pid, number)


def stop(children: Sequence[Child], seconds: float) -> None:
    """End processes together, by SIGTERM, then by SIGKILL those that still run after the time."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            child.send_signal(number)
        deadline = time.monotonic() + seconds
        for child in children:
            child.wait_for_end(max(0.0, deadline - time.monotonic()))


def _die_with_parent() -> Callable[[], None] | None:
    """Return what a child calls before its program starts, to be killed with its parent."""
    if sys.platform != 'linux':
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up now: little is safe to do after the fork
    parent = os.getpid()

    def in_child() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return in_child
