# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Which sentinel is believed, where they do not agree."""

from __future__ import annotations

import logging

import pytest
import redis

from redis_bridge.mapping.model import Login, RedisSettings, Tls
from redis_bridge.redis_io.address import Timing
from redis_bridge.redis_io.sentinel import Primary, PrimaryAddress

LOG = logging.getLogger('redis_bridge.test')


class Said:
    """A sentinel that says the same each time; without a primary it cannot be asked."""

    def __init__(self, primary: Primary | None) -> None:
        self.where = 'here'
        self._primary = primary

    def is_heard(self) -> bool:
        return self._primary is not None

    def has_tried(self) -> bool:
        return True

    def state(self) -> str:
        return 'connected' if self.is_heard() else 'connecting: away'

    def redact(self, error: BaseException) -> str:
        return str(error)

    def ask(self) -> Primary:
        if self._primary is None:
            raise redis.ConnectionError('away')
        return self._primary


def primary(host: str, epoch: int, age_s: float = 5.0, is_down: bool = False) -> Primary:
    return Primary(epoch, (host, 6379), age_s, is_down)


OLD, NEW, DOWN = primary('old', 1), primary('new', 2), primary('new', 2, is_down=True)


class Asked:
    """An address whose sentinels say what a test wants."""

    def __init__(self) -> None:
        url = 'redis+sentinel://a,b,c/m'
        self.address = PrimaryAddress(RedisSettings(url), 'test', Timing(), LOG)

    def host(self, *said: Primary | None) -> str:
        """Return where a new connection leads to."""
        self.address._sentinels = [Said(each) for each in said]
        host: str = self.address.connection().host
        return host


def test_a_sentinel_that_does_not_know_the_last_failover_is_not_believed():
    asked = Asked()
    assert asked.host(OLD, OLD, OLD) == 'old'
    assert asked.host(NEW, OLD, OLD) == 'new'
    assert asked.host(OLD, OLD, NEW) == 'new'
    assert asked.host(OLD, NEW, None) == 'new'
    with pytest.raises(redis.ConnectionError, match='does not know the last failover.*away'):
        asked.host(OLD, None, None)
    asked.address.note(OLD)
    assert asked.host(NEW, NEW, NEW) == 'new'


def test_sentinels_that_were_set_up_anew_are_believed_by_more_than_half():
    asked = Asked()
    asked.host(NEW, NEW, NEW)
    assert asked.host(OLD, None, OLD) == 'old'


def test_a_primary_that_is_down_is_not_connected_to():
    asked = Asked()
    with pytest.raises(redis.ConnectionError, match='the primary new:6379 is down'):
        asked.host(DOWN, DOWN, DOWN)
    assert asked.host(DOWN, NEW, DOWN) == 'new'


def test_the_time_as_the_primary_is_the_longest_that_any_sentinel_reports():
    asked = Asked()
    asked.host(primary('new', 2, age_s=50.0), OLD, OLD)
    asked.host(primary('new', 2, age_s=1.0), OLD, OLD)
    assert asked.address.primary_for_s() >= 50.0
    asked.host(primary('other', 3, age_s=1.0), OLD, OLD)
    assert asked.address.primary_for_s() < 10.0


def test_more_than_half_must_be_heard():
    asked = Asked()
    asked.host(NEW, NEW, None)
    assert asked.address.why_unsure() is None
    asked.host(NEW, None, None)
    assert 'only 1 of 3 sentinels can be heard' in str(asked.address.why_unsure())


def test_sentinels_get_their_own_login_and_the_tls_of_the_server(tmp_path):
    file = tmp_path / 'secret.txt'
    file.write_text('theirs\n')
    address = PrimaryAddress(
        RedisSettings(
            'rediss+sentinel://ann:ours@a,b:1/m/2',
            tls=Tls(ca='ca.pem'),
            sentinel=Login('bob', str(file)),
        ),
        'test',
        Timing(),
        LOG,
    )
    assert address.where == 'm of the sentinels a:26379,b:1/2'
    first, second = (each.connection() for each in address._addresses)
    assert (first.host, first.port, second.host, second.port) == ('a', 26379, 'b', 1)
    assert (first.db, first.username, first.password) == (0, 'bob', 'theirs')
    assert first.ca_certs == 'ca.pem'
    address._sentinels = [Said(NEW), Said(NEW)]
    made = address.connection()
    assert (made.db, made.username, made.password, made.ca_certs) == (2, 'ann', 'ours', 'ca.pem')
