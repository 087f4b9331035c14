# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Another mapping while the bridge runs: what stays loses nothing, and all else follows."""

import itertools
import signal
import threading
import time
from pathlib import Path

import pytest
from support import eventually

pytest.importorskip('rclpy')

from geometry_msgs.msg import Twist
from graph import DOMAIN, LATCHED, Graph
from processes import PATIENT, BridgeProcess
from std_msgs.msg import Int32, String
from std_srvs.srv import Trigger

from redis_bridge.protocol import keys

STAYS = """
    executor: {executor}
    defaults: {{encoding: text}}
    ros_to_redis:
      - {{topic: /out, type: std_msgs/msg/Int32, to: {{stream: {{name: out, maxlen: 1000000}}}}}}
      {outbound}
    redis_to_ros:
      - {{channel: in, topic: /in, type: std_msgs/msg/Int32}}
      - {{stream: feed, topic: /feed, type: std_msgs/msg/Int32}}
      - {{stream: {{name: work, from: group, group: g}}, topic: /work, type: std_msgs/msg/Int32}}
      {inbound}
"""


def mapping(outbound='', inbound='', executor='events'):
    return STAYS.format(outbound=outbound, inbound=inbound, executor=executor)


@pytest.fixture
def ros():
    with Graph() as graph:
        yield graph


class Caller:
    """Calls the service as any ROS node would; before the graph starts."""

    def __init__(self, ros):
        self._client = ros.node.create_client(Trigger, '/redis_bridge/reload')

    def ready(self):
        eventually(self._client.service_is_ready)

    def ask(self):
        self.ready()
        return self._client.call_async(Trigger.Request())

    def reload(self):
        future = self.ask()
        eventually(future.done, 20)
        return future.result()


def numbers(messages):
    return [message.data for message in messages]


def hang_up(bridge, known):
    """Send SIGHUP, and wait until one more reload is logged than before."""
    count = bridge.text().count(known)
    bridge.process.send_signal(signal.SIGHUP)
    eventually(lambda: bridge.text().count(known) > count)


class Traffic:
    """Numbered messages through the routes of STAYS, in both directions."""

    def __init__(self, ros, server):
        self.client = server.client()
        self.received = {
            name: ros.collect(Int32, f'/{name}', 1000) for name in ('in', 'feed', 'work')
        }
        self.publisher = ros.node.create_publisher(Int32, '/out', 1000)
        self.sent = itertools.count()
        self.last = -1
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.wait(0.002):
            self.last = number = next(self.sent)
            self.publisher.publish(Int32(data=number))
            pipe = self.client.pipeline(transaction=False)
            pipe.publish('in', number)
            for stream in ('feed', 'work'):
                pipe.xadd(stream, {'data': number})
            pipe.execute()

    def arrived(self):
        """Return the numbers that have come through each route."""
        stored = [int(fields[b'data']) for _, fields in self.client.xrange('out')]
        return {'out': stored, **{name: numbers(got) for name, got in self.received.items()}}

    def __enter__(self):
        self.thread.start()
        eventually(lambda: all(self.arrived().values()))
        return self

    def __exit__(self, *exc_info):
        self.stop.set()
        self.thread.join()
        self.client.close()

    def end(self):
        """Send no more, and return what came once the last number has come everywhere."""
        self.stop.set()
        self.thread.join()
        eventually(lambda: all(got[-1:] == [self.last] for got in self.arrived().values()))
        return self.arrived()


EXTRA = [
    (  # a route of its own, and one that joins a topic of a route that stays
        '- {topic: /more, type: std_msgs/msg/String, to: {key: more}}\n'
        '      - {topic: /out, field: data, to: {channel: out_too}}',
        '- {channel: also, topic: /also, type: std_msgs/msg/String}\n'
        '      - {channel: in, topic: /in_too, type: std_msgs/msg/Int32}',
    ),
    (  # both are changed
        '- {topic: /more, type: std_msgs/msg/String, on_change: true, to: {key: more}}\n'
        '      - {topic: /out, field: data, max_rate_hz: 5, to: {channel: out_too}}',
        '- {channel: also, topic: /also, type: std_msgs/msg/Int32}\n'
        '      - {channel: in, topic: /in_too, type: std_msgs/msg/Int32, max_bytes: 99}',
    ),
    ('', ''),
]


