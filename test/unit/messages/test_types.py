# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Descriptions of message types: paths, defaults, the text form and the hash."""

from __future__ import annotations

import pytest

from redis_bridge.errors import InterfaceError
from redis_bridge.messages.definition import definition_text, parse_definition, type_hash
from redis_bridge.messages.paths import field_at, leaves
from redis_bridge.messages.types import Array, Field, Message, Primitive, Sequence, String

LINE = '=' * 80
POINT = Message('geometry_msgs/msg/Point', tuple(Field(n, Primitive('double')) for n in 'xyz'))
ROUTE = Message(
    'nav_msgs/msg/Route',
    (
        Field('name', String(), 'home'),
        Field('via', Sequence(POINT)),
        Field('end', POINT),
        Field('tags', Sequence(String(bound=8), 4), ('a', 'b "c"')),
        Field('mask', Array(Primitive('uint8'), 3), b'\0\1\xff'),
        Field('scale', Array(Primitive('float'), 2), (1.5, -2.0)),
        Field('on', Primitive('boolean'), True),
        Field('raw', Primitive('octet'), 7),
        Field('label', String(wide=True)),
    ),
)
ROUTE_TEXT = f"""string name "home"
geometry_msgs/Point[] via
geometry_msgs/Point end
string<=8[<=4] tags ["a", "b \\"c\\""]
uint8[3] mask [0, 1, 255]
float32[2] scale [1.5, -2.0]
bool on true
byte raw 7
wstring label
{LINE}
MSG: geometry_msgs/Point
float64 x
float64 y
float64 z
"""


def parse(text: str, name: str = 'pkg/msg/One') -> Message:
    return parse_definition(name, text)


def test_a_definition_is_the_text_of_a_type_and_all_it_is_made_of():
    assert definition_text(ROUTE) == ROUTE_TEXT
    assert parse_definition('nav_msgs/msg/Route', ROUTE_TEXT) == ROUTE


def test_types_of_services_and_actions_keep_their_kind_in_a_definition():
    goal = Message('a_msgs/action/Turn_Goal', (Field('by', Primitive('float')),))
    request = Message('a_msgs/action/Turn_SendGoal_Request', (Field('goal', goal),))
    assert 'MSG: a_msgs/action/Turn_Goal' in definition_text(request)
    assert parse_definition(request.name, definition_text(request)) == request


def test_a_definition_as_others_write_it_is_read():
    message = parse(
        """# A comment, and a constant with a # in it
string COLOR="#ff0000"
uint8 OK=0
uint8 WARN = 1   # another
int32[]   values  [ 1, -2,0x10 ]   # with blanks
\tstring text 'it\\'s # not a comment'
string bare a word
Inner inner
other/Thing[<=3] things
char c 'x'
""".replace("char c 'x'", 'char c 120')
        + f'{LINE}\r\nMSG: pkg/Inner\r\nfloat32 a .5\r\n{LINE}\nMSG: other/Thing\nbool b True\n'
    )
    inner = Message('pkg/msg/Inner', (Field('a', Primitive('float'), 0.5),))
    thing = Message('other/msg/Thing', (Field('b', Primitive('boolean'), True),))
    assert message.fields == (
        Field('values', Sequence(Primitive('int32')), (1, -2, 16)),
        Field('text', String(), "it's # not a comment"),
        Field('bare', String(), 'a word'),
        Field('inner', inner),
        Field('things', Sequence(thing, 3)),
        Field('c', Primitive('uint8'), 120),
    )


@pytest.mark.parametrize(
    'text', ['', 'a"b', "it's", 'back\\slash', 'new\nline\ttab\r', '# no', '\\n', ' x ']
)
def test_defaults_of_strings_survive_the_text_form(text):
    message = Message(
        'pkg/msg/One',
        (
            Field.with_default('a', String(), text),
            Field.with_default('b', Sequence(String()), [text, 'x,y', text]),
        ),
    )
    assert parse(definition_text(message)) == message


@pytest.mark.parametrize(
    ('text', 'error'),
    [
        ('int8', "line 1 of the definition, 'int8': '' is no name of a field"),
        ('int8 a\nint9 b', 'the definition of pkg/msg/int9 is missing'),
        ('int8[ a', "line 1 of the definition, 'int8[ a': 'int8[' is no type"),
        ('int8[0] a', 'an array of no items'),
        ('int8[<=] a', 'the bound is missing'),
        ('int8<=5 a', 'int8 cannot be bounded'),
        ('int8 a-b', "'a-b' is no name of a field"),
        ('int8 a 300', '300 is out of range of int8'),
        ('int8 a x', 'invalid literal'),
        ('bool a 2', 'expected true or false, got 2'),
        ('int8[2] a [1]', 'a default of 1 items for int8[2]'),
        ('int8[<=1] a [1, 2]', 'a default of 2 items for int8[<=1]'),
        ('int8[] a 1', 'expected a list in brackets as default, got 1'),
        ('string[] a ["x" "y"]', 'cannot be read'),
        ('Other a', 'the definition of pkg/msg/Other is missing'),
        (f'Other a\n{LINE}\nMSG: pkg/Other\nOne b', 'pkg/msg/One contains itself'),
        (f'Other a 5\n{LINE}\nMSG: pkg/Other\nint8 b', 'a message cannot have a default'),
        ('int8 a\nint8 a', "pkg/msg/One has two fields 'a'"),
        ('a/b/c/D a', "'a/b/c/D' is no name of a message type"),
        ('uint8[9999999999999999999] a', 'is too big to be read'),
        ('float64[100000000] a', 'is too big to be read'),
    ],
)
def test_mistakes_in_a_definition_are_named(text, error):
    with pytest.raises(InterfaceError) as raised:
        parse(text)
    assert error in str(raised.value) and str(raised.value).startswith('pkg/msg/One: ')


