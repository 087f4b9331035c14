# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Topics over real DDS: discovery, QoS matching, latched history, and a graph that never rests."""

import logging
import subprocess
import sys
import time

import pytest
from support import eventually

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
from graph import DOMAIN, LATCHED, Graph
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Int32, String

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.mapping.model import Qos
from redis_bridge.ports import RouteReport, TopicRequest
from redis_bridge.ros_io import drain, qos, types
from redis_bridge.ros_io.diagnostics import Diagnostics
from redis_bridge.ros_io.drain import has_publisher_gid
from redis_bridge.ros_io.graph import BRIDGE_NODE, MANY_NODES, EndsWatch
from redis_bridge.ros_io.side import CLOSE_LOOKS, TURNS, RosSide

LOG = logging.getLogger('test')
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


class Heard:
    """A route that keeps what it is given."""

    def __init__(self) -> None:
        self.message = None
        self.samples: list[bytes] = []
        self.dropped: dict[str, int] = {}
        self.states: list[str] = []

    def opened(self, message) -> None:
        self.message = message

    def forward(self, batch) -> None:
        self.samples += batch

    def drop(self, reason, count) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def set_state(self, text) -> None:
        self.states.append(text)

    def texts(self) -> list[str]:
        return [deserialize_message(sample, String).data for sample in self.samples]


@pytest.fixture(params=['events', 'single_threaded'])
def bridge_graph(request):
    with Graph(name=f'{BRIDGE_NODE}under_test', kind=request.param) as graph:
        yield graph


@pytest.fixture
def peer():
    with Graph(name='peer') as graph:
        yield graph.start()


def requests(names, heard, type_name=None, asked=Qos()):
    return [TopicRequest(name, type_name, asked, listener) for name, listener in zip(names, heard)]


def listening(graph, *names, type_name=None, asked=Qos(), has_gid=None):
    """Start a RosSide on the graph that listens to topics; return the listeners."""
    has_gid = has_publisher_gid() if has_gid is None else has_gid
    ros = RosSide(graph.node, LOG, has_gid=has_gid)
    heard = [Heard() for _ in names]
    ros.want(requests(names, heard, type_name, asked))
    ros.start()
    graph.start()
    return heard


def test_a_topic_without_a_type_is_found_when_its_first_publisher_comes(bridge_graph, peer):
    (heard,) = listening(bridge_graph, '/late')
    assert heard.states == ['waiting for a publisher']
    publisher = peer.node.create_publisher(String, '/late', LATCHED)
    publisher.publish(String(data='first'))
    eventually(lambda: heard.texts() == ['first'])
    assert heard.message.name == 'std_msgs/msg/String'
    assert heard.states[-1] == 'open'


def test_every_message_of_a_burst_arrives_once_and_in_order(bridge_graph, peer):
    (heard,) = listening(
        bridge_graph, '/burst', type_name='std_msgs/msg/Int32', asked=Qos(depth=1000)
    )
    publisher = peer.node.create_publisher(Int32, '/burst', 1000)
    peer.until_matched(publisher)
    for number in range(500):
        publisher.publish(Int32(data=number))
    eventually(lambda: len(heard.samples) >= 500 or bridge_graph.failures)
    got = [deserialize_message(sample, Int32).data for sample in heard.samples]
    assert got == list(range(500))


def test_a_flood_that_is_carried_slowly_loses_nothing_and_keeps_its_order(bridge_graph, peer):
    (heard,) = listening(
        bridge_graph, '/flood', type_name='std_msgs/msg/Int32', asked=Qos(depth=5000)
    )
    forward = heard.forward

    def forward_slowly(batch):
        time.sleep(2 * drain.LONGEST_S)
        forward(batch)

    heard.forward = forward_slowly
    publisher = peer.node.create_publisher(Int32, '/flood', 5000)
    peer.until_matched(publisher)
    for number in range(5 * drain.MOST):
        publisher.publish(Int32(data=number))
    eventually(lambda: len(heard.samples) >= 5 * drain.MOST)
    got = [deserialize_message(sample, Int32).data for sample in heard.samples]
    assert got == list(range(5 * drain.MOST))


def test_five_latched_publishers_are_all_heard_by_a_bridge_that_comes_late(bridge_graph, peer):
    for number in range(5):
        publisher = peer.node.create_publisher(String, '/latched', LATCHED)
        publisher.publish(String(data=str(number)))
    (heard,) = listening(bridge_graph, '/latched')
    eventually(lambda: len(heard.samples) >= 5)
    assert sorted(heard.texts()) == ['0', '1', '2', '3', '4']


