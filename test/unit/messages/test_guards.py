# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Guards that are compiled into the writer reject what a walk over the value rejects."""

from __future__ import annotations

import copy
import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import STAMPED

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.messages.definition import parse_definition
from redis_bridge.messages.guards import Guards, broken_guard
from redis_bridge.messages.paths import set_at

LINE = '=' * 80
MESSAGE = parse_definition(
    'pkg/msg/Command',
    f"""pkg/Time stamp
pkg/V linear
float64[] joints
float32[2] fixed
uint8[] data
pkg/V[] path
int32 mode 3
string name
bool ready
{LINE}
MSG: pkg/Time
int32 sec
uint32 nanosec
{LINE}
MSG: pkg/V
float64 x
float64 y
""",
)
READ = cdr_read.reader(MESSAGE)


def now() -> tuple[int, int]:
    return 5, 6


def written(value: object, **guards: object) -> dict:
    return READ(cdr_write.writer(MESSAGE, Guards(**guards), now)(value))


def test_large_numbers_are_finite_even_if_their_sum_is_not():
    joints = [1.7e308, 1.7e308, 2**1000]
    assert written({'joints': joints}, finite=True)['joints'] == joints
    for wrong in (math.nan, math.inf, -math.inf):
        with pytest.raises(PayloadError, match='a number is NaN or infinite'):
            written({'joints': [*joints, wrong]}, finite=True)


REJECTED = [
    ({'required': ('linear.x',)}, {'linear': {'y': 1.0}}, 'missing_field',
     'linear.x is required and was left out'),
    ({'required': ('linear.x',)}, {}, 'missing_field', 'linear.x is required and was left out'),
    ({'required': ('linear',)}, {}, 'missing_field', 'linear is required and was left out'),
    ({'limits': {'linear.x': (-1, 1)}}, {'linear': {'x': 2}}, 'out_of_limits',
     'linear.x is 2, allowed is -1 to 1'),
    ({'limits': {'linear.x': (-1, 1)}}, {'linear': {'x': math.nan}}, 'out_of_limits',
     'linear.x is nan, allowed is -1 to 1'),
    ({'limits': {'linear.x': (1, 2)}}, {}, 'out_of_limits', 'linear.x is 0.0, allowed is 1 to 2'),
    ({'limits': {'mode': (0, 2)}}, {}, 'out_of_limits', 'mode is 3, allowed is 0 to 2'),
    ({'limits': {'joints': (-1, 1)}}, {'joints': [0, 5.5]}, 'out_of_limits',
     'joints is 5.5, allowed is -1 to 1'),
    ({'limits': {'joints': (-1, 1)}}, {'joints': array('d', [5.5])}, 'out_of_limits',
     'joints is 5.5, allowed is -1 to 1'),
    ({'limits': {'fixed': (1, 2)}}, {}, 'out_of_limits', 'fixed is 0.0, allowed is 1 to 2'),
    ({'limits': {'data': (0, 9)}}, {'data': b'\x0a'}, 'out_of_limits',
     'data is 10, allowed is 0 to 9'),
    ({'limits': {'data': (0, 9)}}, {'data': [10]}, 'out_of_limits',
     'data is 10, allowed is 0 to 9'),
    ({'finite': True}, {'linear': {'y': math.inf}}, 'not_finite', 'a number is NaN or infinite'),
    ({'finite': True}, {'joints': [0, -math.inf]}, 'not_finite', 'a number is NaN or infinite'),
    ({'finite': True}, {'fixed': [0, math.nan]}, 'not_finite', 'a number is NaN or infinite'),
    ({'finite': True}, {'path': [{}, {'x': math.nan}]}, 'not_finite',
     'a number is NaN or infinite'),
    ({'finite': True, 'set': {'linear.x': 1.0}}, {'linear': {'x': math.nan}}, 'not_finite',
     'a number is NaN or infinite'),
    ({'required': ('linear.x',), 'set': {'linear': {}}}, {}, 'missing_field',
     'linear.x is required and was left out'),
    ({'limits': {'mode': (0, 5)}, 'set': {'mode': 1}}, {'mode': 9}, 'out_of_limits',
     'mode is 9, allowed is 0 to 5'),
    ({'set': {'linear.x': 1.0}}, {'linear': 5}, 'bad_payload',
     'linear.x: expected a map at linear, got 5'),
    ({'set': {'mode': 1}}, {'mod': 1}, 'bad_payload', "mod: no such field, did you mean 'mode'?"),
    ({'finite': True}, {'linear': {'x': 'a'}}, 'bad_payload',
     "linear.x: expected float64, got 'a'"),
]  # fmt: skip


@pytest.mark.parametrize(('guards', 'value', 'reason', 'text'), REJECTED)
def test_a_value_that_breaks_a_guard_is_rejected_with_the_reason(guards, value, reason, text):
    with pytest.raises(PayloadError) as raised:
        written(value, **guards)
    assert raised.value.reason == reason
    assert str(raised.value).startswith(text)


