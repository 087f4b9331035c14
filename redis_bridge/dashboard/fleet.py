# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Follows a fleet through the client, and keeps the board up to date.

Three threads: one looks once a second at the roster, the heartbeats and what bridges describe; one
watches all names that the page needs; one writes changes of the roster into the log of events.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from redis_bridge.client.client import Client, NameInfo, Notice, Queue, RobotEvent, Update, Watch
from redis_bridge.dashboard.board import Board, Value
from redis_bridge.dashboard.names import Names, Pair, Reading, find_names
from redis_bridge.dashboard.readings import TAKEN, Grid, Unfit
from redis_bridge.errors import BridgeError, RedisError
from redis_bridge.protocol import keys
from redis_bridge.protocol.fleet import LOST, ONLINE
from redis_bridge.protocol.robot_status import Robot

LOG = logging.getLogger('redis_bridge.dashboard')
LOOK_S = 1.0  # between two looks at heartbeats
DESCRIBED_S = 3.0  # between two looks at what bridges describe
TICK_S = 0.05  # a name is decoded at most once in this time
GONE = 'gone'  # the state of a robot that a bridge for several robots no longer carries
FLEET = (keys.FLEET, 'channel')  # is always followed, so that a lost connection is noticed
SAME_TIME_S = 0.3  # between a scan and the pose from which it is drawn
MOST_ROUTES = 300  # of a robot, that are shown


class _Arrival(NamedTuple):
    """When something last came under a name."""

    at: float  # monotonic
    every_s: float  # a moving mean of the time between two


