# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Starts one bridge: `ros2 launch redis_bridge bridge.launch.py mapping:=my.yaml`."""

import secrets

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.utilities import prefix_namespace

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
            'Where Redis is, such as redis://host:6379/0. Empty: as the mapping says. A password '
            'is refused here, where every node could read it: name a password_file in the mapping.'
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
        'shards',
        default_value='1',
        choices=[str(count) for count in range(1, 17)],
        description=(
            "Over how many processes the mapping's routes are spread, each of them a node: "
            'redis_bridge, redis_bridge_2, ... More than one where one core is not enough.'
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
    """Describe the arguments and the nodes."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=bridge_nodes)])


def bridge_nodes(context: LaunchContext) -> list[Node]:
    """Make a node for each shard, once the arguments have their values."""
    shards = int(LaunchConfiguration('shards').perform(context))
    # One mark of this start for all of them, by which they know each other; alone a node makes it.
    boot = secrets.token_hex(4) if shards > 1 else ''
    return [bridge_node(context, shards, shard, boot) for shard in range(1, shards + 1)]


def bridge_node(context: LaunchContext, shards: int, shard: int, boot: str) -> Node:
    """Make the node of one shard."""
    name = 'redis_bridge' if shard == 1 else f'redis_bridge_{shard}'
    strings = ('mapping', 'robot', 'redis_url')  # typed, so that a robot called 7 stays a string
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=str) for name in strings
    }
    parameters['use_sim_time'] = ParameterValue(
        LaunchConfiguration('use_sim_time'), value_type=bool
    )
    parameters |= {
        'shards': shards,
        'shard': shard,
        'boot': ParameterValue(boot, value_type=str),
    }
    log_level = LaunchConfiguration('log_level').perform(context)
    return Node(
        package='redis_bridge',
        executable='bridge',
        name=name,
        namespace=LaunchConfiguration('namespace'),
        parameters=[parameters],
        ros_arguments=['--log-level', f'{logger_name(context, name)}:={log_level}'],
        output='screen',
        # Time to say stop to the robot and to write out what waits for Redis.
        sigterm_timeout='5',
        sigkill_timeout='5',
    )


def logger_name(context: LaunchContext, node: str) -> str:
    """Return the name of a node's own logger: a bare level would set rcl's and rmw's too."""
    namespace = prefix_namespace(
        context.launch_configurations.get('ros_namespace'),
        LaunchConfiguration('namespace').perform(context),
    )
    return '.'.join([*(namespace or '').strip('/').split('/'), node]).lstrip('.')