def test_set_replaces_what_was_given_and_makes_the_maps_on_the_way():
    value = written({'linear': {'y': 2}}, set={'stamp': 'now', 'linear.x': 1.5, 'mode': 7})
    assert value['stamp'] == {'sec': 5, 'nanosec': 6}
    assert value['linear'] == {'x': 1.5, 'y': 2.0} and value['mode'] == 7
    assert written({}, set={'linear.x': 1.5})['linear'] == {'x': 1.5, 'y': 0.0}
    assert written({'stamp': 'garbage'}, set={'stamp': 'now'})['stamp']['sec'] == 5


def test_what_is_set_is_not_held_against_limits():
    assert written({'mode': 1}, limits={'mode': (0, 2)}, set={'mode': 9})['mode'] == 9


def test_guards_do_not_change_a_value_without_set():
    value = {'linear': {'x': 0.5}}
    written(value, limits={'linear.x': (0, 1)}, required=('linear.x',), finite=True)
    assert value == {'linear': {'x': 0.5}}


@pytest.mark.parametrize('guards', [
    {'limits': {'linear.z': (0, 1)}}, {'required': ('x',)}, {'set': {'path.x': 1}},
])  # fmt: skip
def test_an_unknown_path_is_an_error_when_it_is_compiled(guards):
    with pytest.raises(InterfaceError):
        cdr_write.writer(MESSAGE, Guards(**guards), now)


@pytest.mark.parametrize(('path', 'error'), [
    ('linear', r'limits need a number; linear is pkg/V: use linear\.x, linear\.y$'),
    ('name', 'limits need a number; name is string$'),
    ('ready', 'limits need a number; ready is bool$'),
    ('path', r'limits need a number; path is pkg/V\[\]$'),
])  # fmt: skip
def test_limits_of_no_number_are_an_error_when_they_are_compiled(path, error):
    with pytest.raises(InterfaceError, match=error):
        cdr_write.writer(MESSAGE, Guards({path: (0, 1)}), now)


def test_nanoseconds_are_a_part_of_a_second():
    write = cdr_write.writer(STAMPED)
    assert write({'header': {'stamp': {'nanosec': 999_999_999}}})
    for wrong in (1_000_000_000, 2_000_000_000):
        with pytest.raises(PayloadError, match=r'header\.stamp\.nanosec: expected a part of a s'):
            write({'header': {'stamp': {'sec': 1, 'nanosec': wrong}}})


GUARDS = st.builds(
    Guards,
    st.fixed_dictionaries(
        {},
        optional={
            path: st.sampled_from([(-1.0, 1.0), (1, 4)])
            for path in ('linear.x', 'joints', 'fixed', 'data', 'mode', 'stamp.sec')
        },
    ),
    st.lists(st.sampled_from(['linear.x', 'linear', 'stamp', 'name', 'stamp.sec'])).map(tuple),
    st.fixed_dictionaries(
        {}, optional={'stamp': st.just('now'), 'linear.y': st.just(7.5), 'mode': st.just(2)}
    ),
    st.booleans(),
)
NUMBER = st.sampled_from([0, 1, 0.5, 3, math.nan, math.inf, -9, True, 'a'])
VECTOR = st.fixed_dictionaries({}, optional={'x': NUMBER, 'y': NUMBER})
VALUE = st.fixed_dictionaries(
    {},
    optional={
        'stamp': st.fixed_dictionaries({}, optional={'sec': NUMBER, 'nanosec': NUMBER}),
        'linear': VECTOR | NUMBER,
        'joints': st.lists(NUMBER, max_size=3),
        'fixed': st.lists(NUMBER, min_size=2, max_size=2),
        'data': st.binary(max_size=2) | st.lists(NUMBER, max_size=2),
        'path': st.lists(VECTOR, max_size=2),
        'mode': NUMBER,
        'name': st.just('n'),
        'other': st.just(1),
    },
)


@settings(derandomize=True, database=None, max_examples=150)
@given(GUARDS, VALUE)
def test_the_compiled_guards_agree_with_the_walk(guards, value):
    """Compare with: check the guards, set, write."""
    expected: bytes | None = None
    given_value = copy.deepcopy(value)
    reason = 'bad_payload'
    try:
        if error := broken_guard(MESSAGE, given_value, guards):
            raise error
        for path, setting in guards.set.items():
            set_at(given_value, path, {'sec': 5, 'nanosec': 6} if setting == 'now' else setting)
        expected = cdr_write.writer(MESSAGE)(given_value)
    except PayloadError as error:
        reason = error.reason
    try:
        assert cdr_write.writer(MESSAGE, guards, now)(value) == expected
    except PayloadError as error:
        assert expected is None and error.reason == reason
