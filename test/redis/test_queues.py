# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Queues with workers that are real processes, killed and stopped, on servers that restart."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
from processes import end_all, end_process
from redis.crc import key_slot
from servers import Recorder, request
from support import eventually

from redis_bridge import Client
from redis_bridge.errors import BridgeError, NotFoundError, RedisError
from redis_bridge.mapping.model import StreamSourceConfig
from redis_bridge.protocol import keys
from redis_bridge.redis_io import queue as queue_module
from redis_bridge.redis_io import stream_source
from redis_bridge.redis_io.queue import Worker

HELPERS = Path(__file__).parents[1] / 'helpers'
RETURN_MS = 1000
RETURN_S = RETURN_MS / 1000
ROUTE = StreamSourceConfig('tasks', 'group', 'workers')


class WorkerProcess:
    """One process of `queue_worker.py`; `lines` is what it printed, in words."""

    def __init__(self, url: str, how: str, work_s: float) -> None:
        words = [sys.executable, HELPERS / 'queue_worker.py', url, RETURN_MS, how, work_s]
        self.lines: list[tuple[str, int, int]] = []
        self.process = subprocess.Popen(
            [*map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(HELPERS), *sys.path])},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            word, number, more = line.split()
            self.lines.append((word, int(number), int(more)))

    def took(self) -> list[tuple[int, int]]:
        """Return the numbers of the tasks it took, and in which try."""
        return [line[1:] for line in list(self.lines) if line[0] == 'took']

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """End it in order, or by force."""
        end_process(self.process, self._reader)


@pytest.fixture
def worker(redis_server):
    """Give a function that starts one more worker."""
    made: list[WorkerProcess] = []

    def start(how: str = 'keep', work_s: float = 0.0) -> WorkerProcess:
        made.append(WorkerProcess(redis_server.url, how, work_s))
        return made[-1]

    yield start
    end_all(made)


@pytest.fixture
def client(redis_server):
    with Client(redis_server.url, origin='me') as client:
        yield client


@pytest.fixture
def queue(client):
    return client.queue('tasks', return_after_ms=RETURN_MS)


@pytest.fixture
def old_server(redis_server):
    """Wait until the server has run long enough to tell which workers died."""
    with redis_server.client() as db:
        eventually(lambda: db.info('server')['uptime_in_seconds'] > RETURN_S)
    return redis_server


def taken(queue, timeout_s=0.0):
    """Return all tasks that can be claimed."""
    return list(queue.claim(timeout_s))


# --- in order ------------------------------------------------------------------------------------
def test_tasks_are_claimed_in_order_and_are_gone_once_done(db, queue):
    ids = [queue.put({'n': number}) for number in range(3)]
    assert queue.status().waiting == 3
    tasks = taken(queue)
    assert [(task.value, task.id, task.tries) for task in tasks] == [
        ({'n': number}, ids[number], 1) for number in range(3)
    ]
    status = queue.status()
    assert (status.waiting, [each.id for each in status.claimed]) == (0, ids)
    assert {each.worker.partition('/')[0] for each in status.claimed} == {
        f'me@{os.uname().nodename}'
    }
    assert all(queue.done(task) for task in tasks)
    assert not queue.done(tasks[0])
    assert db.xlen('tasks') == 0
    assert queue.status().claimed == []


@pytest.mark.parametrize(
    'value', [5, 1.5, 'text', '5', '{"n": 1}', '', None, True, [1, 'a'], {'n': {'m': []}}]
)
def test_a_value_comes_back_as_it_was_put(queue, value):
    queue.put(value)
    (task,) = queue.claim(0)
    assert (task.value, type(task.value)) == (value, type(value))


def test_what_other_programs_add_is_json_or_text(db, queue):
    for data in ('5', '{"n": 1}', 'shelf 7', b'\xff'):
        db.xadd('tasks', {'data': data})
    db.xadd('tasks', {'shelf': '7'})
    assert [task.value for task in queue.claim(0)] == [
        5, {'n': 1}, 'shelf 7', b'\xff', {'shelf': '7'},
    ]  # fmt: skip


