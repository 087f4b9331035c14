# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The dashboard's server: what it serves, to whom, and what it does for those who may."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import zlib

import pytest

pytest.importorskip('aiohttp')

import aiohttp
from dashboards import TOKEN, DashboardProcess, Page
from fake_fleet import FakeFleet
from support import eventually

from redis_bridge import Client
from redis_bridge.dashboard.control import STOP_FOR_S
from redis_bridge.payloads import CODECS


@pytest.fixture
def fleet(db):
    fleet = FakeFleet(db, ['robot1', 'robot2'])
    fleet.describe()
    fleet.beat()
    return fleet


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """Give a dashboard whose Redis is never there."""
    folder = tmp_path_factory.mktemp('alone')
    with DashboardProcess(folder, 'redis://127.0.0.1:1/0') as dashboard:
        yield dashboard


@pytest.fixture
def dashboard(tmp_path, redis_server):
    with DashboardProcess(tmp_path, redis_server.url) as dashboard:
        yield dashboard


def with_page(dashboard, work, seconds=30):
    """Run `work(page)` over a WebSocket, as the page does."""

    async def run():
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(
                f'{dashboard.url}live', origin=dashboard.url[:-1], max_msg_size=0
            ) as socket:
                return await asyncio.wait_for(work(Page(socket)), seconds)

    return asyncio.run(run())


async def until(page, condition):
    while not condition(page.state):
        await page.hear()


# -- who is answered ------------------------------------------------------------------------------
def test_the_page_is_served_with_headers_that_keep_scripts_of_others_out(alone):
    head, _, body = alone.get().partition(b'\r\n\r\n')
    assert head.startswith(b'HTTP/1.1 200')
    assert b"Content-Security-Policy: default-src 'none'; script-src 'self'" in head
    assert b'unsafe' not in head
    assert b'X-Content-Type-Options: nosniff' in head
    assert b'<script type="module" src="main.js">' in body
    assert TOKEN.encode() not in head + body
    assert b'text/javascript' in alone.get('/main.js')
    assert b'text/css' in alone.get('/style.css')


def test_nothing_is_loaded_from_elsewhere(alone):
    for name in ('/', '/main.js', '/live.js', '/map.js', '/panel.js', '/style.css'):
        body = alone.get(name).partition(b'\r\n\r\n')[2]
        assert b'http://' not in body and b'https://' not in body, name


@pytest.mark.parametrize(
    'path',
    [
        '/../server.py', '/%2e%2e/server.py', '/..%2fserver.py', '/static/../../server.py',
        '//etc/passwd', '/etc/passwd', '/%00', '/__init__.py', '/server.py', '/grid?name=../x',
        '/grid',
    ],
)  # fmt: skip
def test_no_path_leads_to_other_files(alone, path):
    answer = alone.get(path)
    assert answer.split()[1] in (b'400', b'404'), answer
    assert b'import' not in answer and b'root:' not in answer


@pytest.mark.parametrize('path', ['/', '/main.js', '/live', '/grid?name=map'])
@pytest.mark.parametrize(
    'headers',
    [
        {'Host': 'evil.example'},
        {'Host': 'evil.example', 'Origin': 'http://evil.example'},
        {'Origin': 'http://evil.example'},
        {'Origin': 'null'},
    ],
)
def test_another_host_or_origin_is_rejected(alone, path, headers):
    answer = alone.get(path, **headers)
    assert answer.startswith(b'HTTP/1.1 403')
    assert b"Content-Security-Policy: default-src 'none'" in answer


def test_a_websocket_without_an_origin_is_rejected(alone):
    assert alone.get('/live', Upgrade='websocket').startswith(b'HTTP/1.1 403')


# -- what a browser sends -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('text', 'code'),
    [('{', 1003), ('[]', 1003), ('1', 1003), ('[' * 2000, 1003), ('"' + 'x' * 5000 + '"', 1009)],
)
def test_what_no_page_of_ours_sends_ends_the_connection(alone, text, code):
    async def work(page):
        await page._socket.send_str(text)
        while (message := await page._socket.receive(timeout=10)).type == aiohttp.WSMsgType.TEXT:
            pass
        return page._socket.close_code or message.data

    assert with_page(alone, work) == code
    assert alone.get().startswith(b'HTTP/1.1 200')