def test_a_latched_sample_is_not_carried_twice_when_the_match_changes(bridge_graph, peer):
    publisher = peer.node.create_publisher(String, '/match', LATCHED)
    publisher.publish(String(data='one'))
    (heard,) = listening(bridge_graph, '/match')
    eventually(lambda: heard.texts() == ['one'])
    # A volatile publisher turns the match to volatile, its end turns it back to latched.
    volatile = peer.node.create_publisher(String, '/match', BEST_EFFORT)
    eventually(lambda: volatile.get_subscription_count() == 1)
    peer.node.destroy_publisher(volatile)
    publisher.publish(String(data='two'))
    eventually(lambda: 'two' in heard.texts())
    assert heard.texts() == ['one', 'two']


def test_a_match_follows_publishers_that_come_and_go(bridge_graph, peer):
    (heard,) = listening(bridge_graph, '/mixed', type_name='std_msgs/msg/String')

    reliable = peer.node.create_publisher(String, '/mixed', 10)
    peer.until_matched(reliable)
    weak = peer.node.create_publisher(String, '/mixed', BEST_EFFORT)
    peer.until_matched(reliable, weak, reliability=ReliabilityPolicy.BEST_EFFORT)
    reliable.publish(String(data='a'))
    weak.publish(String(data='b'))
    eventually(lambda: sorted(heard.texts()) == ['a', 'b'])
    peer.node.destroy_publisher(weak)
    eventually(lambda: peer.subscribed('/mixed') == [ReliabilityPolicy.RELIABLE])


def test_a_publisher_that_cannot_match_is_named(bridge_graph, peer):
    (heard,) = listening(
        bridge_graph, '/strict', type_name='std_msgs/msg/String', asked=Qos('reliable')
    )
    peer.node.create_publisher(String, '/strict', BEST_EFFORT)
    eventually(lambda: heard.states[-1].startswith('incompatible QoS with /peer: '))


def test_a_publisher_of_another_type_is_named(bridge_graph, peer):
    (heard,) = listening(bridge_graph, '/typed', type_name='std_msgs/msg/String')
    peer.node.create_publisher(Int32, '/typed', 10)
    eventually(lambda: 'a publisher sends std_msgs/msg/Int32' in heard.states[-1])


def test_an_unknown_type_is_an_error_of_the_route_only(bridge_graph, peer):
    wrong, right = listening(bridge_graph, '/wrong', '/right')
    publisher = peer.node.create_publisher(String, '/right', LATCHED)
    publisher.publish(String(data='x'))
    eventually(lambda: right.texts() == ['x'])
    assert wrong.states == ['waiting for a publisher']


@pytest.mark.skipif(not has_publisher_gid(), reason='this ROS does not identify publishers')
def test_what_a_bridge_published_is_not_carried_to_redis(bridge_graph, peer):
    (heard,) = listening(bridge_graph, '/loop', type_name='std_msgs/msg/String')
    other_bridge = peer.add_node(f'{BRIDGE_NODE}other')
    looped = other_bridge.create_publisher(String, '/loop', 10)
    genuine = peer.node.create_publisher(String, '/loop', 10)
    peer.until_matched(looped, genuine)
    for _ in range(3):  # a genuine repetition of the same text is carried each time
        looped.publish(String(data='same'))
        genuine.publish(String(data='same'))
    eventually(lambda: heard.dropped.get('own_origin') == 3 and len(heard.samples) == 3)


FAST = """
import os, sys, time
import rclpy
from rclpy.duration import Duration
from std_msgs.msg import Int32
rclpy.init(domain_id=int(sys.argv[1]))
node = rclpy.create_node('fast', enable_rosout=False, start_parameter_services=False)
publisher = node.create_publisher(Int32, '/fast', 6000)
def subscribed():
    return [info.qos_profile.reliability.name for info in
            node.get_subscriptions_info_by_topic('/fast')]
while publisher.get_subscription_count() != 1 or subscribed() != ['RELIABLE']:
    time.sleep(0.01)
time.sleep(0.2)  # until the subscription has found the publisher, too
for number in range(int(sys.argv[2])):
    publisher.publish(Int32(data=number))
    if number % 2 == 0:
        time.sleep(0.0001)
publisher.wait_for_all_acked(Duration(seconds=10))
time.sleep(0.5)
os._exit(0)
"""


@pytest.mark.skipif(not has_publisher_gid(), reason='this ROS does not identify publishers')
def test_a_fast_publisher_loses_nothing_beside_a_bridge_on_its_topic(bridge_graph, peer):
    (heard,) = listening(
        bridge_graph, '/fast', type_name='std_msgs/msg/Int32', asked=Qos(depth=6000)
    )
    bridges = peer.add_node(f'{BRIDGE_NODE}other').create_publisher(Int32, '/fast', 10)
    peer.until_matched(bridges)
    count = 6000
    # In a process of its own, because its messages have to come at any moment.
    with subprocess.Popen([sys.executable, '-c', FAST, str(DOMAIN), str(count)]) as fast:
        assert fast.wait(30) == 0
    eventually(lambda: len(heard.samples) + sum(heard.dropped.values()) >= count)
    assert heard.dropped == {}
    got = [deserialize_message(sample, Int32).data for sample in heard.samples]
    assert got == list(range(count))


