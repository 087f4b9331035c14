# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Starts one bridge: `ros2 launch redis_bridge bridge.launch.py mapping:=my.yaml`."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.utilities import prefix_namespace

NODE = 'redis_bridge'
ARGUMENTS = (
    DeclareLaunchArgument(
        'mapping',
        description='The mapping file (YAML): which topics go to which Redis names, and back.',
    ),
    DeclareLaunchArgument(
        'robot',
        default_value='',
        description="The robot's name, {robot} in the mapping. Empty: the mapping's own.",
    ),
    DeclareLaunchArgument(
        'redis_url',
        default_value='',
        description=(
            'Where Redis is, such as redis://host:6379/0, '
            'redis+sentinel://host1:26379,host2:26379,host3:26379/mymaster/0, or '
            'redis+cluster://host1:6379,host2:6379. Empty: as the mapping says. A password is '
            'rejected, because every node could read it here: name a password_file in the mapping.'
        ),
    ),
    DeclareLaunchArgument(
        'namespace',
        default_value='',
        description=(
            'The namespace of the node, and of the topics that the mapping names without a '
            'leading /.'
        ),
    ),
    DeclareLaunchArgument(
        'log_level',
        default_value='info',
        choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='The least severe messages that are logged.',
    ),
    DeclareLaunchArgument(
        'use_sim_time',
        default_value='false',
        choices=['true', 'false'],
        description='Whether stamps set to `now` follow /clock. Durations never do.',
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and the node."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=bridge_node)])


def bridge_node(context: LaunchContext) -> list[Node]:
    """Make the node, once the arguments have their values."""
    strings = ('mapping', 'robot', 'redis_url')  # typed, so that a robot called 7 stays a string
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=str) for name in strings
    }
    parameters['use_sim_time'] = ParameterValue(
        LaunchConfiguration('use_sim_time'), value_type=bool
    )
    log_level = LaunchConfiguration('log_level').perform(context)
    return [
        Node(
            package='redis_bridge',
            executable='redis_bridge',
            name=NODE,
            namespace=LaunchConfiguration('namespace'),
            parameters=[parameters],
            ros_arguments=['--log-level', f'{logger_name(context)}:={log_level}'],
            output='screen',
            # Time to say stop to the robot and to write out what waits for Redis.
            sigterm_timeout='5',
            sigkill_timeout='5',
        )
    ]


def logger_name(context: LaunchContext) -> str:
    """Return the name of the node's own logger: a bare level would set rcl's and rmw's too."""
    namespace = prefix_namespace(
        context.launch_configurations.get('ros_namespace'),
        LaunchConfiguration('namespace').perform(context),
    )
    return '.'.join([*(namespace or '').strip('/').split('/'), NODE]).lstrip('.')
