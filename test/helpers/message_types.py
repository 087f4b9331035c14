# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The one list of message types for tests without ROS: each kind of field in each place."""

from redis_bridge.messages.definition import parse_definition
from redis_bridge.messages.types import PRIMITIVES, Field, Message, Primitive

LINE = '=' * 80
_PRIMITIVES = tuple(Field(f'{name}_value', Primitive(name)) for name in PRIMITIVES)
_POINT = f'{LINE}\nMSG: pkg/Point\nfloat64 x\nfloat32 y 1.5\nbyte[2] id'

EMPTY = Message('pkg/msg/Empty', ())
SCALAR = parse_definition('pkg/msg/Scalar', 'float64 data')
PRIMITIVE_FIELDS = Message('pkg/msg/Primitives', _PRIMITIVES)
STRINGS = parse_definition('pkg/msg/Strings', 'string a "x"\nwstring b\nstring<=5 c\nstring[] d')
ARRAYS = parse_definition(
    'pkg/msg/Arrays', 'float64[3] a\nfloat32[] b\nint64[<=4] c\nuint8[] d\nbool[] e\nbyte[4] f'
)
NESTED = parse_definition(
    'pkg/msg/Nested', f'pkg/Point at\nstring name\npkg/Point[] points\npkg/Point[2] two\n{_POINT}'
)
MESSAGE_TYPES = (EMPTY, SCALAR, PRIMITIVE_FIELDS, STRINGS, ARRAYS, NESTED)