def test_without_publisher_ids_another_bridge_on_the_topic_is_an_error(bridge_graph, peer):
    (heard,) = listening(bridge_graph, '/risk', type_name='std_msgs/msg/String', has_gid=False)
    other_bridge = peer.add_node(f'{BRIDGE_NODE}other')
    publisher = other_bridge.create_publisher(String, '/risk', 10)
    error = 'error: another bridge publishes on this topic'
    eventually(lambda: heard.states[-1].startswith(error))
    peer.until_matched(publisher)
    publisher.publish(String(data='x'))
    eventually(lambda: heard.dropped == {'unguarded': 1})
    assert heard.samples == []


def test_without_publisher_ids_a_bridge_that_joins_is_noticed_before_its_first_message(
    bridge_graph, peer
):
    (heard,) = listening(bridge_graph, '/joins', type_name='std_msgs/msg/String', has_gid=False)
    genuine = peer.node.create_publisher(String, '/joins', 10)
    peer.until_matched(genuine)
    for number in range(3):
        genuine.publish(String(data='genuine'))
        eventually(lambda: len(heard.samples) == number + 1)  # noqa: B023
        eventually(lambda: heard.states[-1] == 'open')
        with Graph(name=f'{BRIDGE_NODE}other{number}') as other:
            looped = other.node.create_publisher(String, '/joins', 10)

            def is_noticed() -> bool:
                looped.publish(String(data='looped'))  # noqa: B023
                return 'unguarded' in heard.dropped

            eventually(is_noticed, every=0.0005)
            eventually(lambda: heard.states[-1].startswith('error: another bridge publishes'))
        eventually(lambda: heard.states[-1] == 'open')
        heard.dropped.clear()
    assert heard.texts() == ['genuine'] * 3


def test_without_publisher_ids_own_messages_are_recognized(bridge_graph, peer):
    ros = RosSide(bridge_graph.node, LOG, has_gid=False)
    heard = Heard()
    ros.want(requests(['/echo'], [heard], 'std_msgs/msg/String'))
    own = ros.publisher('/echo', 'std_msgs/msg/String', Qos(depth=1000), latched=False)
    own.open()
    ros.start()
    bridge_graph.start()
    genuine = peer.node.create_publisher(String, '/echo', 10)
    peer.until_matched(genuine)
    same = bytes(serialize_message(String(data='same')))

    def is_heard() -> bool:
        own.publish(same)
        return bool(heard.dropped.get('own_origin'))

    eventually(is_heard)
    before = own.count
    eventually(lambda: heard.dropped['own_origin'] >= before)
    for number in range(50):
        own.publish(same)
        own.publish(bytes(serialize_message(String(data=str(number)))))
        genuine.publish(String(data='same'))
        genuine.publish(String(data=f'genuine {number}'))
        eventually(lambda: len(heard.samples) == 2 * (number + 1))  # noqa: B023
    eventually(lambda: heard.dropped['own_origin'] >= before + 100)
    expected = [text for number in range(50) for text in ('same', f'genuine {number}')]
    assert heard.texts() == expected
    assert heard.dropped == {'own_origin': before + 100}


def test_without_publisher_ids_own_messages_that_come_again_from_the_history_are_recognized(
    bridge_graph, peer
):
    ros = RosSide(bridge_graph.node, LOG, has_gid=False)
    heard = Heard()
    ros.want(requests(['/kept'], [heard], 'std_msgs/msg/String'))
    own = ros.publisher('/kept', 'std_msgs/msg/String', Qos(), latched=True)
    own.open()
    ros.start()
    bridge_graph.start()

    def is_heard() -> bool:
        own.publish(bytes(serialize_message(String(data='own'))))
        return bool(heard.dropped.get('own_origin'))

    eventually(is_heard)
    # This one turns the subscription to latched, which begins with the history of all publishers.
    latched = peer.node.create_publisher(String, '/kept', LATCHED)
    latched.publish(String(data='latched'))
    eventually(lambda: heard.texts())
    eventually(lambda: peer.subscribed('/kept') == [ReliabilityPolicy.RELIABLE])
    latched.publish(String(data='end'))
    eventually(lambda: heard.texts()[-1] == 'end')
    assert heard.texts() == ['latched', 'end']


