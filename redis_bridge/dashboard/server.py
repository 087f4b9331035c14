# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Serves the page, and sends each browser what has changed as fast as the browser takes it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any

from aiohttp import WSMsgType, web

from redis_bridge.dashboard.board import Board, Changes
from redis_bridge.dashboard.control import Control
from redis_bridge.dashboard.fleet import Fleet
from redis_bridge.dashboard.guard import HEADERS, Guard
from redis_bridge.errors import BridgeError
from redis_bridge.protocol.fleet import ONLINE

LOG = logging.getLogger('redis_bridge.dashboard')
TICK_S = 0.05  # at most 20 messages per second and browser
BEAT_S = 0.5  # a browser hears something at least so often, if it takes what it gets
UNACKNOWLEDGED = 2  # messages that a browser may have before it has said that it took them
MOST_BROWSERS = 100
MOST_BYTES = 4096  # of a message from a browser
MOST_REPLIES = 20  # that wait for a browser
PING_S = 20.0  # a browser that does not answer is gone
WRONG_TOKEN_S = 1.0  # the next try is taken so much later
OF_ONE_ROBOT = ('scan', 'routes')  # sent only to browsers that chose the robot
TYPES = {
    '.html': 'text/html',
    '.css': 'text/css',
    '.js': 'text/javascript',
    '.svg': 'image/svg+xml',
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dashboard:
    """The web application: its files, the cells of grids, and one WebSocket per browser."""

    def __init__(self, board: Board, fleet: Fleet, control: Control, guard: Guard) -> None:
        self._board = board
        self._fleet = fleet
        self._control = control
        self._guard = guard
        self._files = _read_files()
        self._browsers: set[_Browser] = set()

    def app(self) -> web.Application:
        """Return the application to run."""
        app = web.Application(middlewares=[self._check], client_max_size=MOST_BYTES)
        app.router.add_get('/live', self._live)
        app.router.add_get('/grid', self._grid)
        app.router.add_get('/{name:.*}', self._file)
        app.on_shutdown.append(self._end)
        return app

    @web.middleware
    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get('Host'), request.headers.get('Origin')
        if not self._guard.accepts_host(host):
            response: web.StreamResponse = web.Response(
                status=403,
                text='This name does not lead to a dashboard: use its address, or start it with '
                'this name as --host.\n',
            )
        elif origin is not None and not self._guard.accepts_origin(origin, host):
            response = web.Response(status=403, text='Other web pages have no access.\n')
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = web.Response(status=error.status, text=f'{error.reason}\n')
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _file(self, request: web.Request) -> web.StreamResponse:
        found = self._files.get(request.match_info['name'] or 'index.html')
        if found is None:
            raise web.HTTPNotFound
        body, content_type = found
        return web.Response(body=body, content_type=content_type, charset='utf-8')

    async def _grid(self, request: web.Request) -> web.StreamResponse:
        cells = self._fleet.grids.get(request.query.get('name', ''))
        if cells is None:
            raise web.HTTPNotFound
        return web.Response(
            body=cells,
            content_type='application/octet-stream',
            headers={'Content-Encoding': 'deflate'},
        )

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get('Origin') is None:  # a browser always sends it
            raise web.HTTPForbidden
        if len(self._browsers) >= MOST_BROWSERS:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse(heartbeat=PING_S, max_msg_size=MOST_BYTES)
        socket.headers.update(HEADERS)
        await socket.prepare(request)
        browser = _Browser(self, socket, request.transport)
        self._browsers.add(browser)
        sender = asyncio.create_task(browser.send())
        try:
            await browser.receive()
        finally:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sender
            self._browsers.discard(browser)
            self.choose()
        return socket

    async def _end(self, app: web.Application) -> None:
        for browser in list(self._browsers):
            await browser.close()

    def choose(self) -> None:
        """Have the laser scans followed that browsers look at."""
        self._fleet.scan_only({b.chosen for b in self._browsers if b.chosen is not None})

    def changes(self, since: int) -> tuple[int, Changes]:
        """See `Board.changes`."""
        return self._board.changes(since)

    def part(self, robot: str) -> Changes:
        """Return what is sent only to browsers that chose this robot."""
        return {section: {robot: self._board.get(section, robot)} for section in OF_ONE_ROBOT}

    def now(self) -> float:
        """See `Board.now`."""
        return self._board.now()

    def is_token(self, token: object) -> bool:
        """See `Guard.accepts_token`."""
        return self._guard.accepts_token(token)

    async def go(self, order: Mapping[str, Any]) -> str:
        """Send a robot to a place; returns what to tell the user."""
        robot = order.get('robot')
        x, y, yaw = (order.get(part) for part in ('x', 'y', 'yaw'))
        known = self._board.get('robot', robot) if isinstance(robot, str) else None
        is_place = all(isinstance(n, (int, float)) and abs(n) < 1e6 for n in (x, y, yaw))
        if not isinstance(robot, str) or not isinstance(known, dict) or not is_place:
            raise BridgeError('expected a robot that is known, and x, y and yaw as numbers')
        if known['state'] != ONLINE:
            raise BridgeError(f'{robot} is {known["state"]}')
        pose = self._board.get('pose', robot)
        frame = str(pose['frame']) if isinstance(pose, dict) else ''
        done = await asyncio.to_thread(
            self._control.go, robot, float(x or 0), float(y or 0), float(yaw or 0), frame
        )
        self._board.log(done, robot, 'order')
        return f'{robot}: {done}'

    async def stop(self, order: Mapping[str, Any]) -> str:
        """Stop one robot, or all; returns what to tell the user."""
        names = self._fleet.names
        robot = order.get('robot')
        if robot is None:
            robots = sorted(names.stops)
        elif isinstance(robot, str) and robot in names.bridges:
            robots = [robot]
        else:
            raise BridgeError('expected a robot that is known')
        if not robots:
            raise BridgeError('no robot takes commands: no bridge reads a Twist')
        outcome = await asyncio.to_thread(self._control.stop, robots)
        failed = {name: why for name, why in outcome.items() if why is not None}
        done = [name for name in outcome if name not in failed]
        if len(done) > 1:
            self._board.log(f'stop sent to {len(done)} robots', kind='order')
        elif done:
            self._board.log('stop sent', done[0], 'order')
        for name, why in failed.items():
            self._board.log(f'stop not sent: {why}', name, 'order')
        if failed:
            whys = '; '.join(f'{name}: {why}' for name, why in list(failed.items())[:5])
            raise BridgeError(f'stop was sent to {len(done)} of {len(outcome)}: {whys}')
        return f'stop was sent to {robots[0] if robot else f"all {len(done)} robots"}'


class _Browser:
    """One browser: what it has, and what it may do. Nothing waits for it but a few replies."""

    def __init__(
        self,
        dashboard: Dashboard,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
    ) -> None:
        self.chosen: str | None = None
        self._dashboard = dashboard
        self._socket = socket
        self._transport = transport
        self._may_control = False
        self._sent = 0
        self._acknowledged = 0
        self._has_chosen = False  # since the last message
        self._replies: list[dict[str, Any]] = []

    async def send(self) -> None:
        """Send what has changed, whenever the browser has taken what was sent before."""
        version, beat_at = 0, 0.0
        loop = asyncio.get_running_loop()
        while not self._socket.closed:
            if self._is_free():
                new_version, changes = self._dashboard.changes(version)
                message = self._message(changes)
                if message or not version or loop.time() >= beat_at:
                    self._sent += 1
                    message |= {'n': self._sent, 'now': round(self._dashboard.now(), 3)}
                    await self._socket.send_str(json.dumps(message, separators=(',', ':')))
                    beat_at = loop.time() + BEAT_S
                version = new_version
            await asyncio.sleep(TICK_S)

    async def receive(self) -> None:
        """Do what the browser asks for, until it is gone or sends what no page of ours sends."""
        async for message in self._socket:
            try:
                order = json.loads(message.data) if message.type == WSMsgType.TEXT else None
            except (ValueError, RecursionError):
                order = None
            if not isinstance(order, dict):
                await self._socket.close(code=1003, message=b'expected a JSON object')
                return
            await self._obey(order)

    async def close(self) -> None:
        """End the connection."""
        await self._socket.close(code=1001, message=b'the dashboard ends')

    def _is_free(self) -> bool:
        is_flushed = self._transport is None or not self._transport.get_write_buffer_size()
        return is_flushed and self._sent - self._acknowledged < UNACKNOWLEDGED

    def _message(self, changes: Changes) -> dict[str, Any]:
        """Return what this browser is sent of all changes."""
        for section in OF_ONE_ROBOT:
            values = changes.pop(section, {})
            if self.chosen in values:
                changes[section] = {str(self.chosen): values[str(self.chosen)]}
        if self._has_chosen:
            self._has_chosen = False
            if self.chosen is not None:
                changes |= self._dashboard.part(self.chosen)
        message: dict[str, Any] = {'set': changes} if changes else {}
        if self._replies:
            message['replies'], self._replies = self._replies, []
        return message

    async def _obey(self, order: dict[str, Any]) -> None:
        word = order.get('do')
        if word == 'ack':
            number = order.get('n')
            if isinstance(number, int) and self._acknowledged < number <= self._sent:
                self._acknowledged = number
        elif word == 'choose':
            robot = order.get('robot')
            self.chosen = robot if isinstance(robot, str) else None
            self._has_chosen = True
            self._dashboard.choose()
        elif word == 'token':
            self._may_control = self._dashboard.is_token(order.get('token'))
            if not self._may_control:
                LOG.warning('a wrong token was sent')
                await asyncio.sleep(WRONG_TOKEN_S)
            text = 'Control is on' if self._may_control else 'The token is wrong'
            self._reply('token', self._may_control, text)
        elif word in ('go', 'stop'):
            await self._control(word, order)
        else:
            self._reply('error', False, 'unknown order')

    async def _control(self, word: str, order: dict[str, Any]) -> None:
        if not self._may_control:
            self._reply(word, False, 'Enter the token first')
            return
        try:
            run = self._dashboard.go if word == 'go' else self._dashboard.stop
            self._reply(word, True, await run(order))
        except BridgeError as error:
            self._reply(word, False, str(error))

    def _reply(self, to: str, is_done: bool, text: str) -> None:
        self._replies = [*self._replies, {'to': to, 'ok': is_done, 'text': text}][-MOST_REPLIES:]


def _read_files() -> dict[str, tuple[bytes, str]]:
    """Return the files of the page by name: no path of a request is ever opened."""
    folder = resources.files('redis_bridge.dashboard') / 'static'
    return {
        file.name: (file.read_bytes(), TYPES[ending])
        for file in folder.iterdir()
        for ending in TYPES
        if file.name.endswith(ending)
    }


async def serve(dashboard: Dashboard, host: str, port: int) -> web.AppRunner:
    """Start to serve; the caller cleans the runner up.

    :raises BridgeError: the address cannot be bound.
    """
    runner = web.AppRunner(dashboard.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise BridgeError(
            f'cannot listen at {host}:{port}: {error.strerror or error}: choose another --port '
            'or --host'
        ) from None
    return runner
