# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The files for Gazebo: the warehouse and the robots are those of the data, and all names meet."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest
import yaml

from redis_bridge.demo import gazebo
from redis_bridge.demo.geometry import Pose, move, wall_distance
from redis_bridge.demo.warehouse import (
    FLOOR,
    MAX_ROBOTS,
    PLACES,
    ROBOT,
    SOLIDS,
    Box,
    robot_names,
)

ROBOTS = robot_names(MAX_ROBOTS)


@pytest.fixture(scope='module')
def world():
    return ET.fromstring(gazebo.world()).find('world')


def model_of(robot):
    return ET.fromstring(gazebo.model(robot)).find('model')


@pytest.fixture(scope='module', params=ROBOTS)
def model(request):
    return model_of(request.param)


def floats(element, path):
    return [float(word) for word in element.find(path).text.split()]


def number(element, path):
    (value,) = floats(element, path)
    return value


def system(element, name):
    """Return the one system of that name."""
    (plugin,) = (p for p in element.iter('plugin') if p.get('name').endswith(f'::{name}'))
    return plugin


def text(element, path):
    return element.find(path).text


# --- the world -----------------------------------------------------------------------------------


def box_of(element):
    """Return a box as seen from above, and its height."""
    x, y, z, *turned = floats(element, 'pose')
    along_x, along_y, along_z = floats(element, 'geometry/box/size')
    assert turned == [0, 0, 0]
    assert z == pytest.approx(along_z / 2)
    west, south = x - along_x / 2, y - along_y / 2
    return Box(west, south, west + along_x, south + along_y), along_z


def solids_of(world):
    return [
        box_of(collision)[0]
        for collision in world.iter('collision')
        if collision.find('geometry/box') is not None
    ]


def test_the_solid_boxes_are_those_of_the_warehouse_and_four_walls_around(world):
    boxes = solids_of(world)
    around = [box for box in boxes if not any(box == pytest.approx(solid) for solid in SOLIDS)]
    assert len(boxes) == len(SOLIDS) + 4
    assert len(around) == 4
    # What is left free between the four is the floor.
    assert max(box.east for box in around if box.east < 0) == pytest.approx(FLOOR.west)
    assert min(box.west for box in around if box.west > 0) == pytest.approx(FLOOR.east)
    assert max(box.north for box in around if box.north < 0) == pytest.approx(FLOOR.south)
    assert min(box.south for box in around if box.south > 0) == pytest.approx(FLOOR.north)


def test_the_walls_around_leave_no_gap(world):
    corners = [(x, y) for x in (FLOOR.west, FLOOR.east) for y in (FLOOR.south, FLOOR.north)]
    for x, y in corners:
        touching = [
            box
            for box in solids_of(world)
            if box.west - 1e-6 <= x <= box.east + 1e-6
            and box.south - 1e-6 <= y <= box.north + 1e-6
        ]
        assert len(touching) == 2


def test_what_is_solid_can_be_seen_where_it_is(world):
    (link,) = (m.find('link') for m in world.iter('model') if m.get('name') == 'solids')
    seen = {visual.get('name'): box_of(visual) for visual in link.iter('visual')}
    felt = {c.get('name').removesuffix('_solid'): box_of(c) for c in link.iter('collision')}
    assert seen == felt


def test_the_marks_on_the_floor_are_at_the_places_and_stop_nobody(world):
    (marks,) = (m for m in world.iter('model') if m.get('name') == 'marks')
    assert marks.find('.//collision') is None
    visuals = {visual.get('name'): visual for visual in marks.iter('visual')}
    assert {*PLACES} == {*visuals} - {'corridor'}
    for name, place in PLACES.items():
        box, height = box_of(visuals[name])
        assert ((box.west + box.east) / 2, (box.south + box.north) / 2) == pytest.approx(
            (place.x, place.y)
        )
        assert height < gazebo.CASTER_RADIUS_M


def test_the_lidar_sees_walls_and_robots(world):
    heights = {
        box_of(collision)[1]
        for collision in world.iter('collision')
        if collision.find('pose') is not None
    }
    assert gazebo.CHASSIS_BOTTOM_M < gazebo.LIDAR_HEIGHT_M < gazebo.CHASSIS_TOP_M
    assert min(heights) > gazebo.LIDAR_HEIGHT_M


def test_the_world_has_the_systems_that_the_robots_need(world):
    names = {plugin.get('name').rpartition(':')[2] for plugin in world.iter('plugin')}
    assert names == {'Physics', 'UserCommands', 'SceneBroadcaster', 'Sensors'}


@pytest.mark.parametrize('source', [gazebo.world(), gazebo.model('robot1')])
def test_every_system_has_the_file_of_its_name(source):
    for plugin in ET.fromstring(source).iter('plugin'):
        space, name = plugin.get('name').rsplit('::', 1)
        words = ''.join(f'-{letter.lower()}' if letter.isupper() else letter for letter in name)
        assert space == 'gz::sim::systems'
        assert plugin.get('filename') == f'gz-sim{words}-system'