def test_a_definition_that_unfolds_without_end_is_rejected():
    levels = [
        f'T{n + 1} a\nT{n + 1} b\nT{n + 1} c\n{LINE}\nMSG: pkg/T{n + 1}\n' for n in range(14)
    ]
    with pytest.raises(InterfaceError, match='too big to be read'):
        parse(''.join(levels) + 'int8 x', 'pkg/msg/T0')
    deep = [f'T{n + 1} a\n{LINE}\nMSG: pkg/T{n + 1}\n' for n in range(40)]
    with pytest.raises(InterfaceError, match='nested deeper than'):
        parse(''.join(deep) + 'int8 x', 'pkg/msg/T0')


def test_the_type_at_a_path_is_found():
    assert field_at(ROUTE, 'end') == POINT
    assert field_at(ROUTE, 'end.x') == Primitive('double')
    assert field_at(ROUTE, 'via') == Sequence(POINT)


@pytest.mark.parametrize(
    ('path', 'error'),
    [
        ('nam', "nam: nav_msgs/msg/Route has no field 'nam', did you mean 'name'? (it has name, "
         'via, end, tags, mask, scale, on, raw, label)'),
        ('end.w', "end.w: geometry_msgs/msg/Point has no field 'w' (it has x, y, z)"),
        ('via.x',
         "via.x: via of nav_msgs/msg/Route is geometry_msgs/Point[], which has no field 'x'"),
        ('name.x', "name.x: name of nav_msgs/msg/Route is string, which has no field 'x'"),
        ('', ": nav_msgs/msg/Route has no field ''"),
        ('end.', "end.: geometry_msgs/msg/Point has no field ''"),
    ],
)  # fmt: skip
def test_an_unknown_path_is_named_with_what_there_is(path, error):
    with pytest.raises(InterfaceError) as raised:
        field_at(ROUTE, path)
    assert str(raised.value).startswith(error)


def test_defaults_are_new_plain_values_each_time():
    value = ROUTE.default()
    assert value == {
        'name': 'home',
        'via': [],
        'end': {'x': 0.0, 'y': 0.0, 'z': 0.0},
        'tags': ['a', 'b "c"'],
        'mask': b'\0\1\xff',
        'scale': [1.5, -2.0],
        'on': True,
        'raw': 7,
        'label': '',
    }
    value['tags'].append('x')
    value['end']['x'] = 1.0
    assert ROUTE.default()['tags'] == ['a', 'b "c"'] and ROUTE.default()['end']['x'] == 0.0
    assert Array(POINT, 2).default() == 2 * [{'x': 0.0, 'y': 0.0, 'z': 0.0}]
    assert Array(Primitive('octet'), 2).default() == b'\0\0'
    assert Sequence(Primitive('uint8')).default() == b''


def test_a_default_of_zero_is_no_default():
    assert parse('int8 a 0\nbool b false\nstring c ""\nfloat64[2] d [0, 0.0]') == parse(
        'int8 a\nbool b\nstring c\nfloat64[2] d'
    )


def test_leaves_are_what_is_no_message():
    assert [path for path, _ in leaves(ROUTE)] == [
        'name', 'via', 'end.x', 'end.y', 'end.z', 'tags', 'mask', 'scale', 'on', 'raw', 'label',
    ]  # fmt: skip


def test_type_names_are_those_of_msg_files():
    names = [str(field.type) for field in ROUTE.fields]
    assert names == [
        'string', 'geometry_msgs/Point[]', 'geometry_msgs/Point', 'string<=8[<=4]', 'uint8[3]',
        'float32[2]', 'bool', 'byte', 'wstring',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('name', 'text', 'digits'),
    [  # as ROS 2 Kilted publishes them
        ('test_msgs/msg/Empty', '',
         '6587ceacfdb97a895b60774d021011c64f8c7299f53322404af4036dec6142dc'),
        ('std_msgs/msg/String', 'string data',
         'df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18'),
        ('geometry_msgs/msg/Twist', 'Vector3 linear\nVector3 angular\n'
         f'{LINE}\nMSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z',
         '9c45bf16fe0983d80e3cfe750d6835843d265a9a6c46bd2e609fcddde6fb8d2a'),
    ],
)  # fmt: skip
def test_the_hash_is_that_of_ros(name, text, digits):
    assert type_hash(parse_definition(name, text)) == f'RIHS01_{digits}'


def test_a_default_does_not_change_the_hash():
    assert type_hash(parse('int8 a 5')) == type_hash(parse('int8 a'))
