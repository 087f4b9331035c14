# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Topics that patterns ask for: found when somebody publishes, gone when nobody does any more."""

import logging
import re
from collections import Counter
from types import SimpleNamespace

import pytest
from fakes import FakeClock
from support import eventually

pytest.importorskip('rclpy')

from graph import DOMAIN, LATCHED, Graph
from publishing import LEASE_S, Publishing
from std_msgs.msg import Int32, String

from redis_bridge.errors import InterfaceError
from redis_bridge.mapping.model import Qos
from redis_bridge.ports import TopicRequest, TopicsRequest
from redis_bridge.ros_io import types
from redis_bridge.ros_io.discovery import GRACE_S, LIST_EVERY, LOOKS, NEW_LOOKS, Discovery
from redis_bridge.ros_io.drain import has_publisher_gid
from redis_bridge.ros_io.graph import BRIDGE_NODE, EndsWatch
from redis_bridge.ros_io.origin import NAMED_WITHIN_S, NAMELESS
from redis_bridge.ros_io.side import POLL_EVERY_S, RosSide

LOG = logging.getLogger('test')


def asking(pattern, found):
    """Return a request for the topics of which a regular expression matches the whole name."""
    return TopicsRequest(lambda name: re.fullmatch(pattern, name) is not None, found)


class FakeGraph:
    """A graph as rclpy shows it, with nodes that publish and topics that have subscriptions."""

    def __init__(self):
        self.nodes = []  # pairs: name, topics
        self.subscribed = set()
        self.remapped = {}
        self.calls = Counter()
        self.clock = FakeClock()
        self.watch = EndsWatch(self.count, self.topics_of)
        self.discovery = Discovery(self, self.watch, self.clock)
        self.found = []

    def ask(self, pattern='/.*'):
        self.discovery.want(asking(pattern, self.found.append))

    def poll(self, count=1):
        """Poll so often; return what was found last."""
        for _ in range(count):
            if self.discovery.is_asked():
                names = [(name, '/') for name, _ in self.nodes if name != NAMELESS]
                self.discovery.poll(names)
        return set(self.found[-1]) if self.found else None

    def count(self, topic):
        raise AssertionError('a walk for one topic')

    def topics_of(self, node, namespace):
        self.calls['node'] += 1
        topics = next(topics for name, topics in self.nodes if name == node)  # as rmw does
        return [(topic, ['pkg/msg/T']) for topic in topics]

    def get_topic_names_and_types(self):
        self.calls['list'] += 1
        names = {topic for _, topics in self.nodes for topic in topics} | self.subscribed
        return [(name, ['pkg/msg/T']) for name in sorted(names)]

    def get_publishers_info_by_topic(self, topic):
        self.calls['look'] += 1
        return [SimpleNamespace(node_name=name) for name, topics in self.nodes if topic in topics]

    def resolve_topic_name(self, name):
        if '//' in name:
            raise RuntimeError('topic name must not contain repeated "/"')
        return self.remapped.get(name, name)


def test_topics_are_found_by_name_and_once_somebody_publishes_them():
    graph = FakeGraph()
    graph.nodes = [('a', ['/r1/odom', '/r1/scan']), (f'{BRIDGE_NODE}1', ['/r2/odom'])]
    graph.subscribed = {'/r3/odom'}
    graph.ask('/[^/]*/odom')
    assert graph.poll() == {'/r1/odom'}
    graph.nodes.append(('b', ['/r2/odom', '/r3/odom']))
    assert graph.poll() == {'/r1/odom', '/r2/odom', '/r3/odom'}
    graph.poll(20)
    assert len(graph.found) == 2


def test_that_nothing_is_found_is_reported_at_first():
    graph = FakeGraph()
    graph.ask()
    assert graph.poll(9) == set()
    assert len(graph.found) == 1