def test_claim_waits_for_tasks_and_ends_after_its_time(queue):
    threading.Timer(0.3, queue.put, [{'n': 1}]).start()
    begun = time.monotonic()
    (task,) = queue.claim(timeout_s=0.6)
    assert task.value == {'n': 1}
    assert 0.9 <= time.monotonic() - begun < 3


def test_each_task_goes_to_one_worker(queue, worker):
    for number in range(200):
        queue.put({'n': number})
    workers = [worker('done') for _ in range(3)]
    eventually(lambda: sum(len(each.took()) for each in workers) == 200)
    for each in workers:
        each.end()
    assert sorted(n for each in workers for n, _ in each.took()) == list(range(200))
    assert queue.status().waiting == 0


def test_a_task_that_fails_three_times_is_dead_with_the_reason(db, queue):
    id_ = queue.put({'n': 1})
    for number in (1, 2, 3):
        (task,) = queue.claim(0)
        assert (task.id, task.tries) == (id_, number)
        assert queue.fail(task, f'reason {number}')
        assert queue.status().waiting == (number < 3)
    status = queue.status()
    assert (status.waiting, status.claimed, status.dead_total) == (0, [], 1)
    (dead,) = status.dead
    assert dead[1:] == (id_, {'n': 1}, 'reason 3', 3)
    assert taken(queue) == []
    assert db.xlen('tasks') == 0
    ((_, fields),) = db.xrange('tasks:dead')
    assert [*fields][:1] + [*fields][-3:] == [b'data', b'id', b'reason', b'tries']


@pytest.mark.parametrize('reason', [ValueError('no shelf'), 'no shelf', 'a\udcff', '', 'x' * 5000])
def test_a_reason_is_an_exception_or_any_text(queue, reason):
    queue.put({'n': 1})
    for _ in range(3):
        assert queue.fail(next(queue.claim(0)), reason)
    (dead,) = queue.status().dead
    text = str(reason)[:1000]
    assert dead.reason == text.encode(errors='backslashreplace').decode()


def test_a_dead_task_can_be_put_back(queue):
    queue.put({'n': 1})
    for _ in range(3):
        queue.fail(next(queue.claim(0)), 'no')
    (dead,) = queue.status().dead
    new = queue.requeue(dead.id)
    assert queue.status().dead_total == 0
    (task,) = queue.claim(0)
    assert task == ({'n': 1}, new, 1)
    with pytest.raises(NotFoundError, match='no dead task'):
        queue.requeue(dead.id)


def test_a_failed_task_is_tried_by_another_worker_at_once(redis_server, queue):
    with Client(redis_server.url) as other:
        queue.put({'n': 1})
        (task,) = queue.claim(0)
        queue.fail(task, 'no')
        (again,) = other.queue('tasks').claim(0)
        assert again.tries == 2
        assert not queue.fail(task, 'too late')
        assert other.queue('tasks').done(again)


def test_a_worker_that_ends_gives_its_tasks_back_and_leaves(db, redis_server, queue):
    queue.put({'n': 1})
    with Client(redis_server.url) as other:
        assert len(taken(other.queue('tasks'))) == 1
        assert taken(queue) == []
    (task,) = queue.claim(0)
    assert task.tries == 2
    assert [
        each['name'].partition(b'@')[0] for each in db.xinfo_consumers('tasks', 'workers')
    ] == [
        b'(returned)',
        b'me',
    ]


def test_a_task_stays_claimed_when_its_iterator_is_gone(queue):
    queue.put({'n': 1})
    task = next(queue.claim())
    assert taken(queue) == []
    assert queue.done(task)


def test_the_streams_of_a_queue_with_a_hash_tag_are_in_one_slot(db, client):
    queue = client.queue('{tasks}')
    queue.put({'n': 1})
    queue.put({'n': 2})
    for _ in range(3):
        queue.fail(next(queue.claim(0)), 'no')
    assert sorted(db.keys('*')) == [b'redis_bridge:names', b'{tasks}', b'{tasks}:dead']
    assert len({key_slot(key) for key in db.keys('{*')}) == 1