def test_garbage_from_dds_reaches_the_listener_as_bytes_and_hurts_nobody(bridge_graph, peer):
    (heard,) = listening(bridge_graph, '/garbage', type_name='std_msgs/msg/String')
    publisher = peer.node.create_publisher(String, '/garbage', 10)
    peer.until_matched(publisher)
    good = bytes(serialize_message(String(data='ok')))
    for payload in (b'', b'\x00', b'\x00\x01\x00\x00', b'\xff' * 50, good):
        publisher.publish(payload)
    eventually(lambda: heard.samples and heard.samples[-1] == good)
    assert not bridge_graph.failures


def test_a_topic_that_is_wanted_later_is_carried_and_one_that_is_not_ends(bridge_graph, peer):
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    first, second, third = Heard(), Heard(), Heard()
    ros.want(requests(['/first', '/stays'], [first, third]))
    ros.start()
    bridge_graph.start()
    for topic in ('/first', '/second', '/stays'):
        peer.node.create_publisher(String, topic, LATCHED).publish(String(data=topic))
    eventually(lambda: first.samples and third.samples)
    ros.want(requests(['/second', '/stays'], [second, third]))
    eventually(lambda: second.texts() == ['/second'])
    eventually(lambda: peer.subscribed('/first') == [])
    assert first.texts() == ['/first']
    assert third.texts() == ['/stays']  # was not made anew


def test_a_route_that_joins_a_topic_learns_its_type_and_state(bridge_graph, peer):
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    old, new = Heard(), Heard()
    ros.want(requests(['/joined'], [old]))
    ros.start()
    bridge_graph.start()
    publisher = peer.node.create_publisher(String, '/joined', 10)
    peer.until_matched(publisher)
    publisher.publish(String(data='before'))
    eventually(lambda: old.texts() == ['before'])
    ros.want(requests(['/joined', '/joined'], [old, new]))
    eventually(lambda: new.states == ['open'])
    publisher.publish(String(data='after'))
    eventually(lambda: new.texts() == ['after'])
    assert new.message.name == 'std_msgs/msg/String'
    assert old.texts() == ['before', 'after']
    assert len(peer.subscribed('/joined')) == 1


@pytest.mark.parametrize('stays', [True, False])
def test_a_route_that_joins_a_latched_topic_has_its_history_and_nobody_has_it_twice(
    bridge_graph, peer, stays
):
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    old, new = Heard(), Heard()
    ros.want(requests(['/latched'], [old]))
    ros.start()
    bridge_graph.start()
    publisher = peer.node.create_publisher(String, '/latched', LATCHED)
    publisher.publish(String(data='before'))
    eventually(lambda: old.texts() == ['before'])
    wanted = requests(['/latched', '/latched'], [old, new])
    ros.want(wanted if stays else wanted[1:])
    eventually(lambda: new.texts() == ['before'])
    eventually(lambda: new.states[-1:] == ['open'])
    publisher.publish(String(data='after'))
    eventually(lambda: new.texts() == ['before', 'after'])
    if stays:
        eventually(lambda: old.texts() == ['before', 'after'])
        ros.want(wanted[:1])
    eventually(lambda: len(peer.subscribed('/latched')) == 1)
    publisher.publish(String(data='end'))
    staying = old if stays else new
    eventually(lambda: staying.texts() == ['before', 'after', 'end'])


def test_a_publisher_whose_topic_has_another_type_here_opens_once_that_is_gone(bridge_graph, peer):
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    text = ros.publisher('/retyped', 'std_msgs/msg/String', Qos(), latched=False)
    text.open()
    number = ros.publisher('/retyped', 'std_msgs/msg/Int32', Qos(), latched=False)
    with pytest.raises(InterfaceError, match='/retyped: .*incompatible type'):
        number.open()
    assert number.state().startswith('error: /retyped: ')
    assert not number.has_subscribers()
    with pytest.raises(PayloadError, match='incompatible type'):
        number.publish(b'')
    bridge_graph.start()
    heard = peer.node.create_subscription(Int32, '/retyped', lambda _: None, 10)
    ros.release(text)
    eventually(lambda: number.state() == 'open')
    eventually(number.has_subscribers)
    peer.node.destroy_subscription(heard)


def test_a_publisher_is_shared_and_closes_with_its_last_user(bridge_graph, peer):
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    one = ros.publisher('/shared', 'std_msgs/msg/String', Qos(), latched=False)
    one.open()
    two = ros.publisher('/shared', 'std_msgs/msg/String', Qos(), latched=False)
    two.open()
    assert one is two
    eventually(lambda: peer.node.count_publishers('/shared') == 1)
    ros.release(one)
    assert one.has_subscribers() is False
    assert one.state() == 'open'
    ros.release(two)
    eventually(lambda: peer.node.count_publishers('/shared') == 0)
    ros.close()


