# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Logs once what would otherwise be logged again and again."""

from __future__ import annotations

import logging
from collections.abc import Callable

WARN_EVERY_S = 10.0


class LogOnChange:
    """The state of one subject, which is logged when it changes.

    A problem is logged at its level, the end of a problem at info, every other change at debug.
    """

    def __init__(self, log: logging.Logger, subject: str) -> None:
        self.text = ''
        self._problem = logging.NOTSET
        self._log = log
        self._subject = subject

    def update(self, text: str, problem: int = logging.NOTSET) -> None:
        """Take a state; `problem` is the level of a problem."""
        if text != self.text:
            level = problem or (logging.INFO if self._problem else logging.DEBUG)
            self.text, self._problem = text, problem
            self._log.log(level, '%s: %s', self._subject, text)


class RateLimitedLog:
    """Warns of the dropped samples of one route, for each reason at most every ten seconds."""

    def __init__(self, log: logging.Logger, route: object, clock: Callable[[], float]) -> None:
        self._log = log
        self._route = route
        self._clock = clock
        self._next: dict[str, float] = {}

    def warn(self, reason: str, text: object) -> None:
        """Log `text` unless the same reason was logged a moment ago."""
        now = self._clock()
        if now >= self._next.get(reason, 0.0):
            self._next[reason] = now + WARN_EVERY_S
            self._log.warning('%s: dropped a sample, %s: %s', self._route, reason, text)