def test_a_topic_is_gone_when_it_has_no_other_publisher_for_the_grace_time():
    graph = FakeGraph()
    graph.nodes = [('a', ['/x']), ('b', ['/x']), (f'{BRIDGE_NODE}1', ['/x'])]
    graph.subscribed = {'/x'}  # by us
    graph.ask()
    assert graph.poll() == {'/x'}
    del graph.nodes[0]
    graph.poll()
    graph.clock.move(10 * GRACE_S)
    assert graph.poll(9) == {'/x'}
    del graph.nodes[0]
    graph.poll()
    graph.clock.move(0.99 * GRACE_S)
    assert graph.poll() == {'/x'}
    graph.clock.move(0.01 * GRACE_S)
    assert graph.poll() == set()
    assert len(graph.found) == 2


def test_a_publisher_that_restarts_within_the_grace_time_changes_nothing():
    graph = FakeGraph()
    graph.nodes = [('a', ['/x']), ('b', ['/y'])]
    graph.ask()
    graph.poll()
    for _ in range(3):
        graph.nodes.pop(0)
        graph.poll()
        graph.clock.move(0.9 * GRACE_S)
        graph.poll()
        graph.nodes.insert(0, ('a', ['/x']))
        graph.poll()
    graph.clock.move(10 * GRACE_S)
    graph.poll(9)
    assert graph.found == [{'/x', '/y'}]


def test_another_request_is_answered_at_once_and_a_restart_goes_on():
    graph = FakeGraph()
    graph.nodes = [('a', ['/x', '/y'])]
    graph.ask()
    graph.poll()
    graph.nodes = [('b', ['/z'])]
    graph.poll()
    graph.clock.move(0.5 * GRACE_S)
    graph.ask('/x|/z')
    assert graph.poll() == {'/x', '/z'}
    graph.clock.move(0.5 * GRACE_S)
    assert graph.poll() == {'/z'}


def test_an_equal_answer_is_given_to_another_request_too():
    graph = FakeGraph()
    graph.nodes = [('a', ['/x'])]
    for _ in range(2):
        graph.ask()
        graph.poll()
    assert graph.found == [{'/x'}, {'/x'}]


def test_without_a_request_the_graph_is_asked_nothing():
    graph = FakeGraph()
    graph.nodes = [('a', ['/x'])]
    graph.poll()
    assert not graph.calls
    graph.ask()
    graph.poll()
    graph.discovery.want(None)
    graph.calls.clear()
    graph.poll(9)
    assert not graph.calls
    graph.nodes = [('b', ['/y'])]
    graph.ask()
    assert graph.poll() == {'/y'}  # what was found before is forgotten


def test_topics_of_nodes_with_one_name_are_all_found_and_all_go():
    graph = FakeGraph()
    graph.ask()
    graph.nodes = [('a', ['/x']), ('a', ['/y'])]  # the graph lists the topics of the first
    assert graph.poll() == {'/x', '/y'}
    graph.nodes = [('a', ['/x']), ('a', [])]
    graph.subscribed = {'/y'}
    graph.poll(LIST_EVERY)
    graph.clock.move(GRACE_S)
    assert graph.poll() == {'/x'}


def test_a_topic_stays_for_a_publisher_that_no_node_lists():
    graph = FakeGraph()
    graph.ask()
    graph.nodes = [('a', ['/x']), (NAMELESS, ['/x'])]
    assert graph.poll(2) == {'/x'}
    del graph.nodes[0]
    graph.poll()
    graph.clock.move(10 * GRACE_S)
    assert graph.poll() == {'/x'}
    assert len(graph.found) == 1


def test_a_publisher_without_a_node_is_found_once_it_can_be_no_bridge():
    graph = FakeGraph()
    graph.ask()
    graph.nodes = [(NAMELESS, ['/x', '/y'])]
    assert graph.poll(LIST_EVERY) == set()
    graph.nodes = [(NAMELESS, ['/x']), (f'{BRIDGE_NODE}1', ['/y'])]
    graph.clock.move(NAMED_WITHIN_S)
    assert graph.poll(LIST_EVERY) == {'/x'}
    graph.nodes = []
    graph.subscribed = {'/x'}
    graph.poll(LIST_EVERY)
    graph.clock.move(GRACE_S)
    assert graph.poll() == set()


