# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The fleet demo in Gazebo: `ros2 launch redis_bridge gazebo_fleet.launch.py robots:=2`."""

import shutil
import sys
import tempfile
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnShutdown
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from redis_bridge.demo import gazebo
from redis_bridge.demo.warehouse import MAX_ROBOTS, PLACES, dock_of, robot_names

MAPPING = Path(__file__).resolve().parents[1] / 'config' / 'gazebo_fleet.yaml'
LEASE = 'redis_bridge/lease/corridor'
SIM_TIME = {'use_sim_time': True}
ARGUMENTS = (
    DeclareLaunchArgument(
        'robots',
        default_value='2',
        description=f'The number of robots, 1 to {MAX_ROBOTS}, because there are so many docks.',
    ),
    DeclareLaunchArgument(
        'headless',
        default_value='false',
        choices=['true', 'false'],
        description='Whether Gazebo runs without its window. The lidars need OpenGL anyway.',
    ),
    DeclareLaunchArgument(
        'world',
        default_value='',
        description=(
            f'Another world file (SDF). Its world is named {gazebo.WORLD}, and has the systems '
            'Physics, UserCommands, SceneBroadcaster and Sensors. Empty: the warehouse.'
        ),
    ),
    DeclareLaunchArgument(
        'redis_url',
        default_value='redis://localhost:6379/0',
        description='Where Redis is. The launch file starts none.',
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments, Gazebo, the robots, their bridges, and the coordinator."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=fleet)])


def fleet(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Write the files, and make all processes, once the arguments have their values."""
    values = {
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in ARGUMENTS
    }
    if values['robots'] not in map(str, range(1, MAX_ROBOTS + 1)):
        raise RuntimeError(
            f'robots: expected 1 to {MAX_ROBOTS}, got {values["robots"]!r}: the warehouse has '
            f'{MAX_ROBOTS} docks, one for each robot'
        )
    robots = int(values['robots'])
    folder = Path(tempfile.mkdtemp(prefix='redis_bridge_gazebo_'))
    return [
        RegisterEventHandler(
            OnShutdown(on_shutdown=lambda *_: shutil.rmtree(folder, ignore_errors=True))
        ),
        *simulation(folder, robots, values['world'], is_headless=values['headless'] == 'true'),
        *(
            node
            for robot in robot_names(robots)
            for node in robot_nodes(folder, robot, values['redis_url'])
        ),
        module('gazebo_referee', str(robots)),
        ExecuteProcess(
            cmd=[sys.executable, '-m', 'redis_bridge.demo.coordinator', values['redis_url']],
            name='coordinator',
            output='screen',
        ),
    ]


def simulation(
    folder: Path, robots: int, world: str, is_headless: bool
) -> list[LaunchDescriptionEntity]:
    """Make Gazebo with the world, and the bridge between its topics and those of ROS."""
    if not world:
        world = write(folder / 'warehouse.sdf', gazebo.world())
    options = '-r -s --headless-rendering' if is_headless else '-r'
    launch_file = PathJoinSubstitution(
        [FindPackageShare('ros_gz_sim'), 'launch', 'gz_sim.launch.py']
    )
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(launch_file),
            launch_arguments={
                'gz_args': f'{options} {world}',
                'on_exit_shutdown': 'true',
            }.items(),
        ),
        Node(
            package='ros_gz_bridge',
            executable='parameter_bridge',
            name='ros_gz_bridge',
            parameters=[
                {'config_file': write(folder / 'ros_gz_bridge.yaml', gazebo.bridge(robots))}
            ],
            output='screen',
        ),
    ]


def robot_nodes(folder: Path, robot: str, redis_url: str) -> list[LaunchDescriptionEntity]:
    """Make what puts a robot into its dock in Gazebo, its node, and its bridge to Redis."""
    dock = PLACES[dock_of(robot)]
    model = write(folder / f'{robot}.sdf', gazebo.model(robot))
    return [
        Node(
            package='ros_gz_sim',
            executable='create',
            name=f'create_{robot}',
            arguments=[
                '-world', gazebo.WORLD, '-file', model, '-name', robot,
                '-x', str(dock.x), '-y', str(dock.y), '-z', '0.0', '-Y', str(dock.heading),
            ],
            output='screen',
        ),
        module(
            'gazebo_robot',
            robot,
            namespace=robot,
            # The corridor's services are those of its own bridge.
            remappings=[
                (f'/{LEASE}/{service}', f'/{robot}/{LEASE}/{service}')
                for service in ('acquire', 'release')
            ],
        ),
        Node(
            package='redis_bridge',
            executable='redis_bridge',
            name='redis_bridge',
            namespace=robot,
            parameters=[
                {'mapping': str(MAPPING), 'robot': robot, 'redis_url': redis_url, **SIM_TIME}
            ],
            output='screen',
            # Time to say stop to the robot and to write out what waits for Redis.
            sigterm_timeout='5',
            sigkill_timeout='5',
        ),
    ]  # fmt: skip


def module(name: str, argument: str, **options: object) -> Node:
    """Make a node that is a module of the demo."""
    return Node(
        executable=sys.executable,
        arguments=['-m', f'redis_bridge.demo.{name}', argument],
        parameters=[SIM_TIME],
        output='screen',
        **options,
    )


def write(path: Path, text: str) -> str:
    """Write a file, and return its path."""
    path.write_text(text, encoding='utf-8')
    return str(path)
