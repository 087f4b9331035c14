# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One topic that is carried to Redis, with the subscriptions that its routes share."""

from __future__ import annotations

import logging
from collections.abc import Collection

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo

from redis_bridge.mapping.model import Qos
from redis_bridge.ports import WAITING, TopicReceiver, TopicRequest
from redis_bridge.ros_io import drain, graph, qos
from redis_bridge.ros_io.origin import BlindFilter, OriginFilter, OwnMessages
from redis_bridge.ros_io.readers import Readers
from redis_bridge.ros_io.topic_types import TopicType, TopicTypes


class Topic:
    """A topic whose type and QoS follow its publishers; used in the executor's thread.

    `own` is given if ROS does not identify publishers.
    """

    def __init__(
        self, node: Node, name: str, own: OwnMessages | None, log: logging.Logger
    ) -> None:
        self.name = name
        self._node = node
        self._log = log
        self.requests: list[TopicRequest] = []
        self._asked = Qos()
        self._types = TopicTypes()
        self._carrying: list[TopicReceiver] = []  # the receivers of the type that is carried
        self._states: dict[TopicReceiver, str] = {}
        self._publishers = graph.PublisherWatch(node, name)
        self._origins: OriginFilter | BlindFilter = (
            OriginFilter(self._publishers, self._drop)
            if own is None
            else BlindFilter(self._publishers, self._drop, node.get_name(), own)
        )
        self._readers = Readers(node, self._publishers, own is None, self._deliver)
        self._matched = 0

    @property
    def is_latched(self) -> bool:
        """Whether a subscription gave, when it began, what was published before."""
        return self._readers.is_latched

    @property
    def is_busy(self) -> bool:
        """Whether `poll_graph` has anything to do."""
        is_waiting = bool(self._origins.waiting)
        return is_waiting or self._publishers.may_differ or self._readers.is_busy

    def want(self, requests: Collection[TopicRequest]) -> None:
        """Serve exactly these requests; each may set what others leave open."""
        self.requests = list(requests)
        self._asked = qos.merged([request.qos for request in requests])
        receivers = [request.receiver for request in requests]
        self._carrying = [receiver for receiver in self._carrying if receiver in receivers]
        self._states = {
            receiver: state for receiver, state in self._states.items() if receiver in receivers
        }
        self._publishers.expect_change()

    def expect_change(self) -> None:
        """Have the next poll look at all publishers."""
        self._publishers.expect_change()

    def check_matches(self) -> None:
        """Have the next poll look at all publishers if DDS has matched more or fewer of them."""
        matched = self._readers.count_matched()
        if matched != self._matched:
            self._matched = matched
            self.expect_change()

    def poll_graph(self) -> None:
        """Follow what the graph says of the topic."""
        if self._origins.waiting:
            self._deliver([])
        infos = self._publishers.poll()
        if infos is not None:
            self._follow(infos)
        self._readers.poll()

    def close(self) -> None:
        """End the subscriptions."""
        self._readers.close()

    def _follow(self, infos: list[TopicEndpointInfo]) -> None:
        own = self._node.get_name()
        others = [info for info in infos if info.node_name != own]
        self._readers.learn(infos)
        self._origins.learn(infos)
        before = self._types.carried
        chosen = self._types.choose(
            [request.type for request in self.requests], {info.topic_type for info in others}
        )
        if self._types.carried is not before:
            self._readers.close()
            self._carrying = []
        state = chosen if isinstance(chosen, str) else self._carry(chosen, others)
        for request in self.requests:
            self._set_state(request.receiver, self._types.state_of(request.type, state))

    def _carry(self, chosen: TopicType, publishers: list[TopicEndpointInfo]) -> str:
        """Subscribe as the publishers and the requests want it; return the topic's state."""
        for request in self.requests:
            if request.type in (None, chosen.name) and request.receiver not in self._carrying:
                request.receiver.opened(chosen.message)
                self._carrying.append(request.receiver)
        offered = [info.qos_profile for info in publishers]
        if offered or not self._readers.profiles:
            try:
                self._readers.want(
                    chosen.message_class,
                    qos.for_subscriptions(self._asked, offered, chosen.message),
                    is_placeholder=not offered,
                    follows_durability=self._asked.durability is None,
                )
            except RuntimeError as error:  # DDS allows one type of a topic per process
                return f'error: {" ".join(str(error).split())}'
        profiles = self._readers.profiles
        return self._origins.problem or matched_state(chosen.name, publishers, profiles)

    def _deliver(self, taken: drain.Taken) -> None:
        try:
            batch = [message for message, _ in self._origins.admit(taken)]
            if batch:
                for receiver in self._carrying:
                    receiver.forward(batch)
        except Exception:  # an executor that sees an exception may take the process down
            self._log.exception('%s: a batch was lost', self.name)
            self._drop('internal_error', len(taken))

    def _drop(self, reason: str, count: int) -> None:
        for receiver in self._carrying:
            receiver.drop(reason, count)

    def _set_state(self, receiver: TopicReceiver, state: str) -> None:
        if state != self._states.get(receiver):
            self._states[receiver] = state
            receiver.set_state(state)


def matched_state(
    carried: str, publishers: list[TopicEndpointInfo], profiles: Collection[QoSProfile]
) -> str:
    """Return the state of a topic that is subscribed to as one type with these profiles."""
    strangers = {info.topic_type for info in publishers} - {carried}
    if strangers:
        return f'error: expected {carried}, a publisher sends {", ".join(strangers)}'

    def mismatch(theirs: QoSProfile) -> str | None:
        reasons = [qos.mismatch(theirs, profile) for profile in profiles]
        return None if None in reasons else reasons[0]

    return graph.first_mismatch(publishers, mismatch) or ('open' if publishers else WAITING)