def test_a_worker_that_is_heard_of_takes_nothing_by_that(db, queue):
    queue.put({'n': 1})
    (task,) = queue.claim(0)
    queue.put({'n': 2})
    eventually(lambda: db.xinfo_consumers('tasks', 'workers')[0]['idle'] > 100)
    eventually(lambda: db.xinfo_consumers('tasks', 'workers')[0]['idle'] < 100)
    assert queue.status().waiting == 1
    assert queue.done(task)


# --- workers that fail ---------------------------------------------------------------------------
def test_the_tasks_of_a_killed_worker_are_returned_after_the_time(old_server, queue, worker):
    queue.put({'n': 1})
    first = worker()
    eventually(first.took)
    first.kill()
    killed = time.monotonic()
    (task,) = queue.claim(timeout_s=RETURN_S + 1)
    assert task.tries == 2
    assert time.monotonic() - killed > RETURN_S * 0.5
    queue.done(task)


def test_the_tasks_of_workers_of_other_programs_are_returned_too(old_server, db, queue):
    queue.put({'n': 1})
    assert taken(queue)
    db.xclaim('tasks', 'workers', b'other \xff', 0, [each.id for each in queue.status().claimed])
    (task,) = queue.claim(timeout_s=RETURN_S + 1)
    assert task.value == {'n': 1}


def test_a_task_that_kills_its_workers_is_dead_after_three(old_server, queue, worker):
    queue.put({'n': 1})
    for number in (1, 2, 3):
        one = worker()
        eventually(lambda: one.took() == [(1, number)])  # noqa: B023
        one.kill()
    eventually(lambda: taken(queue) == [] and queue.status().dead)
    (dead,) = queue.status().dead
    assert dead.value == {'n': 1}
    assert dead.tries == 3
    assert dead.reason.startswith('3 tries, and the worker of the last one, worker@')


def test_a_living_worker_keeps_a_task_however_long_it_takes(old_server, queue, worker):
    queue.put({'n': 1})
    slow = worker('done', 3 * RETURN_S)
    eventually(slow.took)
    assert list(queue.claim(timeout_s=2 * RETURN_S)) == []
    eventually(lambda: ('done', 1, 1) in slow.lines)


def test_a_worker_that_was_stopped_for_too_long_does_no_harm(old_server, queue, worker):
    queue.put({'n': 1})
    slow = worker('done', 0.5)
    eventually(slow.took)
    slow.process.send_signal(signal.SIGSTOP)
    (task,) = queue.claim(timeout_s=RETURN_S + 1)
    assert task.tries == 2
    assert queue.done(task)
    slow.process.send_signal(signal.SIGCONT)
    eventually(lambda: ('done', 1, 0) in slow.lines)
    queue.put({'n': 2})
    eventually(lambda: slow.took() == [(1, 1), (2, 1)])


def test_no_task_is_lost_while_workers_are_killed(old_server, db, queue, worker):
    for number in range(60):
        queue.put({'n': number})
    gone, running = [], [worker('done', 0.02) for _ in range(2)]
    for _ in range(3):
        eventually(running[0].took)
        running[0].kill()
        gone.append(running.pop(0))
        running.append(worker('done', 0.02))
    eventually(lambda: db.xlen('tasks') == 0, 20)
    everybody = gone + running
    eventually(lambda: {n for one in everybody for n, _ in one.took()} == set(range(60)))
    assert queue.status().dead_total == 0


def test_a_task_whose_reply_was_lost_is_claimed_again(db, proxy):
    with Client(proxy.url) as client:
        queue = client.queue('tasks')
        assert taken(queue) == []
        queue.put({'n': 1})
        proxy.lose_reply_to(b'XREADGROUP')
        (task,) = queue.claim(timeout_s=1)
        assert proxy.lost_replies == 1
        assert (task.value, task.tries) == ({'n': 1}, 2)
        assert queue.done(task)


