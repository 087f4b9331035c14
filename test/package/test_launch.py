# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Loads the launch files with ROS's own launch system, where it is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support import eventually

launch = pytest.importorskip('launch')
pytest.importorskip('launch_ros')

from launch.actions import DeclareLaunchArgument, OpaqueFunction  # noqa: E402
from launch.launch_description_sources import (  # noqa: E402
    get_launch_description_from_python_launch_file,
)
from launch.utilities import normalize_to_list_of_substitutions  # noqa: E402
from launch_ros.actions import Node  # noqa: E402

LAUNCH_FILE = Path(__file__).resolve().parents[2] / 'launch' / 'bridge.launch.py'
MAPPING = """\
version: 1
redis: {url: redis://localhost:1/0}
ros_to_redis:
  - topic: /chatter
    type: std_msgs/msg/String
    to: {channel: chatter}
"""


@pytest.fixture
def description() -> launch.LaunchDescription:
    return get_launch_description_from_python_launch_file(str(LAUNCH_FILE))


def node_of(description: launch.LaunchDescription, pushed: str = '', **arguments: str) -> Node:
    """Return the node that the launch file makes of these arguments."""
    context = launch.LaunchContext(argv=())
    if pushed:
        context.launch_configurations['ros_namespace'] = pushed
    context.launch_configurations.update(arguments)
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.visit(context)
    (function,) = (e for e in description.entities if isinstance(e, OpaqueFunction))
    (node,) = function.execute(context)
    node._perform_substitutions(context)
    node.context = context
    return node


def parameters_of(node: Node) -> dict:
    (parameters,) = node._Node__parameters
    return {
        name[0].text: value.evaluate(node.context) if hasattr(value, 'evaluate') else value
        for name, value in parameters.items()
    }


def ros_arguments_of(node: Node) -> list[str]:
    words = node._Node__ros_arguments
    return [''.join(part.text for part in normalize_to_list_of_substitutions(w)) for w in words]


def test_every_argument_is_described(description):
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert list(arguments) == [
        'mapping',
        'robot',
        'redis_url',
        'namespace',
        'log_level',
        'use_sim_time',
    ]
    assert not [name for name, argument in arguments.items() if len(argument.description) < 20]


def test_only_the_mapping_must_be_given(description):
    required = [a.name for a in description.get_launch_arguments() if a.default_value is None]
    assert required == ['mapping']


def test_the_arguments_become_parameters_of_their_types(description):
    node = node_of(
        description,
        mapping='my.yaml',
        robot='7',
        redis_url='redis://there:1/0',
        use_sim_time='true',
    )
    assert parameters_of(node) == {
        'mapping': 'my.yaml',
        'robot': '7',
        'redis_url': 'redis://there:1/0',
        'use_sim_time': True,
    }


def test_what_is_left_out_is_left_to_the_mapping(description):
    assert parameters_of(node_of(description, mapping='my.yaml')) == {
        'mapping': 'my.yaml',
        'robot': '',
        'redis_url': '',
        'use_sim_time': False,
    }


@pytest.mark.parametrize(
    ('pushed', 'namespace', 'logger'),
    [
        ('', '', 'redis_bridge'),
        ('', 'fleet/robot1', 'fleet.robot1.redis_bridge'),
        ('/fleet', 'robot1', 'fleet.robot1.redis_bridge'),
        ('/fleet', '/robot1', 'robot1.redis_bridge'),
        ('/fleet', '', 'fleet.redis_bridge'),
    ],
)
def test_the_log_level_is_that_of_the_nodes_own_logger(description, pushed, namespace, logger):
    node = node_of(description, pushed, mapping='my.yaml', namespace=namespace, log_level='debug')
    full = '.'.join([*node.expanded_node_namespace.strip('/').split('/'), 'redis_bridge'])
    assert full.lstrip('.') == logger
    assert ros_arguments_of(node) == ['--log-level', f'{logger}:=debug']


def test_an_unknown_log_level_is_rejected(description):
    with pytest.raises(RuntimeError, match='log_level'):
        node_of(description, mapping='my.yaml', log_level='loud')


needs_ros2 = pytest.mark.skipif(
    not shutil.which('ros2') or 'redis_bridge' not in os.environ.get('AMENT_PREFIX_PATH', ''),
    reason='needs ros2 and a sourced workspace with this package',
)