def test_publishers_offer_state_as_latched_and_events_as_reliable(bridge_graph, peer):
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    state = ros.publisher('/state', 'std_msgs/msg/String', Qos(), latched=True)
    state.open()
    event = ros.publisher('/event', 'std_msgs/msg/String', Qos(), latched=False)
    event.open()
    bridge_graph.start()
    state.publish(bytes(serialize_message(String(data='kept'))))
    received = peer.node.create_subscription(
        String, '/state', lambda message: got.append(message.data), LATCHED
    )
    got: list[str] = []
    assert received is not None
    eventually(lambda: got == ['kept'])
    assert state.has_subscribers()
    assert state.wait_for_acked(2)
    assert not event.has_subscribers()
    peer.node.create_subscription(String, '/event', lambda _: None, LATCHED)
    eventually(lambda: event.state().startswith('incompatible QoS with /peer: '))


def test_a_subscriber_of_another_type_is_an_error_of_the_publisher(bridge_graph, peer):
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    publisher = ros.publisher('/cmd_vel', 'geometry_msgs/msg/Twist', Qos(), latched=False)
    publisher.open()
    bridge_graph.start()
    peer.node.create_subscription(Twist, '/cmd_vel', lambda _: None, 10)
    eventually(publisher.has_subscribers)
    assert publisher.state() == 'open'
    error = (
        'error: /cmd_vel: a subscriber expects geometry_msgs/msg/TwistStamped, '
        'this route publishes geometry_msgs/msg/Twist'
    )
    with Graph(name='other') as other:  # one participant has one type per topic
        other.node.create_subscription(TwistStamped, '/cmd_vel', lambda _: None, 10)
        eventually(lambda: publisher.state() == error)
    eventually(lambda: publisher.state() == 'open')


STEADY = """
import os, sys, time
import rclpy
from rclpy.duration import Duration
from std_msgs.msg import Int32
rclpy.init(domain_id=int(sys.argv[1]))
node = rclpy.create_node('steady', enable_rosout=False, start_parameter_services=False)
publisher = node.create_publisher(Int32, '/steady', 3000)
def subscribed():
    return [info.qos_profile.reliability.name for info in
            node.get_subscriptions_info_by_topic('/steady')]
while publisher.get_subscription_count() != 1 or subscribed() != ['RELIABLE']:
    time.sleep(0.01)
time.sleep(0.2)  # until the subscription has found the publisher, too
for number in range(int(sys.argv[2])):
    publisher.publish(Int32(data=number))
    time.sleep(0.001)
publisher.wait_for_all_acked(Duration(seconds=10))
time.sleep(0.5)
os._exit(0)
"""


def numbers(heard):
    return [deserialize_message(sample, Int32).data for sample in heard.samples]


def test_a_best_effort_publisher_that_joins_and_leaves_costs_the_others_no_message(
    bridge_graph, peer
):
    (heard,) = listening(
        bridge_graph, '/steady', type_name='std_msgs/msg/Int32', asked=Qos(depth=3000)
    )
    count = 3000
    with subprocess.Popen([sys.executable, '-c', STEADY, str(DOMAIN), str(count)]) as steady:
        eventually(lambda: len(heard.samples) > 300)
        weak = peer.node.create_publisher(Int32, '/steady', BEST_EFFORT)
        eventually(lambda: peer.subscribed('/steady') == [ReliabilityPolicy.BEST_EFFORT])
        seen = len(heard.samples)
        eventually(lambda: len(heard.samples) > seen + 100)
        peer.node.destroy_publisher(weak)
        eventually(lambda: peer.subscribed('/steady') == [ReliabilityPolicy.RELIABLE])
        assert len(heard.samples) < count  # all of this while it published
        assert steady.wait(30) == 0
    eventually(lambda: len(heard.samples) >= count)
    assert numbers(heard) == list(range(count))


def test_latched_samples_arrive_once_and_in_order_whoever_joins_and_leaves(bridge_graph, peer):
    (heard,) = listening(bridge_graph, '/history', type_name='std_msgs/msg/Int32')
    history = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = peer.node.create_publisher(Int32, '/history', history)
    for number in range(20):
        publisher.publish(Int32(data=number))
        if number == 10:  # from here on the first subscription gets them as well
            eventually(lambda: publisher.get_subscription_count() == 1, every=0.001)
    eventually(lambda: len(heard.samples) >= 20)
    volatile = peer.node.create_publisher(Int32, '/history', 10)
    eventually(lambda: volatile.get_subscription_count() >= 1)
    publisher.publish(Int32(data=20))
    eventually(lambda: len(heard.samples) >= 21)
    peer.node.destroy_publisher(volatile)
    eventually(lambda: len(peer.subscribed('/history')) == 1)
    publisher.publish(Int32(data=21))
    eventually(lambda: len(heard.samples) >= 22)
    if has_publisher_gid():
        assert numbers(heard) == list(range(22))
    else:  # what is live and what is history cannot be distinguished
        assert sorted(numbers(heard)) == list(range(22))