class Fleet:
    """What is known of all robots, on a board; `start` begins and `close` ends it.

    `names` is what was found, and is replaced, never changed. `grids` are the cells of occupancy
    grids, by name.
    """

    def __init__(self, client: Client, board: Board) -> None:
        self.names = Names()
        self.grids: Mapping[str, bytes] = {}
        self._client = client
        self._board = board
        self._closing = threading.Event()
        self._wake = threading.Event()  # for the thread that looks
        self._scanned: frozenset[str] = frozenset()
        self._unfit: frozenset[Pair] = frozenset()
        self._unreadable: dict[str, str] = {}  # by name
        self._described: dict[str, dict[str, NameInfo]] = {}
        self._queues: dict[str, Queue] = {}
        self._described_of: tuple[list[str], float] = ([], -DESCRIBED_S)
        self._arrivals: dict[Pair, _Arrival] = {}
        self._lock = threading.Lock()  # over problems
        self._problems: dict[str, str] = {}  # why Redis is not reached, by thread
        self._threads = [
            threading.Thread(
                target=self._keep_up, args=(work,), name=f'dashboard {work.__name__}', daemon=True
            )
            for work in (self._look, self._watch, self._report)
        ]

    def start(self) -> None:
        """Start the threads; Redis need not be there."""
        now = round(self._board.now(), 3)
        self._board.put('redis', '', {'ok': False, 'since': now, 'seen': now, 'text': ''})
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads, and close the client."""
        self._closing.set()
        self._wake.set()
        self._client.close()
        for thread in self._threads:
            thread.join(5.0)

    def scan_only(self, robots: Collection[str]) -> None:
        """Follow the laser scans of exactly these robots from now on."""
        self._scanned = frozenset(robots)

    def _keep_up(self, work: Callable[[], None]) -> None:
        """Do the work of a thread; an internal error is logged, and does not end it."""
        while not self._closing.is_set():
            try:
                work()
            except Exception:
                LOG.exception('internal error')
                self._closing.wait(LOOK_S)

    # -- heartbeats, once a second --------------------------------------------------------------

    def _look(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            try:
                self._board.set_clock(self._client.now())
                self._look_once()
                self._set_problem('look', None)
            except RedisError as error:
                self._set_problem('look', str(error))
            self._wake.wait(LOOK_S)

    def _look_once(self) -> None:
        roster = {event.robot: event for event in self._client.roster()}
        bridges = sorted(roster)
        beating = {
            robot.name: robot
            for robot in self._client.robots(
                [name for name, event in roster.items() if event.event == ONLINE],
                on_notice=lambda notice: LOG.debug('%s', notice),
            )
        }
        known, at = self._described_of
        if known != bridges or time.monotonic() - at >= DESCRIBED_S or not self.names.readings:
            self._described = self._client.described(bridges)
            self._described_of = (bridges, time.monotonic())
        names = find_names(self._described, self._unfit)
        self.names = names
        robots: dict[str, Value] = {}
        routes: dict[str, Value] = {}
        carriers = {*names.bridges.values()}
        members = {**names.bridges, **{name: name for name in bridges if name not in carriers}}
        for robot, bridge in members.items():
            event, beat = roster.get(bridge), beating.get(bridge)
            if event is not None:
                robots[robot] = self._summary(robot, event, beat)
                routes[robot] = _routes(beat)
        for robot in self._board.keys('robot') - robots.keys():
            robots[robot] = self._gone(robot)
        self._board.keep_only('robot', robots)
        self._board.keep_only('routes', routes)
        leases = self._client.leases()
        self._board.keep_only('lease', {each.name: each._asdict() for each in leases})
        self._board.keep_only('queue', {name: self._queue(name) for name in self._client.queues()})

    def _summary(self, robot: str, event: RobotEvent, beat: Robot | None) -> dict[str, Any]:
        names = self.names
        summary: dict[str, Any] = {
            'bridge': event.robot,
            'state': event.event,
            'since': self._since(robot, event),
            'host': event.host,
            'goes': robot in names.goals,
            'stops': robot in names.stops,
            'scans': any(
                (reading.section, reading.robot) == ('scan', robot)
                for reading in names.readings.values()
            ),
            'trouble': '; '.join(
                why
                for (name, _), reading in names.readings.items()
                if reading.robot == robot and (why := self._unreadable.get(name))
            ),
        }
        if beat is not None:
            summary |= _totals(beat)
        return summary

    def _since(self, robot: str, event: RobotEvent) -> float:
        """Return since when a robot is in its state; a loss that nobody reported has no date."""
        known = self._board.get('robot', robot)
        if event.event == LOST and isinstance(known, dict) and known['state'] == LOST:
            return min(event.stamp, float(known['since']))
        return event.stamp

    def _gone(self, robot: str) -> Value:
        known = self._board.get('robot', robot)
        summary = dict(known) if isinstance(known, dict) else {}
        if summary.get('state') != GONE:
            summary |= {'state': GONE, 'since': round(self._board.now(), 3), 'goes': False}
            summary |= {'stops': False, 'scans': False}
        return summary

    def _queue(self, name: str) -> Value:
        try:
            if name not in self._queues:
                self._queues[name] = self._client.queue(name)
            status = self._queues[name].status(most=1)
        except RedisError:
            raise
        except BridgeError as error:
            return {'text': str(error)}
        return {
            'waiting': status.waiting, 'claimed': len(status.claimed), 'dead': status.dead_total,
        }  # fmt: skip

    # -- messages -------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closing.is_set():
            try:
                with self._client.watch(
                    FLEET[0], kind=FLEET[1], deliver='latest', on_notice=self._take_notice
                ) as watch:
                    self._set_problem('watch', None)
                    self._follow(watch)
            except RedisError as error:
                self._set_problem('watch', str(error))
                self._closing.wait(LOOK_S)

    def _follow(self, watch: Watch) -> None:
        """Take what comes, at most once per tick of each name."""
        applied: Collection[Pair] = ()
        again_at = 0.0
        while not self._closing.is_set():
            tick_at = time.monotonic() + TICK_S
            readings = self.names.readings
            wanted = {FLEET} | {
                pair
                for pair, reading in readings.items()
                if reading.section != 'scan' or reading.robot in self._scanned
            }
            if wanted != applied and time.monotonic() >= again_at:
                try:
                    watch.want(wanted)
                    applied = wanted
                except RedisError as error:  # all that can be read is followed
                    LOG.debug('%s', error)
                    again_at = time.monotonic() + LOOK_S
                self._forget(wanted)
            update = watch.wait(TICK_S)
            while update is not None and not self._closing.is_set():
                pair = (update.name, update.kind)
                if pair in readings:
                    self._take(update, pair, readings[pair])
                elif pair == FLEET:
                    self._wake.set()
                if time.monotonic() >= tick_at:
                    break
                update = watch.wait(0)
            self._closing.wait(max(0.0, tick_at - time.monotonic()))

    def _take(self, update: Update, pair: Pair, reading: Reading) -> None:
        if update.value is None:
            return  # a key that expired: its age says so
        self._unreadable.pop(update.name, None)
        arrival = self._arrived(pair)
        _, take = TAKEN[reading.type]
        try:
            taken = take(update.value)
        except Unfit as error:
            LOG.debug('%s %s: %s', update.kind, update.name, error)
            self._unfit |= {pair}
            return
        if taken is None:
            return
        now = self._board.now()
        stamp = None if update.meta is None else min(update.meta.stamp, now)
        if stamp is None and arrival.every_s:
            stamp = now  # the first value may be old: what is stored has no date
        at = None if stamp is None else round(stamp, 3)
        key = update.name if isinstance(taken, Grid) else reading.robot
        if isinstance(taken, Grid):
            self.grids = {**self.grids, key: taken.cells}
            taken = {**taken.place, 'robot': reading.robot, 'size': len(taken.cells)}
        elif reading.section == 'scan':
            taken['from'] = self._place_at(reading.robot, stamp)
        every = round(arrival.every_s, 2)
        self._board.put(
            reading.section, key, {**taken, 'at': at, 'every': every, 'name': update.name}
        )

    def _place_at(self, robot: str, stamp: float | None) -> Value | None:
        """Return the pose from which a scan was taken; None if none of about then is known."""
        pose = self._board.get('pose', robot)
        if not isinstance(pose, dict) or stamp is None or pose['at'] is None:
            return None
        is_then = abs(stamp - pose['at']) < SAME_TIME_S
        return {name: pose[name] for name in ('x', 'y', 'yaw')} if is_then else None

    def _arrived(self, pair: Pair) -> _Arrival:
        now = time.monotonic()
        last = self._arrivals.get(pair)
        if last is None:
            arrival = _Arrival(now, 0.0)
        else:
            passed = min(now - last.at, 10.0)
            mean = 0.9 * last.every_s + 0.1 * passed if last.every_s else passed
            arrival = _Arrival(now, mean)
        self._arrivals[pair] = arrival
        return arrival

    def _forget(self, wanted: Collection[Pair]) -> None:
        """Forget what is not followed any more, but for poses, which show where robots were."""
        self._arrivals = {p: arrival for p, arrival in self._arrivals.items() if p in wanted}
        for robot in self._board.keys('scan') - self._scanned:
            self._board.remove('scan', robot)
        grids = {name for name, _ in wanted}
        for name in self._board.keys('grid') - grids:
            self._board.remove('grid', name)
            self.grids = {n: cells for n, cells in self.grids.items() if n != name}

    def _take_notice(self, notice: Notice) -> None:
        if notice.event == 'connected':
            self._set_problem('watch', None)
        elif notice.event == 'lost':
            self._set_problem('watch', notice.text)
        elif notice.name is not None:
            self._unreadable[notice.name] = str(notice)

    # -- changes of the roster ------------------------------------------------------------------

    def _report(self) -> None:
        while not self._closing.is_set():
            try:
                with self._client.watch_robots(
                    on_notice=lambda notice: LOG.debug('%s', notice)
                ) as watch:
                    for event in watch:
                        self._board.log(_told(event), event.robot, event.event, event.stamp)
                        self._wake.set()
            except RedisError as error:
                LOG.debug('%s', error)
                self._closing.wait(LOOK_S)

    def _set_problem(self, thread: str, text: str | None) -> None:
        """Note whether Redis is reached; the log and the page learn what changed.

        `seen` is when it answered the look of each second: it also stops while Redis is frozen.
        """
        with self._lock:
            if text is None:
                self._problems.pop(thread, None)
            else:
                self._problems[thread] = text
            problem = next(iter(self._problems.values()), None)
            known = self._board.get('redis', '')
            was_ok = isinstance(known, dict) and known['ok']
            now = round(self._board.now(), 3)
            since, seen = (
                (known['since'], known['seen']) if isinstance(known, dict) else (now, now)
            )
            if thread == 'look' and text is None:
                seen = now
            if was_ok != (problem is None):
                since = now
                self._board.log(
                    'Redis is reached' if problem is None else 'Redis is not reached',
                    kind='redis' if problem is None else LOST,
                )
            self._board.put(
                'redis', '',
                {'ok': problem is None, 'since': since, 'seen': seen, 'text': problem or ''},
            )  # fmt: skip


def _told(event: RobotEvent) -> str:
    return {
        ONLINE: f'online on {event.host}',
        LOST: f'lost: no heartbeat from {event.host}',
    }.get(event.event, f'left in order, was on {event.host}')


def _reports(beat: Robot | None) -> list[dict[str, Any]]:
    found = () if beat is None else beat.status.get('routes') or ()
    return [route for route in found if isinstance(route, dict)]


def _totals(beat: Robot) -> dict[str, Any]:
    """Return the sums over the routes of a bridge; every field may be missing."""
    routes = _reports(beat)
    states = beat.status.get('state')
    connections = states.items() if isinstance(states, dict) else ()
    return {
        'open': sum(route.get('state') == 'open' for route in routes),
        'routes': len(routes),
        'rate': round(sum(_number(route.get('rate_hz')) for route in routes), 1),
        'latency': max((_number(route.get('latency_ms')) for route in routes), default=0.0),
        'dropped': sum(_dropped(route) for route in routes),
        'connection': '; '.join(
            f'{role}: {text}' for role, text in connections if text != 'connected'
        ),
    }


def _routes(beat: Robot | None) -> Value:
    """Return what the page shows of each route."""
    return [
        {
            'route': str(route.get('route', ''))[:300],
            'inbound': route.get('direction') == 'redis_to_ros',
            'state': str(route.get('state', ''))[:300],
            'rate': round(_number(route.get('rate_hz')), 1),
            'latency': round(_number(route.get('latency_ms')), 1),
            'dropped': _dropped(route),
            'why': ', '.join(
                f'{count} {reason}' for reason, count in sorted(_drops(route).items())
            )[:300],
        }
        for route in _reports(beat)[:MOST_ROUTES]
    ]


def _drops(route: Mapping[str, Any]) -> dict[str, Any]:
    dropped = route.get('dropped')
    return dropped if isinstance(dropped, dict) else {}


def _dropped(route: Mapping[str, Any]) -> int:
    return int(sum(_number(count) for count in _drops(route).values()))


def _number(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e18 else 0.0
