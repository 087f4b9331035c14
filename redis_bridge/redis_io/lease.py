# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A lease: taken, renewed and released by WATCH and MULTI, and relied on by our own clock.

The holder relies on a lease for three quarters of its time to live, counted from before the
server was asked. Two things keep others from taking it earlier. The hash in Redis lives longer.
And a server that does not know the lease, or was started less than a time to live ago, may have
lost it: then it stays free for so long, and a holder of before writes it again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain

from redis_bridge.protocol import leases
from redis_bridge.protocol.leases import LeaseHolder
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.info import Uptime
from redis_bridge.redis_io.resp import Reply, pairs, raise_if_error
from redis_bridge.redis_io.transaction import change

TRUST = 0.75  # of the time to live
RENEWALS = 4  # within the time to live
PLACE_S = 2.0  # a place in line lapses unless it is renewed
LOOK_S = 0.02  # of the first one in line; the second one looks half as often, and so on
LONGEST_LOOK_S = 0.2


def look_again_s(ahead: int) -> float:
    """Return after which time one in line looks again."""
    return min(LOOK_S * (1 + ahead), LONGEST_LOOK_S)


class LeaseClaim:
    """One attempt to hold a lease, from waiting in line to its end.

    All methods with a connection raise redis.RedisError. `holder` is who held it when we last
    looked (without `owner`: nobody yet), `ahead` how many were before us in line.
    """

    def __init__(self, name: str, owner: str, ttl_ms: int, origin: str, host: str, pid: int):
        self._keys = leases.lease_keys(name)
        self._owner = owner
        self._ttl_ms = ttl_ms
        self._about = {'origin': origin, 'host': host, 'pid': str(pid)}
        self._uptime = Uptime()
        self._place: str | None = None
        self._held_until = 0.0  # monotonic
        self.token = 0
        self.holder: LeaseHolder | None = None
        self.ahead = 0

    @property
    def held_until(self) -> float:
        """Until when (monotonic) we may rely on the lease; it has passed if we do not hold it."""
        return self._held_until

    def try_take(self, connection: Connection, now: float) -> bool:
        """Wait in line, and take the lease if it is our turn; return whether it is ours.

        :param now: the server's time in seconds. It orders the line, and a token is at least its
            milliseconds, so that tokens grow even if the server loses the last one.
        """
        now_ms = int(now * 1000)
        if self._place is None:
            self._place = leases.new_place(now_ms, self._owner)
        asked_at = time.monotonic()
        last, line = self._look(connection, self._stay_in_line(now_ms, self._place))
        self.ahead = leases.ahead(line, self._place)
        if self.holder is not None and self.holder.owner == self._owner:  # a reply was lost
            self.token, self._held_until = int(self.holder.token), asked_at + self._trust_s
            return self.renew(connection)
        if self.ahead or self.holder is not None or self._may_have_lost(connection):
            return False
        if last is None:
            change(connection, self._write('', 0))
            return False
        token = max(last + 1, now_ms)
        leave = ('ZREM', self._keys.line, self._place)
        if change(connection, [*self._write(self._owner, token), leave]) is None:
            return False
        self.token, self._held_until = token, asked_at + self._trust_s
        return True

    def renew(self, connection: Connection) -> bool:
        """Renew the lease, also if the server has lost it; return whether it is still ours."""
        while time.monotonic() < self._held_until:
            asked_at = time.monotonic()
            last, _ = self._look(connection)
            owner = '' if self.holder is None else self.holder.owner
            if owner == self._owner:
                # Not in a transaction, which older servers reject while they are out of memory: if
                # the lease is ours afterwards, it was ours that was renewed.
                connection.call(*self._expiry())
                self._look(connection)
                done = self.holder is not None and self.holder.owner == self._owner
            elif not owner and (last or 0) <= self.token:
                done = change(connection, self._write(self._owner, self.token)) is not None
            else:
                break
            if done and time.monotonic() < self._held_until:
                self._held_until = asked_at + self._trust_s
                return True
        self.end()
        return False

    def release(self, connection: Connection) -> None:
        """Leave the line, and give the lease up if it is ours."""
        self.end()
        if self._place is not None:
            connection.call('ZREM', self._keys.line, self._place)
        self._look(connection)
        if self.holder is not None and self.holder.owner == self._owner:
            change(connection, [('DEL', self._keys.holder)])

    def end(self) -> None:
        """Rely on the lease no more."""
        self._held_until = 0.0

    # --- what is asked and written ---------------------------------------------------------------
    @property
    def _trust_s(self) -> float:
        return TRUST * self._ttl_ms / 1000

    def _look(
        self, connection: Connection, more: Sequence[Command] = ()
    ) -> tuple[int | None, Reply]:
        """Watch the lease; return its last token, and the reply to the last of more commands."""
        key, token, _ = self._keys
        watch: list[Command] = [('UNWATCH',), ('WATCH', key, token)]
        commands = [*watch, ('HGETALL', key), ('GET', token), *more]
        _, _, fields, last, *others = map(raise_if_error, connection.pipe(commands))
        self.holder = leases.read_holder(pairs(fields))
        return (None if last is None else int(last)), others[-1] if others else None

    def _stay_in_line(self, now_ms: int, place: str) -> list[Command]:
        """Return what renews our place, drops those that lapsed, and reads the line."""
        line, lapse_ms = self._keys.line, int(PLACE_S * 1000)
        return [
            ('ZADD', line, now_ms, place),
            ('ZREMRANGEBYSCORE', line, '-inf', now_ms - lapse_ms),
            ('ZREMRANGEBYSCORE', line, now_ms + lapse_ms, '+inf'),  # before a clock was set back
            ('PEXPIRE', line, 2 * lapse_ms),
            ('ZRANGE', line, 0, -1),
        ]

    def _write(self, owner: str, token: int) -> list[Command]:
        """Return what names a holder, or '' for none yet."""
        fields = {leases.OWNER: owner, 'token': str(token), **(self._about if owner else {})}
        key = self._keys.holder
        write: Command = ('HSET', key, *chain.from_iterable(fields.items()))
        return [('SET', self._keys.token, token), ('DEL', key), write, self._expiry()]

    def _expiry(self) -> Command:
        return ('PEXPIRE', self._keys.holder, self._ttl_ms)

    def _may_have_lost(self, connection: Connection) -> bool:
        """Return whether a lease that was held until a moment ago may be lost by a restart."""
        return self._uptime.seconds(connection) * 1000 < self._ttl_ms