@pytest.mark.parametrize('source', [gazebo.world(), gazebo.model('robot1')])
def test_the_files_are_sdf_that_fortress_reads(source):
    assert ET.fromstring(source).get('version') == '1.9'


# --- the robots ----------------------------------------------------------------------------------


def test_the_drive_is_that_of_the_simulated_robot(model):
    drive = system(model, 'DiffDrive')
    assert number(drive, 'wheel_separation') == ROBOT.wheel_separation
    assert number(drive, 'wheel_radius') == ROBOT.wheel_radius
    for what, most in (
        ('linear_velocity', ROBOT.max_linear),
        ('angular_velocity', ROBOT.max_angular),
        ('linear_acceleration', ROBOT.linear_acceleration),
        ('angular_acceleration', ROBOT.angular_acceleration),
    ):
        assert number(drive, f'max_{what}') == most
        assert number(drive, f'min_{what}') == -most


def test_the_wheels_are_where_the_drive_believes_them(model):
    drive = system(model, 'DiffDrive')
    joints = {joint.get('name'): joint for joint in model.iter('joint')}
    links = {link.get('name'): link for link in model.iter('link')}
    across = {}
    for side in ('left', 'right'):
        joint = joints[text(drive, f'{side}_joint')]
        assert joint.get('type') == 'revolute'
        wheel = links[text(joint, 'child')]
        x, y, z, roll, pitch, yaw = floats(wheel, 'pose')
        assert (x, pitch, yaw) == (0, 0, 0)
        assert z == ROBOT.wheel_radius  # it stands on the floor
        for shape in wheel.iter('cylinder'):
            assert number(shape, 'radius') == ROBOT.wheel_radius
        # The axis, turned with the link, points left: a positive speed rolls forwards.
        axis = floats(joint, 'axis/xyz')
        assert axis == [0, 0, 1]
        assert (-math.sin(roll), math.cos(roll)) == pytest.approx((1, 0), abs=1e-6)
        across[side] = y
    assert across['left'] - across['right'] == pytest.approx(ROBOT.wheel_separation)
    assert across['left'] == -across['right'] > 0


def test_the_body_is_as_round_and_as_wide_as_the_simulated_one(model):
    (base,) = (link for link in model.iter('link') if link.get('name') == 'base_link')
    for part in ('collision', 'visual'):
        assert number(base, f'{part}/geometry/cylinder/radius') == ROBOT.radius
    for wheel in (link for link in model.iter('link') if link.get('name').endswith('_wheel')):
        y = abs(floats(wheel, 'pose')[1]) + number(wheel, 'collision/geometry/cylinder/length') / 2
        assert math.hypot(y, ROBOT.wheel_radius) < ROBOT.radius


def test_the_lidar_has_the_beams_that_the_navigator_expects(model):
    (lidar,) = model.iter('sensor')
    assert lidar.get('type') == 'gpu_lidar'
    assert floats(lidar, 'pose') == [0, 0, gazebo.LIDAR_HEIGHT_M, 0, 0, 0]
    scan = lidar.find('lidar/scan/horizontal')
    beams = int(text(scan, 'samples'))
    assert beams == ROBOT.beams
    first, last = number(scan, 'min_angle'), number(scan, 'max_angle')
    assert first == pytest.approx(-math.pi)
    assert (last - first) / (beams - 1) == pytest.approx(2 * math.pi / beams)
    assert number(lidar, 'lidar/range/max') == ROBOT.range_max
    # Its own hull is nearer than the smallest range, and nothing else can be.
    assert ROBOT.radius < number(lidar, 'lidar/range/min') < ROBOT.radius + 0.02


@pytest.mark.parametrize('robot', ROBOTS[:1])
def test_every_inertia_is_positive_definite_and_that_of_a_solid_body(robot):
    links = [*model_of(robot).iter('link')]
    assert len(links) == 5
    for link in links:
        mass = number(link, 'inertial/mass')
        moments = [number(link, f'inertial/inertia/i{axis}{axis}') for axis in 'xyz']
        products = [number(link, f'inertial/inertia/i{axes}') for axes in ('xy', 'xz', 'yz')]
        assert mass > 0
        assert products == [0, 0, 0]
        assert min(moments) > 0
        # As for every rigid body; below, its mass is nowhere farther out than its shape.
        assert 2 * max(moments) <= sum(moments)
        shape = next(child for child in link.find('collision/geometry'))
        radius = number(shape, 'radius')
        half = number(shape, 'length') / 2 if shape.tag == 'cylinder' else radius
        reach = math.hypot(radius, half)
        assert max(moments) < mass * reach**2
        assert max(moments) > 0.1 * mass * radius**2


def test_the_masses_and_moments_of_the_chassis_are_those_of_a_cylinder():
    (base,) = (e for e in model_of('robot1').iter('link') if e.get('name') == 'base_link')
    mass, height = 10.0, 0.22
    assert number(base, 'inertial/mass') == mass
    assert number(base, 'inertial/inertia/izz') == pytest.approx(mass * 0.2**2 / 2)
    assert number(base, 'inertial/inertia/ixx') == pytest.approx(
        mass * (3 * 0.2**2 + height**2) / 12
    )