def test_a_latched_value_is_read_beside_a_volatile_publisher(bridge_graph, peer):
    latched = peer.node.create_publisher(String, '/halves', LATCHED)
    latched.publish(String(data='latched'))
    volatile = peer.node.create_publisher(String, '/halves', 10)
    eventually(lambda: bridge_graph.node.count_publishers('/halves') == 2)
    (heard,) = listening(bridge_graph, '/halves')
    eventually(lambda: heard.texts() == ['latched'])
    assert heard.states == ['open']
    eventually(lambda: volatile.get_subscription_count() == 1)
    volatile.publish(String(data='live'))
    eventually(lambda: 'live' in heard.texts())
    latched.publish(String(data='latched again'))
    eventually(lambda: len(heard.samples) >= 3)
    latched.publish(String(data='end'))
    eventually(lambda: heard.texts()[-1] == 'end')
    assert heard.texts() == ['latched', 'live', 'latched again', 'end']


@pytest.mark.parametrize('wrong', ['std_msgs/msg/Int32', 'no_such_msgs/msg/Thing'])
@pytest.mark.parametrize('order', [1, -1])
def test_a_route_with_a_wrong_type_leaves_the_others_of_its_topic_alone(
    bridge_graph, peer, wrong, order
):
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    bad, good, open_ = Heard(), Heard(), Heard()
    asked = [(wrong, bad), ('std_msgs/msg/String', good), (None, open_)][::order]
    ros.want([TopicRequest('/disagreed', name, Qos(), heard) for name, heard in asked])
    ros.start()
    bridge_graph.start()
    publisher = peer.node.create_publisher(String, '/disagreed', LATCHED)
    publisher.publish(String(data='x'))
    eventually(lambda: good.texts() == open_.texts() == ['x'])
    eventually(lambda: good.states[-1] == open_.states[-1] == 'open')
    eventually(lambda: bad.states[-1].startswith('error: '))
    assert wrong in bad.states[-1]
    assert bad.samples == []


def test_a_type_is_discovered_beside_a_route_with_a_wrong_one(bridge_graph, peer):
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    bad, open_ = Heard(), Heard()
    asked = [('std_msgs/msg/Int32', bad), (None, open_)]
    ros.want([TopicRequest('/guessed', name, Qos(), heard) for name, heard in asked])
    ros.start()
    bridge_graph.start()
    publisher = peer.node.create_publisher(String, '/guessed', LATCHED)
    publisher.publish(String(data='x'))
    eventually(lambda: open_.texts() == ['x'])
    eventually(lambda: open_.states[-1] == 'open')
    eventually(lambda: 'expected std_msgs/msg/Int32' in bad.states[-1])
    assert bad.samples == []


def test_a_discovered_type_is_discovered_anew_when_its_last_publisher_is_gone(bridge_graph, peer):
    (heard,) = listening(bridge_graph, '/replaced')
    with Graph(name='old') as old:
        old.node.create_publisher(String, '/replaced', LATCHED).publish(String(data='old'))
        eventually(lambda: heard.texts() == ['old'])
        new = peer.node.create_publisher(Int32, '/replaced', LATCHED)
        new.publish(Int32(data=7))
        eventually(lambda: 'a publisher sends std_msgs/msg/Int32' in heard.states[-1])
    eventually(lambda: heard.message.name == 'std_msgs/msg/Int32')
    eventually(lambda: len(heard.samples) == 2)
    assert deserialize_message(heard.samples[1], Int32).data == 7
    assert heard.states[-1] == 'open'


@pytest.mark.filterwarnings('ignore::DeprecationWarning')  # by which rclpy reports it as well
def test_an_error_that_ends_the_spinning_is_reported_once(bridge_graph, caplog):
    def fail():
        raise ZeroDivisionError('a bug')

    bridge_graph.node.create_timer(0.01, fail)
    bridge_graph.start()
    eventually(lambda: bridge_graph.failures)
    assert bridge_graph.failures == ['spinning ended']
    assert 'ZeroDivisionError: a bug' in caplog.text


STORM = """
import os, random, sys, time
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
rclpy.init(domain_id=int(sys.argv[1]))
node = rclpy.create_node('storm', enable_rosout=False, start_parameter_services=False)
print('ready', flush=True)
end = time.monotonic() + float(sys.argv[2])
made = []
while time.monotonic() < end:
    topic = f'/storm_{random.randrange(10)}'
    made.append(node.create_publisher(String, topic, random.choice([10, best_effort])))
    made[-1].publish(String(data='x'))
    if len(made) > 10:
        node.destroy_publisher(made.pop(0))
os._exit(0)
"""