def test_invalid_orders_are_answered_and_do_nothing(fleet, dashboard, db):
    orders = [
        {'do': 'dance'}, {'do': 1}, {}, {'do': 'ack', 'n': 'x'}, {'do': 'ack', 'n': 10**9},
        {'do': 'go', 'robot': 'robot1', 'x': 'a', 'y': 0, 'yaw': 0},
        {'do': 'go', 'robot': 'robot1', 'x': 1e999, 'y': 0, 'yaw': 0},
        {'do': 'go', 'robot': ['robot1']},
        {'do': 'go', 'robot': 'nobody', 'x': 1, 'y': 1, 'yaw': 1},
        {'do': 'stop', 'robot': 'nobody'}, {'do': 'stop', 'robot': {}},
        {'do': 'choose', 'robot': 7},
    ]  # fmt: skip

    async def work(page):
        await until(page, lambda state: len(state.get('robot', ())) == 2)
        await page.say(do='token', token=TOKEN)
        assert (await page.reply())['ok']
        for order in orders:
            await page.say(**order)
        return [await page.reply() for order in orders if order.get('do') not in ('ack', 'choose')]

    assert [reply['ok'] for reply in with_page(dashboard, work)] == [False] * 9


# -- what a browser gets --------------------------------------------------------------------------
def test_a_browser_gets_robots_their_poses_and_the_scan_of_the_chosen_one(fleet, dashboard):
    async def work(page):
        await page.say(do='choose', robot='robot2')
        await until(page, lambda state: len(state.get('robot', ())) == 2)

        def is_there(state):
            fleet.move()
            has_scan = state.get('scan', {}).get('robot2') is not None  # None: none so far
            return len(state.get('pose', ())) == 2 and has_scan and 'battery' in state

        await until(page, is_there)
        return page.state

    state = with_page(dashboard, work)
    assert state['scan'].keys() == {'robot2'} == state['routes'].keys()
    assert len(state['scan']['robot2']['cm']) == 360
    assert state['robot']['robot1']['state'] == 'online'
    assert state['robot']['robot1']['goes'] and state['robot']['robot1']['stops']
    assert state['battery']['robot1']['charge'] == 0.15
    assert abs(state['pose']['robot1']['at'] - time.time()) < 5
    assert {route['state'] for route in state['routes']['robot2']} == {'open'}


def test_a_browser_that_takes_nothing_is_sent_two_messages_and_then_the_newest(fleet, dashboard):
    async def work(page):
        await until(page, lambda state: len(state.get('robot', ())) == 2)
        await page.hear()
        first = [await page.hear(acknowledge=False) for _ in range(2)]
        end = time.monotonic() + 2.0
        sent = 0
        while time.monotonic() < end:
            fleet.move()
            sent += 1
            with pytest.raises(asyncio.TimeoutError):
                await page._socket.receive_str(timeout=0.05)
        await page.say(do='ack', n=first[-1]['n'])
        await page.hear()
        return sent, page.state['pose']['robot1']['at']

    sent, at = with_page(dashboard, work)
    assert sent > 5
    assert time.time() - at < 1.5  # not one of those in between