def test_a_robot_that_brakes_does_not_tip_beyond_its_casters(model):
    lean = 2 * gazebo.CASTER_GAP_M / gazebo.CASTER_AT_M
    middle = (gazebo.CHASSIS_TOP_M + gazebo.CHASSIS_BOTTOM_M) / 2
    assert ROBOT.linear_acceleration * middle < 9.81 * gazebo.CASTER_AT_M
    # Nor does it look at the floor as far as it can see what matters, nor over the walls.
    assert lean * 2.5 < gazebo.LIDAR_HEIGHT_M
    assert gazebo.LIDAR_HEIGHT_M + lean * ROBOT.range_max < gazebo.WALL_HEIGHT_M


def test_robots_fit_at_their_docks():
    for robot in ROBOTS:
        dock = PLACES[robot.replace('robot', 'dock')]
        back = move(Pose(dock.x, dock.y, dock.heading), -ROBOT.radius, 0.0, 1.0)
        assert wall_distance(back.x, back.y) > 0


# --- the names -----------------------------------------------------------------------------------


def topics_of(model):
    """Return what a model publishes and what it takes: the Gazebo types by the topics."""
    drive, odometry = system(model, 'DiffDrive'), system(model, 'OdometryPublisher')
    published = {
        text(drive, 'odom_topic'): 'gz.msgs.Odometry',
        text(drive, 'tf_topic'): 'gz.msgs.Pose_V',
        text(odometry, 'odom_topic'): 'gz.msgs.Odometry',
        text(odometry, 'odom_covariance_topic'): 'gz.msgs.OdometryWithCovariance',
        text(odometry, 'tf_topic'): 'gz.msgs.Pose_V',
    }
    for sensor in model.iter('sensor'):
        published[text(sensor, 'topic')] = 'gz.msgs.LaserScan'
    return published, {text(drive, 'topic'): 'gz.msgs.Twist'}


def test_no_two_robots_share_a_topic():
    seen = set()
    for robot in ROBOTS:
        published, taken = topics_of(model_of(robot))
        names = [*published, *taken]
        assert len(names) == 7
        assert all(name.startswith(f'/{robot}/') for name in names)
        assert not seen & {*names}
        seen |= {*names}


def test_no_topic_is_left_to_a_default():
    """What a system calls a topic by default could change, and meets no partner then."""
    model = model_of('robot1')
    given = {element.tag for element in model.iter() if element.tag.endswith('topic')}
    assert given == {'topic', 'odom_topic', 'odom_covariance_topic', 'tf_topic'}


@pytest.mark.parametrize('robots', [1, 2, 5, MAX_ROBOTS])
def test_every_bridged_name_meets_its_partner_in_gazebo(robots):
    published, taken = {'/clock': 'gz.msgs.Clock'}, {}
    for robot in robot_names(robots):
        more_published, more_taken = topics_of(model_of(robot))
        published |= more_published
        taken |= more_taken
    entries = yaml.safe_load(gazebo.bridge(robots))
    assert len(entries) == 1 + 4 * robots
    for entry in entries:
        partners = {'GZ_TO_ROS': published, 'ROS_TO_GZ': taken}[entry['direction']]
        assert partners[entry['gz_topic_name']] == entry['gz_type_name']
        assert entry['ros_topic_name'] == entry['gz_topic_name']
    bridged = [entry['gz_topic_name'] for entry in entries]
    assert len({*bridged}) == len(bridged)
    assert {*taken} <= {*bridged}
    # What is not bridged is not needed: what the wheels believe, and covariances.
    left = {name.split('/', 2)[2] for name in {*published} - {*bridged, '/clock'}}
    assert left == {'wheels/odom', 'wheels/tf', 'odom_with_covariance'}


@pytest.mark.parametrize(
    ('ros', 'gz'),
    [
        ('rosgraph_msgs/msg/Clock', 'gz.msgs.Clock'),
        ('geometry_msgs/msg/Twist', 'gz.msgs.Twist'),
        ('nav_msgs/msg/Odometry', 'gz.msgs.Odometry'),
        ('sensor_msgs/msg/LaserScan', 'gz.msgs.LaserScan'),
        ('tf2_msgs/msg/TFMessage', 'gz.msgs.Pose_V'),
    ],
)
def test_the_types_are_pairs_that_ros_gz_bridge_converts(ros, gz):
    """The pairs are in the table of its README."""
    pairs = {(e['ros_type_name'], e['gz_type_name']) for e in yaml.safe_load(gazebo.bridge(1))}
    assert (ros, gz) in pairs
    assert len(pairs) == 5


def test_the_true_pose_is_what_becomes_the_odometry(model):
    odometry = system(model, 'OdometryPublisher')
    assert text(odometry, 'odom_topic') == f'/{model.get("name")}/odom'
    assert (text(odometry, 'odom_frame'), text(odometry, 'robot_base_frame')) == (
        'odom',
        'base_link',
    )
    assert model.find('link').get('name') == 'base_link'