def test_entities_made_and_destroyed_while_other_nodes_come_and_go(bridge_graph):
    """The storm that crashes EventsExecutor where an entity has event callbacks."""
    names = [f'/storm_{number}' for number in range(10)]
    listening(bridge_graph, *names)
    with subprocess.Popen(
        [sys.executable, '-c', STORM, str(DOMAIN), '6'], stdout=subprocess.PIPE, text=True
    ) as storm:
        assert storm.stdout.readline() == 'ready\n'
        ros = RosSide(bridge_graph.add_node(f'{BRIDGE_NODE}two'), LOG, has_gid=True)
        rounds = 0
        while storm.poll() is None:
            publisher = ros.publisher('/storm_1', 'std_msgs/msg/String', Qos(), latched=False)
            publisher.open()
            publisher.publish(bytes(serialize_message(String(data=str(rounds)))))
            ros.release(publisher)
            rounds += 1
        assert storm.returncode == 0
    assert rounds > 100
    assert not bridge_graph.failures


def test_the_match_is_all_or_weakest():
    text = types.describe(String)
    reliable = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    weak = BEST_EFFORT
    assert qos.for_subscription(Qos(), [], text).reliability == ReliabilityPolicy.BEST_EFFORT
    both = qos.for_subscription(Qos(), [reliable, weak], text)
    assert both.reliability == ReliabilityPolicy.BEST_EFFORT
    assert both.durability == DurabilityPolicy.VOLATILE
    strong = qos.for_subscription(Qos(), [reliable, reliable], text)
    assert strong.reliability == ReliabilityPolicy.RELIABLE
    assert strong.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert strong.depth >= 5  # more than the publishers that a test or a robot has
    asked = qos.for_subscription(Qos('best_effort', 'volatile', 3), [reliable], text)
    assert (asked.reliability.name, asked.durability.name, asked.depth) == (
        'BEST_EFFORT',
        'VOLATILE',
        3,
    )


@pytest.mark.parametrize('blob', [CompressedImage, OccupancyGrid])
def test_images_and_grids_wait_in_shorter_queues(blob):
    deep = qos.for_subscription(Qos(), [], types.describe(String)).depth
    assert qos.for_subscription(Qos(), [], types.describe(blob)).depth < deep
    deep = qos.for_publisher(Qos(), False, types.describe(String)).depth
    assert qos.for_publisher(Qos(), False, types.describe(blob)).depth < deep


def test_what_later_subscribers_receive_is_little():
    message = types.describe(String)
    for asked, latched in ((Qos(), True), (Qos(durability='transient_local'), False)):
        profile = qos.for_publisher(asked, latched, message)
        assert profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        assert profile.depth <= 10