@pytest.fixture
def soon_forgotten(monkeypatch):
    """Have workers without tasks forgotten after the time to return."""
    monkeypatch.setattr(queue_module, 'FORGOTTEN_MS', RETURN_MS)


def workers_of(db) -> set[str]:
    """Return who has ever claimed tasks, and is not forgotten."""
    names = {each['name'].partition(b'@')[0] for each in db.xinfo_consumers('tasks', 'workers')}
    return {name.decode() for name in names}


def work(queue) -> None:
    """Do one task: before Redis 7.2, a worker that never had one is not known to the server."""
    queue.put({'n': 0})
    (task,) = queue.claim(0)
    assert queue.done(task)


@pytest.mark.usefixtures('soon_forgotten')
def test_workers_that_died_without_tasks_are_forgotten(db, queue, worker):
    for _ in range(3):
        one = worker('done')
        queue.put({'n': 1})
        eventually(lambda: ('done', 1, 1) in one.lines)  # noqa: B023
        one.kill()
    assert taken(queue) == []
    assert 'worker' in workers_of(db)
    eventually(lambda: taken(queue) == [] and 'worker' not in workers_of(db), RETURN_S + 5)
    queue.put({'n': 2})
    assert len(taken(queue)) == 1


@pytest.mark.usefixtures('soon_forgotten')
def test_without_the_right_nobody_is_forgotten_and_all_goes_on(redis_server, db, queue):
    with Client(redis_server.url, origin='idle') as client:
        work(client.queue('tasks'))
        db.execute_command('ACL', 'SETUSER', 'ann', 'on', '>pw', '~*', '+@all', '-xgroup')
        url = redis_server.url.replace('redis://', 'redis://ann:pw@')
        with Client(url, origin='ann') as limited:
            tasks = limited.queue('tasks', return_after_ms=RETURN_MS).claim(timeout_s=3)
            timer = threading.Timer(1.5 * RETURN_S, queue.put, [{'n': 1}])
            timer.start()
            assert next(tasks).value == {'n': 1}
        assert {'idle', 'ann'} <= workers_of(db)


@pytest.mark.usefixtures('soon_forgotten')
def test_a_worker_that_was_forgotten_goes_on(redis_server, db, queue):
    with Client(redis_server.url, origin='idle') as client:
        idle = client.queue('tasks', return_after_ms=RETURN_MS)
        work(idle)
        eventually(lambda: taken(queue) == [] and 'idle' not in workers_of(db), RETURN_S + 5)
        queue.put({'n': 1})
        (task,) = idle.claim(0)
        assert idle.done(task)


@pytest.mark.usefixtures('soon_forgotten')
def test_a_task_that_a_worker_takes_while_it_is_forgotten_is_not_lost(
    redis_server, db, queue, monkeypatch
):
    forget = Worker._forget
    with Client(redis_server.url, origin='idle') as client:
        idle = client.queue('tasks', return_after_ms=RETURN_MS)
        work(idle)

        def forget_late(self, *how) -> None:
            queue.put({'n': 1})
            with contextlib.suppress(StopIteration):
                next(idle.claim(0))
            forget(self, *how)

        monkeypatch.setattr(Worker, '_forget', forget_late)
        (task,) = queue.claim(timeout_s=RETURN_S + 5)
        assert (task.value, task.tries) == ({'n': 1}, 2)
        assert queue.done(task)
        assert db.xlen('tasks') == 0


# --- servers that fail ---------------------------------------------------------------------------
def test_workers_go_on_when_the_server_comes_back_empty(redis_server, client, queue, worker):
    one = worker('done')
    queue.put({'n': 1})
    eventually(lambda: one.took() == [(1, 1)])
    redis_server.restart()
    with Client(redis_server.url) as other:
        other.queue('tasks').put({'n': 2})
    eventually(lambda: one.took() == [(1, 1), (2, 1)])


