# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The dead-man: when it stops a robot, and when it does not."""

import logging
import time

import pytest
from fakes import FakeClock, MemoryPublisher
from samples import TWIST

from redis_bridge.bridge.dead_man import DeadMan, close_all
from redis_bridge.counters import Counters
from redis_bridge.mapping.model import Stop


class Robot:
    """A dead-man over a publisher that keeps what is published."""

    def __init__(self, after_ms: int = 500, repeat: int = 3) -> None:
        self.clock = FakeClock()
        self.publisher = MemoryPublisher(TWIST, '/cmd_vel')
        self.counters = Counters()
        self.dead_man = DeadMan(
            Stop(after_ms=after_ms, repeat=repeat),
            self.publisher,
            b'stop',
            self.clock.call_at,
            logging.getLogger('test'),
            self.clock,
        )

    def command(self) -> bool:
        return self.dead_man.command(self.publisher, b'go', self.counters)

    @property
    def published(self) -> list[str]:
        return [message.decode() for message in self.publisher.published]


@pytest.fixture
def robot() -> Robot:
    return Robot()


def test_nothing_is_stopped_before_the_first_command(robot):
    robot.clock.move(10)
    robot.dead_man.trigger('Redis is lost')
    close_all([robot.dead_man])
    assert robot.published == []


def test_silence_stops_the_robot_as_often_as_asked_and_then_no_more(robot):
    robot.command()
    robot.clock.move(0.499)
    assert robot.published == ['go']
    robot.clock.move(0.002)
    assert robot.published == ['go', 'stop']
    robot.clock.move(10)
    assert robot.published == ['go', 'stop', 'stop', 'stop']
    assert robot.counters.snapshot()['noted'] == {'stop': 1}


def test_commands_that_keep_coming_keep_it_quiet(robot):
    for _ in range(20):
        robot.command()
        robot.clock.move(0.4)
    assert robot.published == ['go'] * 20


def test_a_new_command_ends_the_repeating_and_arms_it_again(robot):
    robot.command()
    robot.clock.move(0.51)
    robot.command()
    robot.clock.move(0.45)
    assert robot.published == ['go', 'stop', 'go']
    robot.clock.move(1)
    assert robot.published == ['go', 'stop', 'go', 'stop', 'stop', 'stop']


def test_the_loss_of_redis_stops_at_once(robot):
    robot.command()
    robot.dead_man.trigger('Redis is lost')
    assert robot.published == ['go', 'stop']


def test_closing_sends_all_stops_and_lets_no_command_pass_afterwards(robot):
    robot.command()
    close_all([robot.dead_man])
    assert robot.published == ['go', 'stop', 'stop', 'stop']
    assert robot.command() is False
    close_all([robot.dead_man])
    robot.clock.move(5)
    assert robot.published == ['go', 'stop', 'stop', 'stop']


def test_closing_while_stops_are_repeated_sends_the_rest(robot):
    robot.command()
    robot.clock.move(0.501)
    close_all([robot.dead_man])
    assert robot.published == ['go', 'stop', 'stop', 'stop']


def test_closing_many_stops_all_before_it_repeats_any():
    robots = [Robot() for _ in range(30)]
    order = []
    for number, robot in enumerate(robots):
        robot.command()
        robot.publisher.publish = lambda _, number=number: order.append(number)
    close_all(robot.dead_man for robot in robots)
    assert order == [*range(30)] * 3


def test_a_stop_message_that_fails_keeps_no_other_topic_from_its_own(robot, caplog):
    def fail(_):
        raise RuntimeError('no publisher')

    broken = Robot()
    broken.command()
    robot.command()
    broken.publisher.publish = fail
    close_all([broken.dead_man, robot.dead_man])
    assert robot.published == ['go', 'stop', 'stop', 'stop']
    assert '/cmd_vel: the stop message was not published' in caplog.text


def test_closing_does_not_repeat_for_long():
    robot = Robot(repeat=1000)
    robot.command()
    began = time.monotonic()
    close_all([robot.dead_man])
    assert time.monotonic() - began < 2  # 50 s for all of them
    assert 5 <= robot.published.count('stop') <= 12