def test_a_slow_browser_does_not_delay_another_one(fleet, dashboard):
    async def slow(page):
        await page.hear(acknowledge=False)

        async def fast(other):
            await until(other, lambda state: len(state.get('robot', ())) == 2)
            ages = []
            while len(ages) < 20:
                fleet.move()
                message = await other.hear()
                poses = message.get('set', {}).get('pose', {})
                ages += [time.time() - pose['at'] for pose in poses.values()]
            return sorted(ages)

        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f'{dashboard.url}live', origin=dashboard.url[:-1]) as ws:
                return await fast(Page(ws))

    ages = with_page(dashboard, slow)
    assert ages[len(ages) // 2] < 0.5


def test_the_cells_of_a_grid_are_compressed(fleet, dashboard):
    fleet.map('map', 50)

    async def work(page):
        await until(page, lambda state: 'grid' in state)
        return page.state['grid']['map']

    place = with_page(dashboard, work)
    head, _, body = dashboard.get('/grid?name=map').partition(b'\r\n\r\n')
    assert b'Content-Encoding: deflate' in head
    assert (place['width'], place['height'], place['frame']) == (50, 50, 'map')
    assert set(zlib.decompress(body)) == {0, 100, 255}


def test_robots_that_are_lost_and_leases_and_queues_are_shown(fleet, dashboard, redis_server):
    with Client(redis_server.url, origin='robot1') as client:
        client.queue('tasks').put({'n': 1})
        with client.lease('dock', ttl_ms=500):

            async def work(page):
                await until(page, lambda state: 'robot1' in state.get('robot', ()))
                fleet.lose('robot1')
                await until(page, lambda state: state['robot']['robot1']['state'] == 'lost')
                await until(page, lambda state: 'lease' in state and 'queue' in state)
                return page.state

            state = with_page(dashboard, work)
    assert state['lease']['dock']['holder'] == 'robot1'
    assert state['queue']['tasks'] == {'waiting': 1, 'claimed': 0, 'dead': 0}
    assert abs(state['robot']['robot1']['since'] - time.time()) < 10
    assert ('robot1', 'lost') in [(e['robot'], e['kind']) for e in state['event'].values()]


def test_a_channel_of_notices_is_no_pose_and_the_key_is_read(db, dashboard):
    fleet = FakeFleet(db, ['robot1'])
    fleet.describe()
    fleet.beat()
    db.hset('redis_bridge:meta:robot1:odom', 'key', 'json')

    async def work(page):
        def is_there(state):
            db.publish(
                'robot1:odom', CODECS['msgpack'].pack({'key': 'robot1:odom', 'seq': 1}, None)
            )
            stamp = time.time()
            pose = {'position': {'x': 1, 'y': 2}, 'orientation': {'x': 0, 'y': 0, 'z': 0, 'w': 1}}
            meta = {'origin': 'robot1/x', 'seq': 1, 'stamp': stamp}
            db.set('robot1:odom', json.dumps({'pose': {'pose': pose}, '_meta': meta}))
            return 'pose' in state

        await until(page, is_there)
        return page.state['pose']['robot1']

    assert with_page(dashboard, work)['x'] == 1


def test_a_stored_pose_without_a_date_is_of_unknown_age(db, dashboard):
    fleet = FakeFleet(db, ['robot1'])
    fleet.describe()
    fleet.beat()
    db.hdel('redis_bridge:meta:robot1:odom', 'channel')
    db.hset('redis_bridge:meta:robot1:odom', 'key', 'json')
    pose = {'position': {'x': 1, 'y': 2}, 'orientation': {'x': 0, 'y': 0, 'z': 0, 'w': 1}}
    db.set('robot1:odom', json.dumps({'pose': {'pose': pose}}))

    async def work(page):
        await until(page, lambda state: 'pose' in state)
        first = page.state['pose']['robot1']['at']
        pose['position']['x'] = 3
        db.set('robot1:odom', json.dumps({'pose': {'pose': pose}}))
        await until(page, lambda state: state['pose']['robot1']['x'] == 3)
        return first, page.state['pose']['robot1']['at']

    first, then = with_page(dashboard, work)
    assert first is None
    assert abs(then - time.time()) < 5


def test_without_redis_it_starts_says_so_and_recovers(tmp_path, redis_server):
    redis_server.kill()
    with DashboardProcess(tmp_path, redis_server.url) as dashboard:

        async def work(page):
            await until(page, lambda state: state.get('redis', {}).get('', {}).get('text'))
            told = dict(page.state['redis'][''])
            redis_server.start()
            await until(page, lambda state: state['redis']['']['ok'])
            return told

        told = with_page(dashboard, work, 60)
    assert told['ok'] is False
    assert abs(told['since'] - time.time()) < 60


# -- control --------------------------------------------------------------------------------------
def test_without_the_token_nothing_is_sent(fleet, dashboard, db):
    with db.pubsub() as listener:
        listener.psubscribe('robot*')

        async def work(page):
            await until(page, lambda state: len(state.get('robot', ())) == 2)
            await page.say(do='stop')
            await page.say(do='go', robot='robot1', x=1, y=2, yaw=0)
            await page.say(do='token', token='wrong-wrong-wrong-wrong')
            await page.say(do='stop', robot='robot1')
            return [await page.reply() for _ in range(4)]

        replies = with_page(dashboard, work)
        assert [(reply['to'], reply['ok']) for reply in replies] == [
            ('stop', False), ('go', False), ('token', False), ('stop', False),
        ]  # fmt: skip
        assert replies[0]['text'] == 'Enter the token first'
        listener.get_message(timeout=1)  # that it is subscribed
        assert listener.get_message(timeout=0.3) is None
    assert TOKEN not in dashboard.text
    assert 'wrong-wrong' not in dashboard.text


def heard(listener, seconds):
    """Return what came in this time: (channel, value, when)."""
    end = time.monotonic() + seconds
    found = []
    while (left := end - time.monotonic()) > 0:
        message = listener.get_message(timeout=left)
        if message and message['type'] == 'message':
            value, _ = CODECS['msgpack'].unpack(message['data'])
            found.append((message['channel'].decode(), value, time.monotonic()))
    return found


def test_with_the_token_a_goal_is_sent_in_the_frame_of_the_robot(fleet, dashboard, db):
    with db.pubsub() as listener:
        listener.subscribe('robot1:goal')

        async def work(page):
            def has_pose(state):
                fleet.move()
                return 'robot1' in state.get('pose', ()) and 'robot1' in state.get('robot', ())

            await until(page, has_pose)
            await page.say(do='token', token=TOKEN)
            await page.say(do='go', robot='robot1', x=1.5, y=-2, yaw=0)
            await page.say(do='go', robot='robot2', x=1, y=1, yaw=0)
            return [await page.reply() for _ in range(3)]

        token, sent, not_sent = with_page(dashboard, work)
        assert token['ok'] and sent['ok'], (token, sent)
        assert not_sent == {
            'to': 'go',
            'ok': False,
            'text': 'nobody listens on channel robot2:goal',
        }
        [(_, value, _)] = heard(listener, 1.0)
    assert value['header'] == {'stamp': {'sec': 0, 'nanosec': 0}, 'frame_id': 'map'}
    assert value['pose']['position'] == {'x': 1.5, 'y': -2.0, 'z': 0.0}
    assert value['pose']['orientation'] == {'x': 0.0, 'y': 0.0, 'z': 0.0, 'w': 1.0}


def test_a_stop_is_repeated_for_some_seconds_and_stop_all_reaches_all(fleet, dashboard, db):
    with db.pubsub() as listener:
        listener.subscribe('robot1:cmd_vel', 'robot2:cmd_vel')

        async def work(page):
            await until(page, lambda state: len(state.get('robot', ())) == 2)
            await page.say(do='token', token=TOKEN)
            await page.say(do='stop')
            return [await page.reply() for _ in range(2)]

        token, stopped = with_page(dashboard, work)
        assert token['ok'] and stopped['ok'], stopped
        found = heard(listener, STOP_FOR_S + 2)
    zero = {axis: {'x': 0.0, 'y': 0.0, 'z': 0.0} for axis in ('linear', 'angular')}
    for robot in ('robot1', 'robot2'):
        times = [at for channel, _, at in found if channel == f'{robot}:cmd_vel']
        assert len(times) > 10
        assert STOP_FOR_S - 1.5 < times[-1] - times[0] < STOP_FOR_S + 1
    assert all(value == zero for _, value, _ in found)


# -- the command ----------------------------------------------------------------------------------
def test_without_a_token_file_the_token_is_printed_once_and_a_signal_ends_it(
    tmp_path, redis_server
):
    dashboard = DashboardProcess(tmp_path, redis_server.url, '--host', '127.0.0.1')
    try:
        eventually(lambda: 'token' in dashboard.text)
        [line] = [line for line in dashboard.text.splitlines() if 'token' in line]
        token = line.rpartition(' ')[2]
        assert len(token) >= 32

        async def work(page):
            await page.say(do='token', token=token)
            return await page.reply()

        assert with_page(dashboard, work)['ok']
    finally:
        assert dashboard.close() == 0
    assert dashboard.text.count(token) == 1


def run_command(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'redis_bridge.cli', 'dashboard', *arguments],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(alone):
    done = run_command('--port', str(alone.port))
    assert done.returncode == 1
    assert f'cannot listen at 127.0.0.1:{alone.port}: ' in done.stderr
    assert 'choose another --port' in done.stderr


def test_without_aiohttp_the_error_says_how_to_install_it():
    program = (
        'import sys; sys.modules["aiohttp"] = None; from redis_bridge.cli import main; '
        'sys.exit(main.main(["dashboard"]))'
    )
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert 'apt install python3-aiohttp' in done.stderr