def test_after_a_restart_with_the_data_nobody_takes_the_tasks_of_the_living(
    redis_server, db, queue, worker
):
    redis_server.options = ('--dbfilename', 'dump.rdb')
    queue.put({'n': 1})
    slow = worker('done', 5.0)
    eventually(slow.took)
    db.save()
    redis_server.kill()
    time.sleep(RETURN_S * 1.5)  # it is away for longer than a worker may be
    redis_server.start()
    assert list(queue.claim(timeout_s=1.0)) == []
    eventually(lambda: ('done', 1, 1) in slow.lines)
    assert len(slow.took()) == 1


def test_a_flushed_queue_can_be_used_at_once(db, queue):
    queue.put({'n': 1})
    (task,) = queue.claim(0)
    db.flushall()
    assert not queue.done(task)
    assert not queue.fail(task, 'no')
    queue.put({'n': 2})
    assert [each.value for each in queue.claim(0.1)] == [{'n': 2}]


@pytest.mark.parametrize('how', ['stream', 'group', 'all'])
def test_a_worker_that_waits_goes_on_when_its_stream_is_deleted(each_server, how):
    with Client(each_server.url) as client, each_server.client() as db:
        queue = client.queue('tasks')
        found: list[object] = []
        waits = threading.Thread(target=lambda: found.extend(queue.claim(timeout_s=5)))
        waits.start()

        def is_blocked() -> bool:
            return db.info('clients')['blocked_clients'] == 1

        for _ in range(3):
            eventually(is_blocked, every=0.001)
            if how == 'stream':
                db.delete('tasks')
            elif how == 'group':
                db.xgroup_destroy('tasks', 'workers')
            else:
                db.flushall()
            eventually(lambda: db.exists('tasks') and db.xinfo_groups('tasks'))
        queue.put({'n': 1})
        eventually(lambda: found)
        queue.close()
        waits.join()


def test_dead_tasks_that_cannot_be_stored_stay_with_their_worker(db, queue):
    db.set('tasks:dead', 'x')
    queue.put({'n': 1})
    for number in (1, 2, 3):
        (task,) = queue.claim(0)
        if number < 3:
            queue.fail(task, 'no')
    with pytest.raises(RedisError, match='WRONGTYPE tasks:dead is a string, expected a stream'):
        queue.fail(task, 'no')
    db.delete('tasks:dead')
    assert queue.fail(task, 'no')
    assert queue.status().dead_total == 1


# --- with bridges --------------------------------------------------------------------------------
def test_a_route_with_the_group_takes_part(db, queue, redis_server, redis_side_at):
    side = redis_side_at(redis_server.url)
    heard = Recorder()
    side.want([request(ROUTE, heard)])
    side.start(dict)
    eventually(lambda: db.exists('tasks') and db.xinfo_groups('tasks'))
    for number in range(20):
        queue.put({'n': number})
    ours: list[int] = []

    def work() -> bool:
        for task in queue.claim(0):
            ours.append(task.value['n'])
            queue.done(task)
        return len(ours) + len(heard.arrivals) >= 20

    eventually(work)
    theirs = [int(arrival.payload.partition(b':')[2].rstrip(b'}')) for arrival in heard.arrivals]
    assert sorted(ours + theirs) == list(range(20))


def test_tasks_that_others_have_done_are_no_gap_for_a_route(
    db, queue, redis_server, redis_side_at, monkeypatch
):
    monkeypatch.setattr(stream_source, 'LOOK_AGAIN_S', 0.05)
    side = redis_side_at(redis_server.url)
    heard = Recorder(wants=False)
    side.want([request(ROUTE, heard)])
    side.start(dict)
    for number in range(3):
        queue.put({'n': number})
        for task in queue.claim(0):
            queue.done(task)
    queue.put({'n': 3})
    looks = db.info('commandstats')['cmdstat_xinfo|groups']['calls']
    eventually(lambda: db.info('commandstats')['cmdstat_xinfo|groups']['calls'] > looks + 2)
    assert heard.gaps == []