def test_a_publisher_that_restarts_and_has_no_name_yet_keeps_its_topic():
    graph = FakeGraph()
    graph.ask()
    graph.nodes = [('a', ['/x'])]
    graph.poll()
    graph.nodes = [(NAMELESS, ['/x'])]
    graph.poll()
    graph.clock.move(GRACE_S)
    graph.poll()
    graph.nodes = [('a', ['/x'])]
    graph.clock.move(10 * GRACE_S)
    graph.poll(9)
    assert graph.found == [{'/x'}]


def test_what_this_node_cannot_subscribe_to_is_not_found():
    graph = FakeGraph()
    graph.nodes = [('a', ['/x', '/bad//name', '/remapped'])]
    graph.remapped = {'/remapped': '/elsewhere'}
    graph.ask()
    assert graph.poll(9) == {'/x'}


def test_many_topics_at_rest_cost_few_questions():
    graph = FakeGraph()
    count = 500
    graph.nodes = [(f'n{number}', [f'/t{number}_{i}' for i in range(5)]) for number in range(100)]
    graph.subscribed = {f'/waiting{number}' for number in range(count)}
    asked = Counter()
    graph.discovery.want(TopicsRequest(lambda name: not asked.update([name]), graph.found.append))
    assert len(graph.poll()) == count
    graph.poll(2 * count // NEW_LOOKS)  # until each was looked at
    assert set(asked.values()) == {1}
    graph.calls.clear()
    polls = 10 * LIST_EVERY
    graph.poll(polls)
    assert graph.calls == {'node': 50 * polls, 'list': 10, 'look': LOOKS * polls}
    assert set(asked.values()) == {1}
    assert len(graph.found) == 1


class Carrying:
    """The core in small: carries what is found as soon as it is found."""

    def __init__(self, graph, pattern='/pattern/.*'):
        self.ros = RosSide(graph.node, LOG, has_gid=has_publisher_gid())
        self.found = []
        self.carried = {}
        self.ros.discover(asking(pattern, self._take))
        self.ros.start()
        graph.start()

    def _take(self, found):
        self.found.append(found)
        for name in found - self.carried.keys():
            self.carried[name] = Heard()
        self.ros.want([TopicRequest(name, None, Qos(), self.carried[name]) for name in found])

    def last(self):
        return set(self.found[-1])


class Heard:
    """A route that keeps what it is given."""

    def __init__(self):
        self.type = None
        self.count = 0
        self.states = ['']

    def opened(self, message):
        self.type = message.name

    def forward(self, batch):
        self.count += len(batch)

    def drop(self, reason, count):
        raise AssertionError(f'dropped: {reason}')

    def set_state(self, text):
        self.states.append(text)


@pytest.fixture(params=['events', 'single_threaded'])
def bridge_graph(request):
    with Graph(name=f'{BRIDGE_NODE}under_test', kind=request.param) as graph:
        yield graph
        assert not graph.failures


@pytest.fixture
def peer():
    with Graph(name='peer') as graph:
        yield graph.start()


def subscriptions(graph):
    return {subscription.topic_name for subscription in graph.node.subscriptions}


def test_a_topic_that_appears_is_found_at_the_next_poll_and_carried(bridge_graph, peer):
    bridge = Carrying(bridge_graph)
    assert bridge.found == [frozenset()]
    publisher = peer.node.create_publisher(String, '/pattern/late', LATCHED)
    peer.node.create_publisher(String, '/other/late', LATCHED)
    publisher.publish(String(data='x'))
    look = bridge_graph.node.get_publishers_info_by_topic
    eventually(lambda: [info.node_name for info in look('/pattern/late')] == ['peer'], every=0.001)
    turn = bridge.ros._turn
    eventually(lambda: bridge.last() == {'/pattern/late'}, every=0.001)
    assert (bridge.ros._turn - turn) * POLL_EVERY_S <= 0.5
    eventually(lambda: bridge.carried['/pattern/late'].count == 1)
    assert bridge.carried['/pattern/late'].type == 'std_msgs/msg/String'


def test_a_bridge_that_comes_late_finds_what_is_there(bridge_graph, peer):
    for number in range(20):
        peer.node.create_publisher(String, f'/pattern/t{number}', 10)
    bridge = Carrying(bridge_graph)
    eventually(lambda: len(bridge.last()) == 20)


def test_our_own_subscription_does_not_keep_a_topic(bridge_graph, peer):
    publisher = peer.node.create_publisher(String, '/pattern/x', 10)
    bridge = Carrying(bridge_graph)
    eventually(lambda: publisher.get_subscription_count() == 1)
    peer.node.destroy_publisher(publisher)
    eventually(lambda: bridge.last() == set())
    eventually(lambda: subscriptions(bridge_graph) == set())


def test_a_topic_that_others_subscribe_to_is_found_with_its_publisher(bridge_graph, peer):
    for topic in ('/pattern/x', '/pattern/mark'):
        peer.node.create_subscription(String, topic, lambda message: None, 10)
    mark = peer.node.create_publisher(String, '/pattern/mark', 10)
    bridge = Carrying(bridge_graph)
    eventually(lambda: bridge.last() == {'/pattern/mark'})
    publisher = peer.node.create_publisher(String, '/pattern/x', 10)
    eventually(lambda: bridge.last() == {'/pattern/mark', '/pattern/x'})
    peer.node.destroy_publisher(publisher)
    eventually(lambda: bridge.last() == {'/pattern/mark'})
    assert mark.get_subscription_count() > 0


def test_what_only_bridges_publish_is_not_found(bridge_graph, peer):
    other = peer.add_node(f'{BRIDGE_NODE}other')
    other.create_publisher(String, '/pattern/bridged', 10)
    other.create_publisher(String, '/pattern/both', 10)
    peer.node.create_publisher(String, '/pattern/both', 10)
    bridge = Carrying(bridge_graph)
    own = bridge.ros.publisher('/pattern/own', 'std_msgs/msg/String', Qos(), latched=False)
    own.open()
    eventually(lambda: bridge.last() == {'/pattern/both'})
    count = bridge_graph.node.count_publishers
    eventually(lambda: count('/pattern/bridged') == count('/pattern/own') == 1)
    turn = bridge.ros._turn
    eventually(lambda: bridge.ros._turn >= turn + 2 * LIST_EVERY)
    assert [set(found) for found in bridge.found if found] == [{'/pattern/both'}]


def test_a_topic_stays_as_long_as_one_publisher_of_any_type_does(bridge_graph, peer):
    first = peer.node.create_publisher(String, '/pattern/x', 10)
    bridge = Carrying(bridge_graph)
    eventually(lambda: bridge.last() == {'/pattern/x'})
    heard = bridge.carried['/pattern/x']
    with Publishing(DOMAIN) as others:
        others.want(['/pattern/x', '/pattern/y'])
        eventually(lambda: bridge.last() == {'/pattern/x', '/pattern/y'})
        eventually(lambda: 'a publisher sends std_msgs/msg/Int32' in heard.states[-1])
        peer.node.destroy_publisher(first)
        eventually(lambda: heard.count > 0)
        assert heard.type == 'std_msgs/msg/Int32'
        others.want(['/pattern/x'])
        eventually(lambda: bridge.last() == {'/pattern/x'})
    eventually(lambda: bridge.last() == set())


def test_a_topic_whose_type_is_not_installed_is_found_and_all_others_run(
    bridge_graph, peer, monkeypatch
):
    load = types.load

    def load_but_one(name):
        if name == 'std_msgs/msg/Int32':
            raise InterfaceError(f'{name}: not installed')
        return load(name)

    monkeypatch.setattr(types, 'load', load_but_one)
    for name, kind in (('odd', Int32), ('plain', String)):
        peer.node.create_publisher(kind, f'/pattern/{name}', LATCHED).publish(kind())
    bridge = Carrying(bridge_graph)
    eventually(lambda: bridge.last() == {'/pattern/odd', '/pattern/plain'})
    odd, plain = (bridge.carried[f'/pattern/{name}'] for name in ('odd', 'plain'))
    eventually(lambda: plain.count == 1)
    eventually(lambda: odd.states[-1] == 'error: std_msgs/msg/Int32: not installed')


def test_a_publisher_that_restarts_does_not_take_its_topic_away(bridge_graph):
    bridge = Carrying(bridge_graph)
    with Publishing(DOMAIN) as others:
        for _ in range(3):
            others.want(['/pattern/x', '/pattern/stays'])
            eventually(lambda: bridge.last() == {'/pattern/x', '/pattern/stays'})
            others.want(['/pattern/stays'])
            eventually(lambda: bridge_graph.node.count_publishers('/pattern/x') == 0)
            turn = bridge.ros._turn
            eventually(lambda: bridge.ros._turn > turn + 1)  # noqa: B023
        others.want(['/pattern/x', '/pattern/stays'])
        eventually(lambda: bridge_graph.node.count_publishers('/pattern/x') == 1)
        count = bridge.carried['/pattern/x'].count
        eventually(lambda: bridge.carried['/pattern/x'].count > count)
        gone = [found for found in bridge.found[1:] if '/pattern/x' not in found]
        assert not gone


def test_a_killed_publisher_takes_its_topics_away_once_dds_gives_it_up(bridge_graph, tmp_path):
    bridge = Carrying(bridge_graph)
    with Publishing(DOMAIN, folder=tmp_path) as killed, Publishing(DOMAIN) as other:
        killed.want(['/pattern/killed', '/pattern/both'])
        other.want(['/pattern/both'])
        eventually(lambda: bridge.last() == {'/pattern/killed', '/pattern/both'})
        killed.kill()
        eventually(lambda: bridge.last() == {'/pattern/both'}, 10 * (LEASE_S + GRACE_S))
        eventually(lambda: subscriptions(bridge_graph) == {'/pattern/both'})


def test_nodes_of_one_name_are_all_found(bridge_graph, peer):
    twin = peer.add_node('peer')
    peer.node.create_publisher(String, '/pattern/one', 10)
    twin.create_publisher(String, '/pattern/two', 10)
    bridge = Carrying(bridge_graph)
    eventually(lambda: bridge.last() == {'/pattern/one', '/pattern/two'})


def test_without_a_request_nothing_more_is_found(bridge_graph, peer):
    bridge = Carrying(bridge_graph)
    peer.node.create_publisher(String, '/pattern/x', 10)
    eventually(lambda: bridge.last() == {'/pattern/x'})
    bridge.ros.discover(None)
    peer.node.create_publisher(String, '/pattern/y', 10)
    eventually(lambda: bridge_graph.node.count_publishers('/pattern/y') == 1)
    turn = bridge.ros._turn
    eventually(lambda: bridge.ros._turn > turn + LIST_EVERY)
    assert bridge.last() == {'/pattern/x'}


def test_topics_that_come_and_go_all_the_time_are_all_carried_and_all_released(bridge_graph):
    bridge = Carrying(bridge_graph)
    with Publishing(DOMAIN, nodes=5, hz=50) as others:
        for round_ in range(3):
            names = {f'/pattern/t{round_}_{number}' for number in range(20)}
            others.want(sorted(names))
            eventually(lambda: bridge.last() >= names)  # noqa: B023
            eventually(lambda: all(bridge.carried[name].count for name in names))  # noqa: B023
        eventually(lambda: bridge.last() == names)
        eventually(lambda: subscriptions(bridge_graph) == names)
    eventually(lambda: bridge.last() == set())
    eventually(lambda: subscriptions(bridge_graph) == set())
    assert len(bridge.carried) == 60
