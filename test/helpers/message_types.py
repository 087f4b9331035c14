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
# One of each: what a position may be followed by, after strings and sequences and within loops.
_FIELDS = """
bool flag
string name
int16 short
float64[] doubles
uint8[] data
float64[3] fixed
string<=5 bounded
uint16[<=4] few
pkg/Flat[] flats
pkg/Gap[2] gaps
string[] names
wstring wide
pkg/Nothing[] nothings
pkg/Nothing nothing
byte[4] id
bool[2] flags
int64 last
pkg/Deep[] deep
float32[1] one
"""
_NESTED = f"""
{LINE}
MSG: pkg/Flat
float64 x
float32 y
byte[4] id
{LINE}
MSG: pkg/Gap
float64 x
uint8 y
{LINE}
MSG: pkg/Nothing
{LINE}
MSG: pkg/Deep
int8 a
bool b
pkg/Gap[] gaps
int64[] longs
pkg/Flat flat
wstring[<=2] wides
"""
MIXED = parse_definition('pkg/msg/Mixed', _FIELDS + _NESTED)
# And arrays that are handled otherwise because of their length.
_LONG_FIELDS = """
float64[36] covariance
float32[<=90] many
uint16[300] table
int32[] integers
uint64[200] counts
int8[<=3] bytes
uint16 final
"""
LONG = parse_definition('pkg/msg/Long', _FIELDS + _LONG_FIELDS + _NESTED)
MESSAGE_TYPES = (EMPTY, SCALAR, PRIMITIVE_FIELDS, STRINGS, ARRAYS, NESTED)
