# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The claim on a robot's name: a hash with a time to live, of which one field names the holder.

Never do two hold it at once, whatever becomes of the hash (it expires, is deleted, the server
comes back without it): the holder relies on a look at it for `trust_s` only, and looks again long
before; nobody else takes a free claim before it was free, on a server that accepts writes, for
longer than that. The holder itself takes it again at once, and keeps it while the server rejects
all writes, since nobody can take it then. WATCH and MULTI make taking it atomic without a script,
and notice a claim that was taken and lost between two looks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import redis

from redis_bridge.mapping.model import Heartbeat
from redis_bridge.protocol.robot_status import OWNER, PROCESS
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.process import is_gone
from redis_bridge.redis_io.resp import Reply, code_of, raise_if_error

TRUST_S = 0.3  # beyond the period of the heartbeats, of which one second counts at most
WAIT_S = 0.1  # beyond the holder's trust; together they bound what a first start waits
LOOKS = 4  # within the time of trust
REJECTS_ALL = ('OOM', 'MISCONF')  # not NOREPLICAS or READONLY: another primary may be written to


# It goes on while the machine is suspended, where the system has such a clock.
_now = partial(time.clock_gettime, getattr(time, 'CLOCK_BOOTTIME', time.CLOCK_MONOTONIC))


class Holder(NamedTuple):
    """Who holds a claim; '' for what it does not say."""

    owner: str
    host: str
    pid: str
    process: str  # see `process.own_process`