@pytest.mark.parametrize('executor', ['events', 'single_threaded'])
def test_routes_that_stay_lose_and_repeat_nothing(ros, redis_server, tmp_path, executor):
    caller = Caller(ros)
    traffic = Traffic(ros, redis_server)
    ros.start()
    first = mapping(executor=executor)
    with BridgeProcess(tmp_path, first, redis_server, domain=DOMAIN, presence=PATIENT) as bridge:
        bridge.ready(waiting=True)
        ros.until_matched(traffic.publisher)
        with traffic:
            for outbound, inbound in EXTRA * 3:
                bridge.write(mapping(outbound, inbound, executor))
                answer = caller.reload()
                assert answer.success, answer.message
                assert '4 unchanged' in answer.message
                hang_up(bridge, 'reloaded, routes: ')
                mark = traffic.last + 50
                eventually(lambda mark=mark: traffic.last > mark)
            for name, got in traffic.end().items():
                assert got == list(range(got[0], traffic.last + 1)), name


def test_new_changed_and_removed_routes_follow(ros, redis_server, tmp_path):
    caller = Caller(ros)
    say = ros.node.create_publisher(String, '/say', LATCHED)
    say.publish(String(data='hello'))
    told = ros.collect(String, '/told')
    ros.start()
    client = redis_server.client()
    first = """
        ros_to_redis:
          - {topic: /say, encoding: text, to: {key: said}}
        redis_to_ros:
          - {channel: tell, topic: /told, type: std_msgs/msg/String, encoding: text}
    """

    def described():
        names = client.hget(keys.described_key('robot1'), 'names') or b''
        return {
            name for name in ('said', 'told', 'tell', 'heard') if f'"{name}"'.encode() in names
        }

    with BridgeProcess(tmp_path, first, redis_server, domain=DOMAIN) as bridge:
        bridge.ready()
        eventually(lambda: client.get('said') == b'hello')
        eventually(lambda: described() == {'said', 'tell'})
        # Another option, on a topic whose last message was sent long ago; another source.
        bridge.write(
            first.replace('text, to: {key: said}', 'json, to: {key: said}').replace(
                'channel: tell', 'channel: heard'
            )
        )
        answer = caller.reload()
        assert answer.success
        assert answer.message == (
            f'{bridge.path}: reloaded, routes: 0 unchanged, 1 changed, 1 new, 1 removed'
        )
        eventually(lambda: b'"hello"' in client.get('said'))
        eventually(lambda: client.pubsub_numsub('tell', 'heard') == [(b'tell', 0), (b'heard', 1)])
        client.publish('heard', 'you')
        eventually(lambda: [message.data for message in told] == ['you'])
        eventually(lambda: described() == {'said', 'heard'})
        eventually(lambda: {*bridge.hash()} >= {'route:channel heard -> /told'})
        assert 'route:channel tell -> /told' not in bridge.hash()
        # Nothing is left but what stays.
        bridge.write('redis_to_ros:\n  - {key: other, topic: /x, type: std_msgs/msg/String}')
        assert caller.reload().success
        eventually(lambda: ros.subscribed('/say') == [])
        eventually(lambda: ros.node.count_publishers('/told') == 0)
        eventually(lambda: ros.node.count_publishers('/x') == 1)
        eventually(lambda: client.pubsub_numsub('heard') == [(b'heard', 0)])
        eventually(lambda: described() == set())
        assert client.get('said')


