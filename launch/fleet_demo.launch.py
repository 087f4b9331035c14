# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Starts the fleet demo: `ros2 launch redis_bridge fleet_demo.launch.py robots:=3`."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.substitutions import ExecutableInPackage

ARGUMENTS = (
    DeclareLaunchArgument(
        'robots',
        default_value='3',
        description='The number of robots, each in a ROS domain of its own with its own bridge.',
    ),
    DeclareLaunchArgument(
        'tasks',
        default_value='',
        description='The number of boxes to carry. Empty: two for each robot.',
    ),
    DeclareLaunchArgument(
        'kill_after',
        default_value='',
        description=(
            'Kill the first robot that carries a box through the corridor after so many seconds, '
            'so that another one does its task. Empty: none is killed.'
        ),
    ),
    DeclareLaunchArgument(
        'speed',
        default_value='1.0',
        description='How many seconds are simulated in one.',
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and the demo."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=demo)])


def demo(context: LaunchContext) -> list[ExecuteProcess]:
    """Make the process of the demo, once the arguments have their values; it starts all others."""
    program = ExecutableInPackage(package='redis_bridge', executable='redis-bridge')
    command = [program, 'demo']
    for argument in ARGUMENTS:
        value = LaunchConfiguration(argument.name).perform(context)
        if value:
            command += [f'--{argument.name.replace("_", "-")}', value]
    return [
        ExecuteProcess(
            cmd=command,
            name='fleet_demo',
            output='screen',
            additional_env={'PYTHONUNBUFFERED': '1'},
            on_exit=[Shutdown(reason='the demo has ended')],
            # Time to end all robots and bridges in order.
            sigterm_timeout='15',
            sigkill_timeout='15',
        )
    ]
