# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Rates and latencies between the reports of a route."""

from fakes import FakeClock

from redis_bridge.bridge.report import Rates, Reporter
from redis_bridge.counters import Counters
from redis_bridge.mapping.model import KeySinkConfig, RosToRedis
from redis_bridge.ports import RouteReport


def report(carried=0, latency_sum_s=0.0):
    return RouteReport(
        '/n -> key k',
        'ros_to_redis',
        'open',
        carried=carried,
        latency_sum_s=latency_sum_s,
        latency_count=carried,
    )


def filled(rates, **reports):
    return rates.fill(reports)


def test_the_first_report_of_a_route_has_no_rates():
    rates = Rates(FakeClock())
    assert filled(rates, a=report(100))['a'].rate_hz == 0.0


def test_rate_and_latency_are_means_since_the_report_before():
    clock = FakeClock()
    rates = Rates(clock)
    filled(rates, a=report(100, 1.0))
    clock.move(2.0)
    second = filled(rates, a=report(140, 1.2))['a']
    assert (second.rate_hz, second.latency_ms) == (20.0, 5.0)
    clock.move(2.0)
    third = filled(rates, a=report(140, 1.2))['a']
    assert (third.rate_hz, third.latency_ms) == (0.0, 0.0)


def test_a_report_that_follows_at_once_repeats_the_rates():
    clock = FakeClock()
    rates = Rates(clock)
    filled(rates, a=report())
    clock.move(1.0)
    filled(rates, a=report(10, 0.1))
    clock.move(0.1)
    assert filled(rates, a=report(11, 5.0))['a'].rate_hz == 10.0
    clock.move(0.9)
    later = filled(rates, a=report(30, 0.3))['a']
    assert (later.rate_hz, later.latency_ms) == (20.0, 10.0)


def test_reports_belong_together_by_id_wherever_they_are():
    clock = FakeClock()
    rates = Rates(clock)
    filled(rates, a=report(100), b=report(1000))
    clock.move(1.0)
    reports = filled(rates, c=report(7), b=report(1010))
    assert (reports['b'].rate_hz, reports['c'].rate_hz) == (10.0, 0.0)
    clock.move(1.0)
    assert filled(rates, a=report(5))['a'].rate_hz == 0.0  # a route that came back


def test_a_route_that_a_reload_has_changed_begins_without_rates():
    clock = FakeClock()
    rates = Rates(clock)
    filled(rates, a=report(1000, 9.0))
    clock.move(1.0)
    again = filled(rates, a=report(10, 0.1))['a']
    assert (again.rate_hz, again.latency_ms) == (0.0, 0.0)
    clock.move(1.0)
    assert filled(rates, a=report(30, 0.3))['a'].rate_hz == 20.0


def test_a_report_is_the_same_object_until_anything_changes():
    ends = Counters(), Counters()
    route = RosToRedis(where='test.yaml:1', topic='/n', sinks=(KeySinkConfig('k'),))
    reporter = Reporter(route, *ends)
    first = reporter.report('open')
    assert reporter.report('open') is first
    assert reporter.report('error: x').state == 'error: x'
    changes = [
        lambda end: end.carry(1, 10),
        lambda end: end.drop('too_old'),
        lambda end: end.count_event('gap'),
    ]
    for end in ends:
        for change in changes:
            before = reporter.report('open')
            change(end)
            assert reporter.report('open') != before


def test_complete_reports_are_the_same_objects_while_the_rates_stay():
    clock = FakeClock()
    rates = Rates(clock)
    idle, busy = report(5), report(5)
    first = filled(rates, idle=idle, busy=busy)
    clock.move(1.0)
    second = filled(rates, idle=idle, busy=report(15))
    assert second['idle'] is first['idle']
    assert second['busy'].rate_hz == 10.0
    clock.move(0.1)
    soon = filled(rates, idle=idle, busy=report(16))
    assert (soon['idle'], soon['busy'].carried) == (first['idle'], 16)
    stays = report(16)
    clock.move(1.0)
    assert filled(rates, idle=idle, busy=stays)['busy'].rate_hz > 0.0
    clock.move(1.0)
    ended = filled(rates, idle=idle, busy=stays)
    assert ended['busy'].rate_hz == 0.0
    clock.move(1.0)
    assert filled(rates, idle=idle, busy=stays)['busy'] is ended['busy']