def test_a_topic_may_change_its_type(ros, redis_server, tmp_path):
    caller = Caller(ros)
    ros.start()
    client = redis_server.client()
    route = 'redis_to_ros:\n  - {{channel: c, topic: /x, type: std_msgs/msg/{}, encoding: text}}\n'
    with BridgeProcess(tmp_path, route.format('String'), redis_server, domain=DOMAIN) as bridge:
        bridge.ready()
        bridge.write(route.format('Int32'))
        assert '1 changed' in caller.reload().message
        with Graph(name='later') as later:
            heard = later.collect(Int32, '/x')
            later.start()

            def has_heard():
                client.publish('c', '7')
                return heard

            eventually(has_heard, every=0.05)
        # And the other way round, with what the topic itself decides.
        bridge.write(
            'ros_to_redis:\n'
            '  - {topic: /x, type: std_msgs/msg/String, encoding: text, to: {key: k}}'
        )
        assert caller.reload().success
        with Graph(name='last') as last:
            last.node.create_publisher(String, '/x', LATCHED).publish(String(data='text'))
            eventually(lambda: client.get('k') == b'text')


def test_an_invalid_file_changes_nothing_and_every_error_is_listed(ros, redis_server, tmp_path):
    caller = Caller(ros)
    ros.start()
    client = redis_server.client()
    first = """
        redis_to_ros:
          - {channel: c, topic: /x, type: std_msgs/msg/String}
    """
    with BridgeProcess(tmp_path, first, redis_server, domain=DOMAIN) as bridge:
        bridge.ready()
        bridge.write("""
            executor: single_threaded
            redis: {username: x}
            redis_to_ros:
              - {channel: other, topic: /x, type: std_msgs/msg/Strin}
              - {channel: c, topic: "not a topic", type: std_msgs/msg/String}
        """)
        answer = caller.reload()
        assert not answer.success
        first_line, *errors = answer.message.splitlines()
        assert first_line == 'the mapping was not reloaded, nothing has changed:'
        places = [error.partition(': ')[2].partition(': ')[0] for error in errors]
        assert places == [
            'executor', 'redis.username', 'redis_to_ros[0].type', 'redis_to_ros[1].topic'
        ]  # fmt: skip
        lines = [error.partition(': ')[0] for error in errors]
        assert lines == [f'{bridge.path}:{number}' for number in (4, 5, 7, 8)]
        assert errors[0].endswith(
            'cannot change while the bridge runs: restart it, or take the change back'
        )
        eventually(lambda: answer.message.splitlines()[-1] in bridge.text())
        bridge.path.unlink()
        assert not caller.reload().success
        loop = 'ros_to_redis:\n  - {topic: /x, encoding: text, to: {channel: c}}\n'
        bridge.write(
            loop + 'redis_to_ros:\n'
            '  - {channel: c, topic: /x, type: std_msgs/msg/String, encoding: text}'
        )
        hang_up(bridge, 'the mapping was not reloaded')
        assert client.pubsub_numsub('c', 'other') == [(b'c', 1), (b'other', 0)]
        assert ros.node.count_publishers('/x') == 1
        bridge.write(first)
        assert caller.reload().message.endswith('1 unchanged, 0 changed, 0 new, 0 removed')


def test_a_reload_while_redis_is_down_works(ros, redis_server, tmp_path):
    caller = Caller(ros)
    say = ros.node.create_publisher(String, '/say', LATCHED)
    say.publish(String(data='hello'))
    told = ros.collect(String, '/told')
    ros.start()
    first = """
        ros_to_redis:
          - {topic: /say, encoding: text, to: {key: one}}
    """
    with BridgeProcess(tmp_path, first, redis_server, domain=DOMAIN) as bridge:
        bridge.ready()
        redis_server.kill()
        bridge.write(
            first.replace('key: one', 'key: two')
            + """
        redis_to_ros:
          - {channel: tell, topic: /told, type: std_msgs/msg/String, encoding: text}
        """
        )
        assert caller.reload().success
        redis_server.restart()
        client = redis_server.client()
        eventually(lambda: client.get('two') == b'hello', 20)
        eventually(lambda: client.pubsub_numsub('tell') == [(b'tell', 1)])
        client.publish('tell', 'you')
        eventually(lambda: [message.data for message in told] == ['you'])


