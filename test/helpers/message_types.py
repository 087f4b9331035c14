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
# As tf2_msgs and geometry_msgs define them.
_TRANSFORM = f"""
std_msgs/Header header
string child_frame_id
geometry_msgs/Transform transform
{LINE}
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
{LINE}
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
{LINE}
MSG: geometry_msgs/Transform
geometry_msgs/Vector3 translation
geometry_msgs/Quaternion rotation
{LINE}
MSG: geometry_msgs/Vector3
float64 x
float64 y
float64 z
{LINE}
MSG: geometry_msgs/Quaternion
float64 x 0
float64 y 0
float64 z 0
float64 w 1
"""
TF_MESSAGE = parse_definition(
    'tf2_msgs/msg/TFMessage',
    f'geometry_msgs/TransformStamped[] transforms\n{LINE}\n'
    f'MSG: geometry_msgs/TransformStamped{_TRANSFORM}',
)
# Frames before and behind each kind of field, whose padding they move.
_HEAD = f"""
{LINE}
MSG: pkg/Head
string frame_id
{LINE}
MSG: pkg/Item
bool ok
pkg/Head head
uint8 mode
float64 x
string map_frame_id
int16 short
"""
FRAMES = (
    TF_MESSAGE,
    parse_definition('pkg/msg/Only', 'string frame_id'),
    parse_definition('pkg/msg/Byte', 'string frame_id\nuint8 a\nbool[3] b\nfloat64 c'),
    parse_definition('pkg/msg/Short', 'uint8 a\nstring frame_id\nint16 b\nint8 c\nint64 d'),
    parse_definition('pkg/msg/Float', 'string child_frame_id\nfloat32 a\nstring b\nint64[2] c'),
    parse_definition(
        'pkg/msg/Two',
        'string frame_id\nstring child_frame_id\nstring frame\nwstring frame_id_w\n'
        'float64 a\nstring<=9 base_frame_id\nuint8[] b\nwstring c\nfloat64[] d\nint32 e',
    ),
    parse_definition(
        'pkg/msg/Lists',
        'string[] names\nstring frame_id\nstring[] more\nfloat64[] a\nuint8[] b\n'
        'int16[<=3] c\nfloat64 d\nstring[2] e\nbool f\nint64 g',
    ),
    parse_definition(
        'pkg/msg/Items', f'uint8 a\npkg/Item[] items\npkg/Item[2] two\nfloat32 b\nfloat64 c{_HEAD}'
    ),
    # As long at every place, but laid out in another way.
    parse_definition(
        'pkg/msg/Shifting',
        f'string frame_id\npkg/Shift[] shifts\n{LINE}\nMSG: pkg/Shift\nint32 a\nint16 b\nint64 c',
    ),
    parse_definition('pkg/msg/Mixed', f'pkg/Head head\n{_FIELDS}{_NESTED}{_HEAD}'),
    parse_definition('pkg/msg/Behind', f'{_FIELDS}pkg/Item item{_NESTED}{_HEAD}'),
    parse_definition(
        'pkg/msg/Deeper',
        f'string frame_id\npkg/Flat[] flats\npkg/Gap[] gaps\npkg/Outer[] outer\nint64 last'
        f'{_NESTED}{_HEAD}\n{LINE}\nMSG: pkg/Outer\nuint8 a\npkg/Item[] items\npkg/Nothing n\n'
        'pkg/Head[] heads\nbyte[3] id\npkg/Deep[] deep',
    ),
)
