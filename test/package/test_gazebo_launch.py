# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The launch file for Gazebo, evaluated by ROS's own launch system, with stand-ins for ros_gz."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

launch = pytest.importorskip('launch')
pytest.importorskip('launch_ros')

from launch.actions import (  # noqa: E402
    ExecuteProcess,
    RegisterEventHandler,
)
from launch.launch_description_sources import (  # noqa: E402
    get_launch_description_from_python_launch_file,
)

from redis_bridge.demo import gazebo  # noqa: E402
from redis_bridge.demo.warehouse import PLACES, robot_names  # noqa: E402
from redis_bridge.mapping.load import load  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILE = ROOT / 'launch' / 'gazebo_fleet.launch.py'
MAPPING = ROOT / 'config' / 'gazebo_fleet.yaml'
GZ_SIM = """\
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration


def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument('gz_args', default_value=''),
        DeclareLaunchArgument('on_exit_shutdown', default_value='false'),
        ExecuteProcess(cmd=['gz sim', LaunchConfiguration('gz_args'),
                            LaunchConfiguration('on_exit_shutdown')], shell=True),
    ])
"""


@pytest.fixture(autouse=True)
def stand_ins(tmp_path, monkeypatch):
    """Make packages that have the files which the launch file names, and nothing in them."""
    prefix = tmp_path / 'prefix'
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    for package, program in (
        ('ros_gz_sim', 'create'),
        ('ros_gz_bridge', 'parameter_bridge'),
        ('redis_bridge', 'redis_bridge'),
    ):
        (index / package).touch()
        executable = prefix / 'lib' / package / program
        executable.parent.mkdir(parents=True)
        executable.touch(mode=0o755)
    folder = prefix / 'share' / 'ros_gz_sim' / 'launch'
    folder.mkdir(parents=True)
    (folder / 'gz_sim.launch.py').write_text(GZ_SIM)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(prefix))
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    return prefix


class Evaluated:
    """All that the launch file starts for some arguments, prepared by launch, but not started."""

    def __init__(self, **arguments):
        self.commands = []
        self.handlers = []
        self.context = launch.LaunchContext(argv=())
        self.context.launch_configurations.update(arguments)
        description = get_launch_description_from_python_launch_file(str(LAUNCH_FILE))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ExecuteProcess, 'execute', lambda *given: self._prepare(*given))
            self._evaluate(description.entities)

    def _prepare(self, process, context):
        process.prepare(context)
        self.commands.append(process.process_details['cmd'])

    def _evaluate(self, entities):
        for entity in entities:
            if isinstance(entity, RegisterEventHandler):
                self.handlers.append(entity.event_handler)
            else:
                self._evaluate(entity.visit(self.context) or [])

    def of(self, program):
        """Return the command lines of a program, or of a module of the demo."""
        return [
            command
            for command in self.commands
            if Path(command[0]).name == program or f'redis_bridge.demo.{program}' in command
        ]


def parameters_of(command):
    """Return all parameters of a command line, as the node reads them from its files."""
    found = {}
    for option, value in zip(command, command[1:]):
        if option == '--params-file':
            for node in yaml.safe_load(Path(value).read_text()).values():
                found |= node['ros__parameters']
        elif option == '-p':
            name, _, text = value.partition(':=')
            found[name] = yaml.safe_load(text)
    return found


def remaps_of(command):
    return dict(
        value.split(':=', 1) for option, value in zip(command, command[1:]) if option == '-r'
    )


@pytest.fixture(params=[1, 2, 5])
def fleet(request):
    evaluated = Evaluated(robots=str(request.param))
    evaluated.robots = robot_names(request.param)
    return evaluated


def test_every_process_is_one_that_is_expected(fleet):
    assert len(fleet.commands) == 4 + 3 * len(fleet.robots)
    assert len(fleet.of('gz sim')) == 1
    assert len(fleet.of('parameter_bridge')) == 1
    assert len(fleet.of('gazebo_referee')) == 1
    assert len(fleet.of('coordinator')) == 1
    for program in ('create', 'gazebo_robot', 'redis_bridge'):
        assert len(fleet.of(program)) == len(fleet.robots)


def test_gazebo_runs_the_world_from_its_start_and_ends_everything_with_it(fleet):
    ((_, options, ends_all),) = fleet.of('gz sim')
    run, world = options.split(' ')
    assert run == '-r'
    assert Path(world).read_text() == gazebo.world()
    assert ends_all == 'true'


def test_without_a_window_gazebo_still_renders_for_the_lidars():
    ((_, options, _),) = Evaluated(headless='true').of('gz sim')
    assert options.startswith('-r -s --headless-rendering /')


def test_another_world_is_taken_as_it_is():
    ((_, options, _),) = Evaluated(world='/my/world.sdf').of('gz sim')
    assert options == '-r /my/world.sdf'