def test_idle_topics_are_not_asked_for_one_by_one(bridge_graph, peer, monkeypatch):
    count = 200
    names = [f'/idle{number}' for number in range(count)]
    publishers = [peer.node.create_publisher(String, name, 10) for name in names[: count // 2]]
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    heard = [Heard() for _ in names]
    ros.want(requests(names, heard, 'std_msgs/msg/String'))
    outs = [
        ros.publisher(f'/out{number}', 'std_msgs/msg/String', Qos(), latched=False)
        for number in range(count)
    ]
    for out in outs:
        out.open()
    bridge_graph.start()
    eventually(lambda: all(route.states[-1:] == ['open'] for route in heard[: len(publishers)]))
    asked = []
    for method in (
        'count_publishers', 'get_publishers_info_by_topic', 'get_subscriptions_info_by_topic',
    ):  # fmt: skip
        real = getattr(bridge_graph.node, method)
        monkeypatch.setattr(
            bridge_graph.node,
            method,
            lambda topic, real=real: asked.append(topic) or real(topic),
        )

    def few_are_asked_for() -> bool:
        """Whether all topics had their turn, and few were looked at."""
        asked.clear()
        turn = ros._turn
        eventually(lambda: ros._turn >= turn + TURNS)
        states = [out.state() for out in outs]
        assert states == ['open'] * count
        return len(asked) <= (ros._turn - turn + 1) * 2 * CLOSE_LOOKS

    eventually(few_are_asked_for, 20)  # not while DDS still matches


def test_a_topic_among_many_is_found_at_the_next_poll(bridge_graph, peer):
    names = [f'/many{number}' for number in range(200)]
    ros = RosSide(bridge_graph.node, LOG, has_gid=has_publisher_gid())
    heard = [Heard() for _ in names]
    ros.want(requests(names, heard))
    bridge_graph.start()
    eventually(lambda: ros._turn > 1)
    publisher = peer.node.create_publisher(String, names[117], LATCHED)
    publisher.publish(String(data='x'))
    look = bridge_graph.node.get_publishers_info_by_topic
    eventually(lambda: [info.node_name for info in look(names[117])] == ['peer'])
    turn = ros._turn
    eventually(lambda: heard[117].states[-1:] == ['open'])
    assert ros._turn - turn <= 2


def test_a_publisher_of_other_qos_in_the_same_node_is_noticed(bridge_graph, peer):
    (heard,) = listening(bridge_graph, '/again')
    reliable = peer.node.create_publisher(String, '/again', 10)
    peer.until_matched(reliable)
    peer.node.destroy_publisher(reliable)
    weak = peer.node.create_publisher(String, '/again', BEST_EFFORT)
    peer.until_matched(weak, reliability=ReliabilityPolicy.BEST_EFFORT)
    weak.publish(String(data='x'))
    eventually(lambda: heard.texts() == ['x'])


def test_topics_of_which_a_node_s_ends_changed_are_found():
    graph = {'a': [('/x', ['T'])], 'b': [('/x', ['T']), ('/y', ['T'])]}

    def ask(node, namespace):
        if node not in graph:
            raise RuntimeError('no such node')
        return graph[node]

    ends = EndsWatch(lambda topic: 0, ask)
    topics = ['/x', '/y', '/z', '/1', '/2']  # more than nodes
    nodes = [('a', '/'), ('b', '/'), ('gone', '/')]
    assert ends.changed(topics, nodes) == {'/x', '/y'}
    assert ends.changed(topics, nodes) == set()
    graph['a'] = [('/x', ['T']), ('/z', ['T'])]
    assert ends.changed(topics, nodes) == {'/z'}
    graph['b'] = [('/x', ['T']), ('/y', ['Other'])]
    assert ends.changed(topics, nodes) == {'/y'}
    assert ends.changed(topics, [*nodes, ('a', '/')]) == {'/x', '/z'}  # another node of this name
    assert ends.changed(topics, [('b', '/')]) == {'/x', '/z'}
    assert ends.changed(topics, []) == {'/x', '/y'}


def test_of_many_nodes_new_ones_are_asked_at_once_and_all_others_every_second_time():
    graph = {f'n{number}': [(f'/t{number}', ['T'])] for number in range(3 * MANY_NODES)}
    asked = []
    ends = EndsWatch(lambda topic: 0, lambda node, _: asked.append(node) or graph[node])

    def poll():
        asked.clear()
        return ends.by_node([(node, '/') for node in graph])

    assert len(poll()) == 3 * MANY_NODES
    poll()
    first = set(asked)
    assert 0 < len(first) < 3 * MANY_NODES
    poll()
    assert set(asked) == graph.keys() - first
    del graph['n0']
    graph['new'] = [('/new', ['T'])]
    assert poll() == {'/t0', '/new'}
    graph['n1'] = [('/other', ['T'])]
    assert poll() | poll() == {'/t1', '/other'}


def test_few_topics_among_many_nodes_are_asked_for_one_by_one():
    counts = {'/x': 1, '/y': 0}

    def ask(node, namespace):
        raise AssertionError('too many nodes to be asked')

    ends = EndsWatch(counts.__getitem__, ask)
    nodes = [(f'n{number}', '/') for number in range(100)]
    assert ends.changed(counts.keys(), nodes) == {'/x', '/y'}
    assert ends.changed(counts.keys(), nodes) == set()
    counts['/y'] = 1
    assert ends.changed(counts.keys(), nodes) == {'/y'}


def test_diagnostics_are_made_only_for_a_subscriber_and_anew_only_where_they_changed(peer):
    reports = {name: RouteReport(name, 'ros_to_redis', 'open') for name in ('one', 'two')}
    asked = []
    diagnostics = Diagnostics(
        peer.node, 'robot1', lambda: asked.append(None) or dict(reports), dict, LOG
    )
    diagnostics._publish()
    assert not asked
    with Graph(name='listener') as listener:
        received = listener.collect(DiagnosticArray, '/diagnostics')
        listener.start()
        eventually(lambda: len(received) > 1)
        said = [(status.name, status.message) for status in received[-1].status]
        assert said[1:] == [('peer: one', 'open'), ('peer: two', 'open')]
        one, two = (diagnostics._statuses[name][1] for name in reports)
        reports['two'] = RouteReport('two', 'ros_to_redis', 'error: x')
        eventually(lambda: received[-1].status[-1].message == 'error: x')
        assert diagnostics._statuses['one'][1] is one
        assert diagnostics._statuses['two'][1] is not two