COMMAND = """
    redis_to_ros:
      - channel: cmd_vel
        topic: /cmd_vel
        type: geometry_msgs/msg/Twist
        encoding: json
        stop: {after_ms: 60000, repeat: 3}
"""


def test_a_command_route_that_is_removed_stops_the_robot(ros, redis_server, tmp_path):
    caller = Caller(ros)
    received = ros.collect(Twist, '/cmd_vel')
    ros.start()
    client = redis_server.client()
    with BridgeProcess(tmp_path, COMMAND, redis_server, domain=DOMAIN) as bridge:
        bridge.ready()

        def moves():
            client.publish('cmd_vel', '{"linear": {"x": 0.25}}')
            return received

        eventually(moves, every=0.05)
        bridge.write('redis_to_ros:\n  - {channel: c, topic: /x, type: std_msgs/msg/String}')
        assert caller.reload().success
        eventually(lambda: [message.linear.x for message in received[-3:]] == [0.0] * 3)
        eventually(lambda: ros.node.count_publishers('/cmd_vel') == 0)


def test_many_reloads_at_once_are_harmless(redis_server, tmp_path):
    with Graph() as ros:
        callers = [Caller(ros) for _ in range(5)]
        traffic = Traffic(ros, redis_server)
        ros.start()
        with BridgeProcess(
            tmp_path, mapping(), redis_server, domain=DOMAIN, presence=PATIENT
        ) as bridge:
            bridge.ready(waiting=True)
            ros.until_matched(traffic.publisher)
            with traffic:
                for outbound, inbound in EXTRA:
                    bridge.write(mapping(outbound, inbound))
                    futures = [caller.ask() for caller in callers]
                    for _ in range(1000):
                        bridge.process.send_signal(signal.SIGHUP)
                    eventually(lambda futures=futures: all(f.done() for f in futures), 30)
                    messages = [future.result().message for future in futures]
                    assert all(future.result().success for future in futures), messages
                answer = callers[0].reload()  # by now all that was asked for is done
                assert answer.message.endswith('4 unchanged, 0 changed, 0 new, 0 removed')
                assert bridge.text().count('reloaded, routes: ') < 300  # not one for each signal
                for name, got in traffic.end().items():
                    assert got == list(range(got[0], traffic.last + 1)), name


@pytest.mark.parametrize('redis', ['up', 'down'])
def test_a_reload_during_shutdown_is_harmless(ros, redis_server, tmp_path, redis):
    caller = Caller(ros)
    ros.start()
    with BridgeProcess(tmp_path, mapping(), redis_server, domain=DOMAIN) as bridge:
        bridge.ready(waiting=True)
        caller.ready()
        if redis == 'down':
            redis_server.kill()
        bridge.write(mapping(*EXTRA[0]))
        caller.ask()
        for number in range(200):
            bridge.process.send_signal(signal.SIGHUP)
            if number == 50:
                bridge.process.send_signal(signal.SIGTERM)
        assert bridge.stop() == 0
        assert 'Traceback' not in bridge.output


@pytest.mark.parametrize('delay_s', [0, 0.1, 0.3, 0.6])
def test_a_hangup_during_start_up_is_a_reload_after_it(redis_server, tmp_path, delay_s):
    with BridgeProcess(tmp_path, mapping(), redis_server, domain=DOMAIN) as bridge:

        def holds_hangups():
            status = Path(f'/proc/{bridge.process.pid}/status').read_text()
            (blocked,) = [line for line in status.splitlines() if line.startswith('SigBlk:')]
            return int(blocked.split()[1], 16) >> (signal.SIGHUP - 1) & 1

        eventually(holds_hangups, every=0.001)
        time.sleep(delay_s)
        bridge.process.send_signal(signal.SIGHUP)
        eventually(lambda: 'reloaded, routes: 4 unchanged' in bridge.text(), 20)
        assert bridge.stop() == 0