class Claim:
    """A claim that we want to hold; whether we do is decided by our own clock.

    `other` is who held it instead of us when we last asked; `rejected` is why the server rejects
    what we write. As long as the claim is not ours, our fields are written to `spare_key`.
    """

    def __init__(
        self, key: str, owner: str, spare_key: str, heartbeat: Heartbeat, retry_max_s: float
    ) -> None:
        self._key = key
        self._owner = owner
        self._spare_key = spare_key
        self._ttl_s = heartbeat.ttl_ms / 1000
        self._trust_s = min(heartbeat.every_ms / 1000, 1.0) + TRUST_S
        self._wait_s = self._trust_s + WAIT_S
        self._return_s = max(self._ttl_s, retry_max_s + self._wait_s)
        self.look_every_s = self._trust_s / LOOKS
        self._fields: set[str] = set()  # that we wrote
        self._term = 0  # counts how often the claim became ours
        self._held_until = 0.0  # by `_now`, as all below
        self._looked_at = 0.0
        self._is_free = False
        self._free_since: float | None = None  # watched since then by the server, and free
        self._watched_at: Connection | None = None  # by this connection
        self._expected_until = 0.0  # by then a holder of before has come back
        self.other: Holder | None = None
        self.rejected: redis.ResponseError | None = None

    def term(self) -> int | None:
        """Return a number that is another one each time the claim becomes ours; None if it is not.

        As long as it stays, the claim was ours all the time, and this process never paused.
        """
        return self._term if _now() < self._held_until else None

    def look(self, connection: Connection) -> bool:
        """Ask who holds the claim; return whether it is up to us to `take` it."""
        at = self._at(connection)
        at.require_primary()
        asked_at = _now()
        self._note(_holder(at.call(*self._question())), asked_at)
        return self._is_free or self._is_other_gone()

    def take(self, connection: Connection, fields: Mapping[str, str]) -> None:
        """Take or renew the claim and write exactly these fields, or write them beside it.

        :param fields: they include the one that names us as the holder.
        """
        at = self._at(connection)
        replace = [('DEL', self._key), *self._write(self._key, fields)]
        is_complete = self._fields <= fields.keys()
        renew = self._write(self._key, fields) if is_complete else replace
        while True:
            at.require_primary()
            asked_at = _now()
            holder = self._watch(at)
            self._note(holder, asked_at)
            if self._is_free and self._free_since is None:
                self._free_since = _now()
            if not (is_ours := holder.owner == self._owner) and not self._may_take():
                if not self._is_free:
                    at.call('UNWATCH')
                self._accepted(connection.pipe(self._write(self._spare_key, fields)))
                return
            change = renew if is_ours else replace
            asked_at = _now()
            replies = at.pipe([('MULTI',), *change, ('EXEC',)])
            self._free_since = None  # EXEC ends the watch, whatever it answers
            if not self._accepted(replies):
                if self.term() is not None:  # nobody else can take it now
                    self._confirm(asked_at)
                if is_ours:  # a server that is out of memory does that
                    at.pipe([self._expiry(self._key)])
                return
            if replies[-1] is not None:  # None: somebody wrote the hash in between
                self._fields = set(fields)
                self._confirm(asked_at)
                if change is replace:
                    connection.pipe([('DEL', self._spare_key)])
                return

    def release(self, connection: Connection) -> bool:
        """Give the claim up, unless it is another's; return whether it was ours."""
        self.end()
        at = connection.at(self._key)
        at.call('UNWATCH')
        is_ours = self._watch(at).owner == self._owner
        if is_ours:
            *_, ended = at.pipe([('MULTI',), ('DEL', self._key), ('EXEC',)])
            is_ours = isinstance(ended, list)
        else:
            at.call('UNWATCH')
        connection.pipe([('DEL', self._spare_key)])
        return is_ours

    def end(self) -> None:
        """Note that the claim is not renewed any more."""
        self._held_until = 0.0

    def _at(self, connection: Connection) -> Connection:
        """Return the connection to where the claim is.

        A new one does not watch it yet. The server may have come back empty, and so will a holder.
        """
        at = connection.at(self._key)
        if at is not self._watched_at:
            self._watched_at, self._free_since = at, None
            self._expect_holder()
        return at

    # --- what is asked and written ---------------------------------------------------------------
    def _question(self) -> Command:
        return ('HMGET', self._key, OWNER, 'host', 'pid', PROCESS)

    def _watch(self, connection: Connection) -> Holder:
        _, found = map(raise_if_error, connection.pipe([('WATCH', self._key), self._question()]))
        return _holder(found)

    def _write(self, key: str, fields: Mapping[str, str]) -> list[Command]:
        return [('HSET', key, *chain.from_iterable(fields.items())), self._expiry(key)]

    def _expiry(self, key: str) -> Command:
        return ('PEXPIRE', key, int(self._ttl_s * 1000))

    # --- what the answers mean -------------------------------------------------------------------
    def _note(self, holder: Holder, asked_at: float) -> None:
        """Take what a look has shown."""
        now = _now()  # later than the server's answer, as `asked_at` is earlier
        if now - self._looked_at > self._trust_s:  # the server was away, or we were
            self._expect_holder()
        self._looked_at = now
        self._is_free = not holder.owner
        if self._is_free:
            self.other = None
        elif holder.owner == self._owner:
            self._confirm(asked_at)
        else:
            self._held_until = 0.0
            self._free_since, self.other = None, holder

    def _expect_holder(self) -> None:
        """Leave a holder that was there before the time to come back, and to take the claim."""
        now = _now()
        if self.other is not None or now < self._expected_until:
            self._expected_until = now + self._return_s

    def _confirm(self, asked_at: float) -> None:
        """Rely on the claim, from before the server answered."""
        if self.term() is None:
            self._term += 1
        self._free_since = self.other = None
        self._held_until = asked_at + self._trust_s

    def _may_take(self) -> bool:
        """Return whether a claim that is not ours in Redis may be taken."""
        if not self._is_free:
            return self._is_other_gone()
        if self.term() is not None:
            return True
        now = _now()
        is_over = self._free_since is not None and now - self._free_since >= self._wait_s
        return is_over and now >= self._expected_until

    def _is_other_gone(self) -> bool:
        return self.other is not None and is_gone(self.other.process)

    def _accepted(self, replies: Sequence[Reply]) -> bool:
        """Return whether the server accepted a write; raises ResponseError if it never will."""
        error = next((r for r in replies if isinstance(r, redis.ResponseError)), None)
        self.rejected = error
        if error is None:
            return True
        if code_of(error) not in REJECTS_ALL:
            raise error
        if self._free_since is not None:
            self._free_since = _now()  # a holder could not take it again either
        return False


def _holder(reply: Reply) -> Holder:
    return Holder(*((part or b'').decode(errors='replace') for part in reply))
