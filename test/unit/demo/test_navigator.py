# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The navigator drives bodies of the world, with and without the lease."""

from __future__ import annotations

import math

import pytest

from redis_bridge.demo.geometry import Pose, distance_to_box, hits
from redis_bridge.demo.navigator import Navigator
from redis_bridge.demo.warehouse import (
    CORRIDOR,
    MAX_ROBOTS,
    PLACES,
    ROBOT,
    WAYPOINTS,
    dock_of,
    robot_names,
)
from redis_bridge.demo.world import STEP_S, Tow, World

EVERY = 10  # steps between two commands


class Driven:
    """Robots in a world with their navigators."""

    def __init__(self, **starts):
        self.world = World()
        self.navigators = {}
        self.events = []
        for robot, start in starts.items():
            self.world.add(robot)
            body = self.world.bodies[robot]
            body.pose = Pose(*WAYPOINTS[start], body.pose.heading)
            self.navigators[robot] = Navigator(start)

    def pose(self, robot):
        return self.world.bodies[robot].pose

    def drive(self, seconds, until=lambda: False, lease=lambda robot: True):
        """Drive for a time, or until something holds; return whether it does."""
        for _ in range(int(seconds / STEP_S / EVERY)):
            if until():
                return True
            for robot, navigator in self.navigators.items():
                body = self.world.bodies[robot]
                seen = hits(body.pose, self.world.scan(robot))
                command = navigator.steer(body.pose, body.linear, seen, lease(robot))
                body.command(command, self.world.time)
            for _ in range(EVERY):
                self.events += self.world.step()
        return until()

    def is_inside(self, robot):
        pose = self.pose(robot)
        return distance_to_box(pose.x, pose.y, CORRIDOR) < ROBOT.radius


def test_a_robot_drives_from_its_dock_through_the_corridor_to_a_shelf_without_touching():
    driven = Driven(robot1='dock1')
    navigator = driven.navigators['robot1']
    navigator.go('P1')
    assert driven.drive(30, lambda: navigator.has_arrived)
    assert math.dist(driven.pose('robot1')[:2], PLACES['P1'][1:3]) < 0.1
    assert (driven.events, driven.world.checker.passages) == ([], 1)
    assert not navigator.wants_corridor(driven.pose('robot1'))


def test_without_the_lease_a_robot_waits_before_the_corridor_and_then_drives():
    driven = Driven(robot1='southeast')
    navigator = driven.navigators['robot1']
    navigator.go('P1')
    assert not driven.drive(6, lambda: driven.is_inside('robot1'), lease=lambda _: False)
    assert navigator.wants_corridor(driven.pose('robot1'))
    assert navigator.doing == 'waits for the corridor'
    assert not navigator.is_in_corridor
    assert driven.drive(6, lambda: driven.is_inside('robot1'))
    assert navigator.is_in_corridor


def test_with_the_lease_a_robot_waits_as_long_as_something_is_in_the_corridor():
    driven = Driven(robot1='southeast', robot2='dock2')
    driven.world.bodies['robot2'].pose = Pose(-1.0, 0.0, 0.0)
    del driven.navigators['robot2']
    navigator = driven.navigators['robot1']
    navigator.go('P1')
    assert not driven.drive(5, lambda: driven.is_inside('robot1'))
    assert navigator.doing == 'sees a blocked corridor'
    driven.world.die('robot2')
    assert driven.drive(10, lambda: driven.is_inside('robot1'))
    assert driven.events == [Tow('robot2', -1.0, 0.0)]


def test_a_robot_that_loses_the_lease_in_the_corridor_leaves_it():
    driven = Driven(robot1='southeast')
    navigator = driven.navigators['robot1']
    navigator.go('P1')
    assert driven.drive(10, lambda: driven.pose('robot1').x < 0.5)
    left = lambda: not driven.is_inside('robot1') and not navigator.is_in_corridor  # noqa: E731
    assert driven.drive(6, left, lease=lambda _: False)
    assert driven.pose('robot1').x < CORRIDOR.west


def test_a_robot_stops_for_what_is_on_its_lane():
    driven = Driven(robot1='corner_nw', robot2='P3')
    navigator = driven.navigators['robot1']
    del driven.navigators['robot2']
    navigator.go('P3')
    assert not driven.drive(5, lambda: navigator.has_arrived)
    assert navigator.doing == 'stops for an obstacle'
    assert driven.events == []
    assert 0.1 < driven.world.checker.closest < 0.5


def test_who_comes_out_of_a_dock_lets_others_pass():
    driven = Driven(robot1='dock1', robot2='lane2')
    driven.navigators['robot1'].go('P1')
    driven.drive(0.5)
    assert driven.navigators['robot1'].doing == 'lets others pass'
    driven.navigators['robot2'].go('P1')
    assert driven.drive(10, lambda: driven.pose('robot1').y < -1.5)
    assert driven.pose('robot2').x < driven.pose('robot1').x
    assert driven.events == []


def test_a_new_goal_on_the_way_is_driven_to_by_the_lanes():
    driven = Driven(robot1='northeast')
    navigator = driven.navigators['robot1']
    navigator.go('D2')
    driven.drive(0.5)
    navigator.go('D1')
    assert driven.drive(10, lambda: navigator.has_arrived)
    assert math.dist(driven.pose('robot1')[:2], PLACES['D1'][1:3]) < 0.1


@pytest.mark.parametrize('robot', robot_names(MAX_ROBOTS))
def test_a_robot_comes_out_of_its_dock(robot):
    driven = Driven(**{robot: dock_of(robot)})
    driven.navigators[robot].go('P1')
    assert driven.drive(4, lambda: driven.pose(robot).y < -1.4)


@pytest.mark.parametrize('robot', ['robot1', 'robot6'])
def test_a_robot_comes_home(robot):
    driven = Driven(**{robot: 'D3'})
    navigator = driven.navigators[robot]
    navigator.go(dock_of(robot))
    assert driven.drive(15, lambda: navigator.has_arrived)
    assert driven.events == []
