# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The page in a real browser: what people see, and what their clicks do."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

pytest.importorskip('aiohttp')

from chromium import Chromium, program
from dashboards import TOKEN, DashboardProcess
from fake_fleet import FakeFleet
from support import eventually

from redis_bridge.payloads import CODECS

pytestmark = pytest.mark.timeout(180)  # a browser starts, on a machine that may be busy
HOSTILE = '<script>document.title="bad"</script><img src=x onerror=document.title="bad">'


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    if program() is None:
        give_up = pytest.fail if os.environ.get('CI') else pytest.skip  # CI installs it
        give_up('needs chromium')
    with Chromium(tmp_path_factory.mktemp('chromium')) as browser:
        yield browser


@pytest.fixture
def page(browser, tmp_path, redis_server):
    """Give the browser with the page open, which must not log errors."""
    with DashboardProcess(tmp_path, redis_server.url) as dashboard:
        browser.errors.clear()
        browser.open(dashboard.url)
        yield browser
        browser.open('about:blank')
        assert browser.errors == []


@contextlib.contextmanager
def moving(fleet, hz=20):
    """Have the robots move, and their bridges beat, until the end."""
    end = threading.Event()

    def run():
        count = 0
        while not end.wait(1 / hz):
            if count % hz == 0:
                fleet.beat()
            fleet.move()
            count += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def fleet_of(db, *names):
    fleet = FakeFleet(db, list(names))
    fleet.describe()
    fleet.beat()
    return fleet


def row(page, name):
    """Return what the table says of a robot."""
    text = page.js(
        '[...document.querySelectorAll("#robots tbody tr")].map(line => line.innerText)'
    )
    return next((' '.join(line.split()) for line in text if line.split()[0] == name), '')


def choose(page, name):
    eventually(lambda: row(page, name))
    page.js(
        '[...document.querySelectorAll("#robots .name")]'
        f'.find(button => button.textContent === {name!r}).click()'
    )


def pose_of(page):
    return next(
        (line for line in page.text('#detail dl').splitlines() if line.startswith('x ')), ''
    )


def unlock(page, token):
    page.js('document.querySelector("#token input").focus()')
    page.type(token)
    page.click('#token .main')


def test_robots_move_stop_sending_and_are_lost(page, db):
    fleet = fleet_of(db, 'robot1', 'robot2')
    fleet.map()
    with moving(fleet):
        choose(page, 'robot1')
        eventually(lambda: pose_of(page))
        first = pose_of(page)
        eventually(lambda: pose_of(page) not in ('', first))
        eventually(lambda: '360 points' in page.text('#detail dl'))
        eventually(lambda: page.text('#link') == '● live')
        eventually(lambda: 'online' in row(page, 'robot2') and '74 %' in row(page, 'robot2'))
        assert page.text('#counts') == '2 robots · 2 online'
        eventually(lambda: not page.js('document.querySelector("#grids").hidden'))
    eventually(lambda: 'no pose since' in row(page, 'robot1'))
    assert '(last known)' in pose_of(page)
    fleet.lose('robot2')
    eventually(lambda: '✕ lost since' in row(page, 'robot2'))
    eventually(lambda: 'robot2: lost' in page.text('#log'))


def test_when_redis_or_the_dashboard_is_away_nothing_is_called_live(
    browser, tmp_path, redis_server, db
):
    fleet = fleet_of(db, 'robot1')
    with DashboardProcess(tmp_path, redis_server.url) as dashboard:
        browser.open(dashboard.url)
        with moving(fleet):
            eventually(lambda: browser.text('#link') == '● live')
            eventually(lambda: row(browser, 'robot1').startswith('robot1 ● online'))
        redis_server.kill()
        eventually(lambda: 'Redis is not reached since' in browser.text('#banner'))
        assert browser.text('#link') == '✕ not live'
        assert 'unknown was online' in row(browser, 'robot1')
        redis_server.start()
        fleet = fleet_of(db, 'robot1')
        with moving(fleet):
            eventually(lambda: browser.text('#link') == '● live', 20)
            eventually(lambda: row(browser, 'robot1').startswith('robot1 ● online'), 20)
    eventually(lambda: 'The dashboard does not answer since' in browser.text('#banner'))
    assert browser.text('#link') == '✕ not live'
    assert 'unknown was online' in row(browser, 'robot1')


def test_a_page_without_robots_says_so_and_never_loads_for_ever(page):
    eventually(lambda: page.text('#empty').startswith('No robot is known'))
    assert page.text('#link') == '● live'


def test_names_and_texts_from_redis_stay_text(page, db):
    fleet = fleet_of(db, HOSTILE)
    with moving(fleet):
        name = '[...document.querySelectorAll("#robots .name")][0]?.textContent'
        eventually(lambda: page.js(name) == HOSTILE)
        page.js('document.querySelector("#robots .name").click()')
        eventually(lambda: page.text('#detail h2') == HOSTILE)
        eventually(lambda: HOSTILE in page.text('#log'))
        eventually(lambda: pose_of(page))
    assert page.js('document.querySelectorAll("main script, main img").length') == 0
    assert page.js('document.title') == 'Fleet – redis_bridge'


def test_a_wrong_token_is_refused_the_right_one_accepted_and_a_click_sends_a_goal(page, db):
    fleet = fleet_of(db, 'robot1')
    with moving(fleet), db.pubsub() as listener:
        listener.subscribe('robot1:goal', 'robot1:cmd_vel')
        choose(page, 'robot1')
        eventually(lambda: pose_of(page))
        page.click('#go')
        unlock(page, 'not-the-token-at-all')
        eventually(lambda: page.text('#token .wrong') == 'The token is wrong')
        assert page.text('#unlock') == 'Control: off'
        unlock(page, TOKEN)
        eventually(lambda: page.text('#unlock') == 'Control: on')
        eventually(lambda: 'Click where robot1 shall go' in page.text('#hint'))
        box = page.js(
            '(b => [b.x, b.y])(document.querySelector("canvas").getBoundingClientRect())'
        )
        page.click_at(box[0] + 200, box[1] + 300)
        goal = eventually(lambda: goal_of(listener.get_message(timeout=1)))
        assert goal['header']['frame_id'] == 'map'
        assert abs(goal['pose']['position']['x']) + abs(goal['pose']['position']['y']) > 0
        eventually(lambda: 'goal' in page.text('#log'))
        page.click('#stop')
        eventually(lambda: 'stop was sent to robot1' in page.text('#toasts'))
        eventually(lambda: is_stop(listener.get_message(timeout=1)))
    assert TOKEN not in page.js('location.href + JSON.stringify(localStorage)')


def goal_of(message):
    if message and message['type'] == 'message' and message['channel'] == b'robot1:goal':
        return CODECS['msgpack'].unpack(message['data'])[0]
    return None


def is_stop(message):
    return message and message['type'] == 'message' and message['channel'] == b'robot1:cmd_vel'