def notices_waiting_consumers(db) -> bool:
    """Return whether the server counts a blocked read as a sign of life: from Redis 7.2 on."""
    version = db.info('server')['redis_version']
    return tuple(map(int, version.split('.')[:2])) >= (7, 2)


def test_what_a_bridge_took_and_never_did_is_returned(old_server, db, queue, redis_side_at):
    side = redis_side_at(old_server.url)
    heard = Recorder(verdict=None)
    side.want([request(ROUTE, heard)])
    side.start(dict)
    queue.put({'n': 1})
    eventually(lambda: heard.arrivals)
    assert queue.status().claimed[0].worker == 'robot1'
    if notices_waiting_consumers(db):
        assert list(queue.claim(timeout_s=1.5 * RETURN_S)) == []  # as long as it lives
    side.close()
    (task,) = queue.claim(timeout_s=RETURN_S + 1)
    assert task.tries == 2


def test_a_mirrored_stream_is_no_queue(db, client, queue):
    db.hset(keys.meta_key('odom'), mapping={'stream': 'msgpack', 'type': 'pkg/msg/A'})
    with pytest.raises(BridgeError, match="'odom' is a stream that a bridge mirrors a topic to"):
        client.queue('odom')
    db.hset(keys.meta_key('tasks'), mapping={'stream': 'msgpack', 'type': 'pkg/msg/A'})
    with pytest.raises(BridgeError, match='mirrors a topic'):
        queue.claim()


# --- invalid use ---------------------------------------------------------------------------------
@pytest.mark.parametrize('after_ms', [0, -1, 99, 1.5, True, '2000', 86_400_001])
def test_an_invalid_time_is_an_error(client, after_ms):
    with pytest.raises(BridgeError, match='return_after_ms: expected a whole number of mill'):
        client.queue('tasks', return_after_ms=after_ms)


@pytest.mark.parametrize('name', ['', '__x', 'redis_bridge:x', 'tasks:dead', 'a\nb'])
def test_an_invalid_name_is_an_error(client, name):
    with pytest.raises(BridgeError):
        client.queue(name)


def test_a_name_that_holds_something_else_is_an_error(db, client):
    db.set('tasks', 'x')
    with pytest.raises(BridgeError, match="'tasks' is a key in Redis, and cannot be a queue"):
        client.queue('tasks')


def test_a_task_that_cannot_be_decoded_is_given_up_at_once(db, queue):
    db.hset(keys.meta_key('tasks'), mapping={'from_stream': 'json', 'from_type': 'pkg/msg/A'})
    db.xadd('tasks', {'data': '{'})
    db.xadd('tasks', {'data': '{"n": 2}'})
    assert [task.value for task in queue.claim(0)] == [{'n': 2}]
    (dead,) = queue.status().dead
    assert dead.value == b'{'
    assert "stream 'tasks'" in dead.reason


def test_a_queue_that_was_never_claimed_from_leaves_nothing_behind(client):
    queue = weakref.ref(client.queue('tasks'))
    client.queue('tasks').put({'n': 1})
    gc.collect()
    assert queue() is None


def test_a_closed_client_closes_its_queues(db, redis_server):
    with Client(redis_server.url) as client:
        queue = client.queue('tasks')
        queue.put({'n': 1})
        assert len(taken(queue)) == 1
    assert [each['name'] for each in db.xinfo_consumers('tasks', 'workers')] == [b'(returned)']
    with pytest.raises(BridgeError, match='closed'):
        queue.claim()


def test_a_closed_queue_yields_no_more(queue):
    tasks = queue.claim()
    queue.put({'n': 1})
    next(tasks)
    threading.Timer(0.2, queue.close).start()
    assert list(tasks) == []
    with pytest.raises(BridgeError, match='closed'):
        queue.claim()


def test_without_a_server_it_fails_at_once():
    with Client('redis://127.0.0.1:1') as client, pytest.raises(RedisError):
        client.queue('tasks')
