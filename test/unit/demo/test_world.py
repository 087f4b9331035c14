# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The physics, and the checker that sees true poses alone."""

from __future__ import annotations

import math

import pytest

from redis_bridge.demo.checker import CONTACT, Checker
from redis_bridge.demo.geometry import Pose, wall_distance
from redis_bridge.demo.warehouse import CORRIDOR, PLACES, ROBOT
from redis_bridge.demo.world import HANDLING_S, STEP_S, TOW_S, Command, Tow, World

MIDDLE = Pose(0.0, 0.0, 0.0)


def world_of(**poses):
    """Return a world with robots at these poses."""
    world = World()
    for robot, pose in poses.items():
        world.add(robot)
        world.bodies[robot].pose = pose
    return world


def run(world, seconds, **commands):
    """Simulate for a time with repeated commands; return what happened."""
    happened = []
    for _ in range(round(seconds / STEP_S)):
        for robot, command in commands.items():
            world.bodies[robot].command(command, world.time)
        happened += world.step()
    return happened


def test_a_body_reaches_the_commanded_speed_no_faster_than_it_can_accelerate():
    world = world_of(robot1=Pose(-1.5, 0.0, 0.0))
    run(world, 0.1, robot1=Command(0.6))
    body = world.bodies['robot1']
    assert body.linear == pytest.approx(0.1 * ROBOT.linear_acceleration)
    run(world, 0.4, robot1=Command(0.6))
    assert body.linear == pytest.approx(0.6)
    assert body.pose.x == pytest.approx(
        -1.5 + 0.5 * 0.6 - 0.6**2 / 2 / ROBOT.linear_acceleration, abs=0.005
    )


def test_a_body_stops_by_itself_when_commands_end():
    world = world_of(robot1=Pose(-7.0, 1.7, 0.0))
    run(world, 0.3, robot1=Command(0.5, 0.0))
    run(world, ROBOT.command_timeout + 0.5)
    assert world.bodies['robot1'].linear == 0.0


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_body_ignores_commands_that_are_not_finite_and_drives_no_faster_than_it_can(value):
    world = world_of(robot1=Pose(-7.0, 1.7, 0.0))
    run(world, 0.5, robot1=Command(value, 0.0))
    assert world.bodies['robot1'].pose == Pose(-7.0, 1.7, 0.0)
    run(world, 1.5, robot1=Command(50.0, 0.0))
    assert world.bodies['robot1'].linear == ROBOT.max_linear


def test_a_body_is_stopped_by_a_wall_which_is_a_violation_and_can_drive_away():
    world = world_of(robot1=Pose(0.0, 0.0, math.pi / 2))
    (violation,) = run(world, 2.0, robot1=Command(0.5))
    pose = world.bodies['robot1'].pose
    assert 0.0 <= wall_distance(pose.x, pose.y) - ROBOT.radius < CONTACT
    assert violation.text == 'robot1 touches a wall or a shelf'
    assert violation.time < 2.0 and violation.y == pytest.approx(pose.y, abs=0.01)
    run(world, 1.0, robot1=Command(-0.5))
    assert world.bodies['robot1'].pose.y < pose.y - 0.2


def test_a_box_is_taken_and_put_down_only_by_a_robot_that_stands_at_the_place():
    pick, deliver = PLACES['P1'], PLACES['D2']
    world = world_of(robot1=Pose(pick.x + 0.3, pick.y, 0.0))
    body = world.bodies['robot1']
    run(world, 2 * HANDLING_S, robot1=Command(handle=True))
    assert body.box is None  # too far away
    body.pose = Pose(pick.x, pick.y, 0.0)
    run(world, HANDLING_S / 2, robot1=Command(handle=True))
    assert body.box is None  # not yet
    run(world, HANDLING_S, robot1=Command(handle=True))
    assert body.box == 'P1'
    body.pose = Pose(deliver.x, deliver.y, 0.0)
    run(world, 2 * HANDLING_S, robot1=Command())
    assert body.box == 'P1'  # it was not asked to
    run(world, 2 * HANDLING_S, robot1=Command(handle=True))
    assert (body.box, dict(world.delivered)) == (None, {('P1', 'D2'): 1})


def test_a_dead_robot_is_in_the_way_until_it_is_towed_with_its_box():
    world = world_of(robot1=MIDDLE, robot2=Pose(-1.5, 0.0, 0.0))
    world.bodies['robot1'].box = 'P1'
    world.die('robot1')
    run(world, TOW_S / 2)
    ranges = world.scan('robot2')
    assert ranges[len(ranges) // 2] == pytest.approx(1.5 - ROBOT.radius)
    assert Tow('robot1', 0.0, 0.0) in run(world, TOW_S)
    assert [*world.bodies] == ['robot2'] and not world.delivered


# --- the checker ---------------------------------------------------------------------------------


def test_two_robots_in_the_corridor_are_reported_once_with_time_and_place():
    checker = Checker()
    assert checker.look(1.0, {'robot1': MIDDLE, 'robot2': Pose(3.0, 0.0, 0.0)}) == []
    inside = {'robot1': MIDDLE, 'robot2': Pose(CORRIDOR.east + ROBOT.radius - 0.01, 0.0, 0.0)}
    (violation,) = checker.look(1.01, inside)
    assert str(violation) == (
        'at 1.01 s, at (0.00, 0.00): robot1 and robot2 are both in the corridor'
    )
    assert checker.look(1.02, inside) == []
    checker.look(1.03, {'robot1': MIDDLE})
    assert len(checker.look(1.04, inside)) == 1
    assert checker.passages == 3


def test_one_robot_after_the_other_in_the_corridor_is_allowed():
    checker = Checker()
    outside = Pose(CORRIDOR.east + ROBOT.radius + 0.01, 0.0, 0.0)
    assert checker.look(1.0, {'robot1': MIDDLE, 'robot2': outside}) == []
    assert checker.look(2.0, {'robot1': Pose(-3.0, 0.0, 0.0), 'robot2': MIDDLE}) == []


@pytest.mark.parametrize(('gap', 'collides'), [(0.05, False), (0.005, True), (-0.1, True)])
def test_a_collision_is_reported_and_the_closest_distance_is_known(gap, collides):
    checker = Checker()
    there = Pose(-6.0 + 2 * ROBOT.radius + gap, 1.7, 0.0)
    found = checker.look(0.5, {'robot1': Pose(-6.0, 1.7, 0.0), 'robot3': there})
    assert [violation.text for violation in found] == ['robot1 and robot3 collided'] * collides
    assert checker.closest == pytest.approx(gap)


def test_robots_that_drive_into_each_other_are_stopped_and_reported():
    world = world_of(robot1=Pose(-7.0, 1.7, 0.0), robot2=Pose(-5.0, 1.7, math.pi))
    (violation,) = run(world, 3.0, robot1=Command(0.5), robot2=Command(0.5))
    assert violation.text == 'robot1 and robot2 collided'
    first, second = (body.pose for body in world.bodies.values())
    assert first.x + 2 * ROBOT.radius <= second.x
