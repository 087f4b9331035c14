# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Who may see the page, and who may control robots."""

from __future__ import annotations

import pytest

from redis_bridge.dashboard.guard import Guard, read_token
from redis_bridge.errors import BridgeError

TOKEN = 'a' * 20


@pytest.mark.parametrize(
    'host', ['localhost', 'localhost:8090', '127.0.0.1:9', '[::1]:8090', 'LOCALHOST']
)
@pytest.mark.parametrize('bound', ['127.0.0.1', 'localhost', '::1', '0.0.0.0', '192.168.1.5'])
def test_loopback_names_are_always_accepted(bound, host):
    assert Guard(bound, TOKEN).accepts_host(host)


@pytest.mark.parametrize(
    'host',
    [
        None,
        '',
        'evil.example',
        'localhost.evil.example',
        '127.0.0.1.evil.example',
        '10.0.0.1',
        '[',
    ],
)
def test_at_a_loopback_address_no_other_host_is_accepted(host):
    assert not Guard('127.0.0.1', TOKEN).accepts_host(host)


def test_at_another_address_addresses_and_the_given_name_are_accepted_but_no_other_name():
    assert Guard('0.0.0.0', TOKEN).accepts_host('192.168.1.5:8090')
    assert Guard('pi5.local', TOKEN).accepts_host('PI5.local:8090')
    assert not Guard('0.0.0.0', TOKEN).accepts_host('evil.example')
    assert not Guard('pi5.local', TOKEN).accepts_host('evil.example')


@pytest.mark.parametrize(
    ('origin', 'is_ok'),
    [
        ('http://localhost:8090', True),
        ('https://localhost:8090', True),
        ('http://localhost:8091', False),
        ('http://evil.example', False),
        ('http://localhost:8090.evil.example', False),
        ('file://localhost:8090', False),
        ('null', False),
        ('', False),
        (None, False),
    ],
)
def test_an_origin_is_the_page_of_this_server_or_rejected(origin, is_ok):
    assert Guard('127.0.0.1', TOKEN).accepts_origin(origin, 'localhost:8090') is is_ok


@pytest.mark.parametrize('token', [None, '', 1, 'a' * 19, 'a' * 21, 'ä' * 20, '\ud800', [TOKEN]])
def test_only_the_token_is_accepted(token):
    guard = Guard('127.0.0.1', TOKEN)
    assert guard.accepts_token(TOKEN)
    assert not guard.accepts_token(token)


def test_a_token_is_new_each_time_or_the_first_line_of_a_file(tmp_path):
    assert read_token(None) != read_token(None)
    file = tmp_path / 'token'
    file.write_text(f' {TOKEN} \nmore\n')
    assert read_token(str(file)) == TOKEN


@pytest.mark.parametrize('text', ['', 'short\n', '\n' + TOKEN])
def test_a_short_token_is_an_error_that_says_how_to_make_one(tmp_path, text):
    file = tmp_path / 'token'
    file.write_text(text)
    with pytest.raises(BridgeError, match=r'expected a token of at least 16 characters .*openssl'):
        read_token(str(file))
    with pytest.raises(BridgeError, match='cannot be read'):
        read_token(str(tmp_path / 'none'))