@needs_ros2
def test_ros2_launch_shows_the_arguments():
    shown = subprocess.run(
        ['ros2', 'launch', 'redis_bridge', 'bridge.launch.py', '--show-args'],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    for name in (
        'mapping', 'robot', 'redis_url', 'namespace', 'log_level', 'use_sim_time',
    ):  # fmt: skip
        assert f"'{name}':" in shown


@needs_ros2
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ros2_launch_starts_the_node_and_ends_it_cleanly(tmp_path, number):
    mapping, output = tmp_path / 'mapping.yaml', tmp_path / 'output'
    mapping.write_text(MAPPING)
    with output.open('wb') as out:
        process = subprocess.Popen(
            ['ros2', 'launch', 'redis_bridge', 'bridge.launch.py', f'mapping:={mapping}',
             'robot:=robot1', 'namespace:=fleet'],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:

        def is_started() -> bool:
            return 'robot robot1: 1 routes to Redis' in output.read_text()

        eventually(lambda: is_started() or process.poll() is not None, 30)
        assert is_started(), output.read_text()
        os.killpg(process.pid, number)  # as a terminal or a container would: to the whole group
        process.wait(15)
        eventually(lambda: not group_lives(process.pid))
    finally:
        if group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(output.read_text())  # shown where the test fails
    text = output.read_text()
    assert 'Traceback' not in text, text
    assert 'process has died' not in text, text
    if number == signal.SIGINT:  # at SIGTERM launch itself ends without waiting for its processes
        assert text.count('process has finished cleanly') == 1, text


def group_lives(leader: int) -> bool:
    """Whether a process group has any process left."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


# --- the demo ------------------------------------------------------------------------------------

DEMO_FILE = LAUNCH_FILE.with_name('fleet_demo.launch.py')


def demo_command(**arguments: str) -> list[str]:
    """Return what the launch file of the demo adds to its program for these arguments."""
    description = get_launch_description_from_python_launch_file(str(DEMO_FILE))
    context = launch.LaunchContext(argv=())
    context.launch_configurations.update(arguments)
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.visit(context)
    (function,) = (e for e in description.entities if isinstance(e, OpaqueFunction))
    (process,) = function.execute(context)
    return [context.perform_substitution(part) for (part,) in process.cmd[1:]]


def test_the_arguments_of_the_demo_are_described_and_none_must_be_given():
    description = get_launch_description_from_python_launch_file(str(DEMO_FILE))
    arguments = description.get_launch_arguments()
    assert [argument.name for argument in arguments] == ['robots', 'tasks', 'kill_after', 'speed']
    assert not [argument.name for argument in arguments if len(argument.description) < 20]
    assert all(argument.default_value is not None for argument in arguments)


def test_the_arguments_of_the_demo_become_options_of_its_command():
    assert demo_command() == ['demo', '--robots', '3', '--speed', '1.0']
    command = demo_command(robots='5', tasks='7', kill_after='20', speed='2')
    assert command[1:] == [
        '--robots', '5', '--tasks', '7', '--kill-after', '20', '--speed', '2',
    ]  # fmt: skip


@needs_ros2
@pytest.mark.timeout(150)
def test_ros2_launch_runs_the_demo_to_its_end(tmp_path):
    output = tmp_path / 'output'
    with output.open('wb') as out:
        process = subprocess.Popen(
            ['ros2', 'launch', 'redis_bridge', 'fleet_demo.launch.py', 'robots:=1', 'tasks:=1',
             'speed:=2'],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        process.wait(120)
    finally:
        if group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(output.read_text())  # shown where the test fails
    text = output.read_text()
    assert 'All 1 tasks were delivered, each exactly once.' in text
    assert text.count('process has finished cleanly') == 1


@needs_ros2
def test_a_signal_ends_the_demo_of_ros2_launch_cleanly(tmp_path):
    output = tmp_path / 'output'
    with output.open('wb') as out:
        process = subprocess.Popen(
            ['ros2', 'launch', 'redis_bridge', 'fleet_demo.launch.py', 'robots:=1'],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        eventually(lambda: 'gets task 1 ' in output.read_text(), 60)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20)
        eventually(lambda: not group_lives(process.pid))
    finally:
        if group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(output.read_text())  # shown where the test fails
    text = output.read_text()
    assert 'ended by SIGINT' in text
    assert 'Traceback' not in text
