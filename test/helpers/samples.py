# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Message types and serialized messages for tests without ROS."""

from redis_bridge.messages import cdr_write
from redis_bridge.messages.types import Field, Message, Primitive, Sequence, String

DOUBLE = Primitive('double')
NUMBER = Message('std_msgs/msg/Float64', (Field('data', DOUBLE),))
VECTOR = Message('geometry_msgs/msg/Vector3', tuple(Field(axis, DOUBLE) for axis in 'xyz'))
TWIST = Message('geometry_msgs/msg/Twist', (Field('linear', VECTOR), Field('angular', VECTOR)))
TIME = Message(
    'builtin_interfaces/msg/Time',
    (Field('sec', Primitive('int32')), Field('nanosec', Primitive('uint32'))),
)
HEADER = Message('std_msgs/msg/Header', (Field('stamp', TIME), Field('frame_id', String())))
STAMPED = Message(
    'geometry_msgs/msg/TwistStamped', (Field('header', HEADER), Field('twist', TWIST))
)
JOINTS = Message('test/msg/Joints', (Field('position', Sequence(DOUBLE)),))


def number(value: float) -> bytes:
    return cdr_write.writer(NUMBER)({'data': value})
