# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""URLs of Redis servers."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_bridge.mapping import redis_url
from redis_bridge.mapping.redis_url import RedisUrl, RedisUrlError

SECRET = 'hunter2'


@pytest.mark.parametrize(
    ('url', 'parsed', 'address'),
    [
        (
            'redis://localhost',
            RedisUrl('redis', (('localhost', 6379),)),
            'redis://localhost:6379/0',
        ),
        ('redis://[::1]:1/0', RedisUrl('redis', (('::1', 1),)), 'redis://[::1]:1/0'),
        ('redis://h?db=2', RedisUrl('redis', (('h', 6379),), database=2), 'redis://h:6379/2'),
        (
            'rediss://us%40er:p%3Aw@h:7/3/',
            RedisUrl('rediss', (('h', 7),), database=3, username='us@er', password='p:w'),
            'rediss://h:7/3',
        ),
        (
            'redis+sentinel://u:p@a,b:1,[::1]:2/my%2Fmaster',
            RedisUrl(
                'redis+sentinel',
                (('a', 26379), ('b', 1), ('::1', 2)),
                service='my/master',
                username='u',
                password='p',
            ),
            'redis+sentinel://a:26379,b:1,[::1]:2/my%2Fmaster/0',
        ),
        (
            'rediss+sentinel://a/mymaster/3',
            RedisUrl('rediss+sentinel', (('a', 26379),), service='mymaster', database=3),
            'rediss+sentinel://a:26379/mymaster/3',
        ),
        (
            'redis+cluster://u:p@a,b:7000',
            RedisUrl('redis+cluster', (('a', 6379), ('b', 7000)), username='u', password='p'),
            'redis+cluster://a:6379,b:7000',
        ),
        (
            'rediss+cluster://a/0',
            RedisUrl('rediss+cluster', (('a', 6379),)),
            'rediss+cluster://a:6379',
        ),
        ('unix:///run/re%20dis', RedisUrl('unix', path='/run/re dis'), 'unix:///run/re dis'),
        (
            'unix://u:p@/run/redis?db=3',
            RedisUrl('unix', path='/run/redis', database=3, username='u', password='p'),
            'unix:///run/redis?db=3',
        ),
    ],
)
def test_a_url_has_an_address_without_user_and_password(url, parsed, address):
    assert redis_url.parse(url) == parsed
    assert parsed.address == address


@pytest.mark.parametrize(
    'url',
    [
        'redis://u:hunter2@h', 'unix://u:hunter2@/run/x', 'redis+sentinel://u:hunter2@h,i/m',
    ],
)  # fmt: skip
def test_a_repr_shows_no_password(url):
    assert SECRET not in repr(redis_url.parse(url))


SENTINEL = 'redis+sentinel://host1:26379,host2:26379/mymaster/0'
CLUSTER = 'redis+cluster://host1:6379,host2:6379'
NOT_A_URL = (
    'expected a url such as redis://host:6379/0, rediss://host:6379/0, unix:///path?db=0, '
    f'{SENTINEL} or {CLUSTER} (percent-encode special characters in a user name or password)'
)
NO_DATABASE = 'expected the number of a database at the end of the url, as in redis://host:6379/0'


@pytest.mark.parametrize(
    ('url', 'reason'),
    [
        ('', NOT_A_URL),
        ('localhost', NOT_A_URL),
        ('rdis://h', f"{NOT_A_URL}, did you mean 'redis'?"),
        (f'http://u:{SECRET}@h', NOT_A_URL),
        ('redis://', NOT_A_URL),
        ('redis://h:0', NOT_A_URL),
        ('redis://h:99999', NOT_A_URL),
        (f'redis://h:{SECRET}', NOT_A_URL),
        (f'redis://u:{SECRET}@[h', NOT_A_URL),
        (f'redis://:{SECRET}#x@h', NOT_A_URL),
        ('redis://h/0#x', NOT_A_URL),
        ('redis://h /0', NOT_A_URL),
        ('redis://h?db', NOT_A_URL),
        ('redis://h/x', NO_DATABASE),
        ('redis://h/٣', NO_DATABASE),
        ('redis://h/9999999999', NO_DATABASE),
        (
            f'redis://h?password={SECRET}',
            'a url takes no option but db: use the keys of the redis section',
        ),
        ('unix://run/x', 'expected unix:///path/of/the/socket, with three slashes'),
        ('unix:///', 'expected unix:///path/of/the/socket, with three slashes'),
        (
            f'redis://:{SECRET}@a,b',
            f'redis:// takes one host; several are sentinels, {SENTINEL}, or nodes of a cluster, '
            + CLUSTER,
        ),
        ('redis+sentinel://a,/m', NOT_A_URL),
        (f'redis+sentinel://a:{SECRET},b/m', NOT_A_URL),
        (
            f'redis+sentinel://u:{SECRET}@a,b',
            f'expected the name of the primary behind the sentinels, as in {SENTINEL}',
        ),
        (
            'redis+sentinel://a/m/x',
            f'expected the number of a database at the end of the url, as in {SENTINEL}',
        ),
        ('redis+sentinel://a,a:26379/m', 'a host is listed twice: list each one once'),
        (
            f'redis+cluster://:{SECRET}@a,b/2',
            f'a cluster has database 0 alone, as in {CLUSTER}: got 2',
        ),
        ('redis+cluster://a/x', f'expected no database at the end of the url, as in {CLUSTER}'),
        ('redis+cluster://a,b,a', 'a host is listed twice: list each one once'),
    ],
)
def test_other_urls_are_rejected_with_a_reason_that_shows_no_secret(url, reason):
    with pytest.raises(RedisUrlError) as error:
        redis_url.parse(url)
    assert str(error.value) == reason


@given(st.text(st.sampled_from('redis:/[]@?=&#%0 \n\0x٣'), max_size=30))
def test_any_text_is_a_url_or_is_rejected(text):
    for url in (text, f'redis://{text}', f'unix://{text}', f'redis+sentinel://{text}/m'):
        try:
            parsed = redis_url.parse(url)
        except RedisUrlError:
            continue
        if '%' not in url:
            again = redis_url.parse(parsed.address)
            assert again == dataclasses.replace(parsed, username=None, password=None)


@pytest.mark.parametrize(
    ('url', 'has'),
    [
        (f'redis://:{SECRET}@h', True),
        (f'redis://a:{SECRET}@:x', True),
        (f'redis://h?Password={SECRET}', True),
        ('redis://u:\0x@h', True),
        ('redis://u:\0@h', False),
        ('redis://user@h', False),
        ('redis://h:1/2', False),
        ('\0', False),
    ],
)
def test_a_password_is_found_in_valid_and_invalid_urls(url, has):
    assert redis_url.has_password(url) is has


@pytest.mark.parametrize(
    ('url', 'is_plaintext'),
    [
        ('redis://10.0.0.7', True),
        ('redis://far.example', True),
        ('rediss://far.example', False),
        ('redis://127.0.0.2', False),
        ('redis://[::1]', False),
        ('redis://localhost', False),
        ('redis://a.localhost', False),
        ('unix:///run/x', False),
        ('redis+sentinel://localhost,far.example/m', True),
        ('redis+sentinel://localhost,127.0.0.1/m', False),
        ('rediss+sentinel://far.example/m', False),
    ],
)
def test_plaintext_to_another_machine_is_noticed(url, is_plaintext):
    assert redis_url.parse(url).is_plaintext_elsewhere is is_plaintext