def test_each_robot_is_created_in_its_dock(fleet):
    for robot, command in zip(fleet.robots, fleet.of('create')):
        dock = PLACES[robot.replace('robot', 'dock')]
        words = command[1 : command.index('--ros-args')]
        options = dict(zip(words[::2], words[1::2]))
        path = Path(options.pop('-file'))
        assert path.read_text() == gazebo.model(robot)
        assert options == {
            '-world': gazebo.WORLD, '-name': robot, '-x': str(dock.x), '-y': str(dock.y),
            '-z': '0.0', '-Y': str(dock.heading),
        }  # fmt: skip


def test_ros_gz_bridge_reads_the_topics_of_all_robots(fleet):
    (command,) = fleet.of('parameter_bridge')
    parameters = parameters_of(command)
    assert [*parameters] == ['config_file']
    assert Path(parameters['config_file']).read_text() == gazebo.bridge(len(fleet.robots))


def full(namespace, topic):
    return topic if topic.startswith('/') else f'/{namespace}/{topic}'


def test_each_robot_has_a_bridge_to_redis_in_its_namespace(fleet):
    for robot, command in zip(fleet.robots, fleet.of('redis_bridge')):
        assert parameters_of(command) == {
            'mapping': str(MAPPING), 'robot': robot, 'redis_url': 'redis://localhost:6379/0',
            'use_sim_time': True,
        }  # fmt: skip
        assert remaps_of(command) == {'__node': 'redis_bridge', '__ns': f'/{robot}'}


def test_the_nodes_of_the_robots_call_the_leases_of_their_own_bridge(fleet):
    for robot, command in zip(fleet.robots, fleet.of('gazebo_robot')):
        assert command[:4] == [sys.executable, '-m', 'redis_bridge.demo.gazebo_robot', robot]
        assert parameters_of(command) == {'use_sim_time': True}
        lease = 'redis_bridge/lease/corridor'
        assert remaps_of(command) == {
            '__ns': f'/{robot}',
            f'/{lease}/acquire': f'/{robot}/{lease}/acquire',
            f'/{lease}/release': f'/{robot}/{lease}/release',
        }


def test_the_names_of_the_mapping_meet_those_of_gazebo_and_of_the_robots(fleet):
    bridged = {
        entry['ros_topic_name']: entry
        for entry in yaml.safe_load(gazebo.bridge(len(fleet.robots)))
    }
    for robot in fleet.robots:
        mapping = load(MAPPING, robot=robot, environ={})
        outbound = {full(robot, route.topic): route.type for route in mapping.ros_to_redis}
        inbound = {full(robot, route.topic): route.type for route in mapping.redis_to_ros}
        for name in ('odom', 'scan'):
            entry = bridged[f'/{robot}/{name}']
            assert entry['direction'] == 'GZ_TO_ROS'
            assert outbound.pop(f'/{robot}/{name}') == entry['ros_type_name']
        own = ('battery_state', 'state', 'doing', 'arrived')
        assert {*outbound} == {f'/{robot}/{name}' for name in own}
        assert {*inbound} == {f'/{robot}/goal_pose', f'/{robot}/cmd_vel_by_hand'}
        # What drives in Gazebo is the node of the robot alone: its referee can stop it.
        assert f'/{robot}/cmd_vel' in bridged
        assert f'/{robot}/cmd_vel' not in inbound


def test_the_referee_and_the_coordinator_know_their_fleet(fleet):
    ((*command, robots), (_, *coordinator)) = (
        fleet.of('gazebo_referee')[0][:4],
        fleet.of('coordinator')[0],
    )
    assert command == [sys.executable, '-m', 'redis_bridge.demo.gazebo_referee']
    assert robots == str(len(fleet.robots))
    assert coordinator == ['-m', 'redis_bridge.demo.coordinator', 'redis://localhost:6379/0']


def test_another_redis_is_that_of_all_bridges_and_of_the_coordinator():
    fleet = Evaluated(redis_url='redis://there:1/0')
    assert {parameters_of(c)['redis_url'] for c in fleet.of('redis_bridge')} == {
        'redis://there:1/0'
    }
    assert fleet.of('coordinator')[0][-1] == 'redis://there:1/0'


def test_the_files_are_removed_at_the_end(tmp_path):
    fleet = Evaluated()
    (folder,) = tmp_path.glob('redis_bridge_gazebo_*')
    assert {path.name for path in folder.iterdir()} == {
        'warehouse.sdf', 'ros_gz_bridge.yaml', 'robot1.sdf', 'robot2.sdf',
    }  # fmt: skip
    (handler,) = fleet.handlers
    handler.handle(launch.events.Shutdown(reason='the end'), fleet.context)
    assert not folder.exists()


@pytest.mark.parametrize('robots', ['0', '7', 'many', ''])
def test_a_number_of_robots_for_which_there_is_no_room_is_rejected(robots):
    with pytest.raises(RuntimeError, match='robots: expected 1 to 6'):
        Evaluated(robots=robots)


def test_every_argument_is_described_and_none_must_be_given():
    description = get_launch_description_from_python_launch_file(str(LAUNCH_FILE))
    arguments = description.get_launch_arguments()
    assert [a.name for a in arguments] == ['robots', 'headless', 'world', 'redis_url']
    assert all(a.default_value is not None and len(a.description) > 20 for a in arguments)
