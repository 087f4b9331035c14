# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The command line's parts, without a server."""

from __future__ import annotations

import io

import pytest

from redis_bridge.cli import main, options, output
from redis_bridge.errors import MappingError, NotFoundError, PayloadError, Problem, RedisError


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ('error', 'status', 'text'),
    [
        (MappingError([Problem('m.yaml', 3, 'x', 'bad')]), 1, 'm.yaml:3: x: bad\n'),
        (PayloadError('bad'), 1, 'redis-bridge: bad\n'),
        (options.UsageError('bad'), 2, 'redis-bridge: bad\n'),
        (RedisError('away'), 3, 'redis-bridge: away\n'),
        (NotFoundError('none'), 4, 'redis-bridge: none\n'),
        (KeyboardInterrupt(), 130, ''),
    ],
)
def test_each_error_has_its_exit_status(monkeypatch, capsys, error, status, text):
    def fail(args):
        raise error

    monkeypatch.setattr(main.COMMANDS['status'], 'run', fail)
    assert main.main(['status']) == status
    assert capsys.readouterr() == ('', text)


def test_a_password_in_a_url_is_rejected_without_being_repeated():
    options.reject_password('redis://ann@localhost', '--url')
    with pytest.raises(options.UsageError) as failure:
        options.reject_password('redis://ann:sesame@localhost', '--url')
    assert 'sesame' not in str(failure.value)


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(-1, '0 s'), (59.9, '59 s'), (3700, '1 h 1 min'), (3600, '1 h 0 min'), (90000, '1 d 1 h')],
)
def test_a_span_has_its_two_largest_units(seconds, text):
    assert output.span(seconds) == text


def test_a_table_is_aligned():
    rows = [('NAME', 'N'), ('a', '10'), ('longer', '5')]
    assert [*output.table(rows, right=(1,))] == ['NAME     N', 'a       10', 'longer   5']


def test_a_terminal_gets_no_control_characters_and_no_line_beyond_its_width():
    assert output.printable('a\x1b[31m', Terminal()) == r'a\x1b[31m'
    assert output.printable('a\x1b[31m', io.StringIO()) == 'a\x1b[31m'
    assert output.cut('x' * 500, io.StringIO()) == 'x' * 500
    assert output.cut('x' * 500, Terminal()).endswith('x…')


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (1.5, '1.5\n'),
        ({'a': [1, 2]}, 'a: [1, 2]\n'),
        ({'a': [1], 'b': 'and so on...'}, 'a: [1]\nb: and so on...\n'),
    ],
)
def test_a_value_is_printed_as_yaml(value, text):
    assert output.to_yaml(value) == text
