# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One topic that is carried to Redis, with the subscriptions that its routes share."""

from __future__ import annotations

import logging
from collections.abc import Collection

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo

from redis_bridge.errors import InterfaceError
from redis_bridge.mapping.model import Qos
from redis_bridge.messages.types import Message
from redis_bridge.ports import TopicReceiver, TopicRequest
from redis_bridge.ros_io import drain, graph, qos, types
from redis_bridge.ros_io.origin import BlindFilter, OriginFilter, OwnMessages
from redis_bridge.ros_io.readers import Readers


class Topic:
    """A topic whose type and QoS follow its publishers; used in the executor's thread.

    Routes may disagree about its type. One type is carried at a time, because DDS allows a
    process no more: one that is asked for and published, if there is any. `own` is given if ROS
    does not identify publishers.
    """

    def __init__(
        self, node: Node, name: str, own: OwnMessages | None, log: logging.Logger
    ) -> None:
        self.name = name
        self._node = node
        self._log = log
        self.requests: list[TopicRequest] = []
        self._asked = Qos()
        self._type: str | None = None
        self._loaded: dict[str, tuple[type, Message]] = {}
        self._carrying: list[TopicReceiver] = []  # the receivers of this type
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
        self._asked = _merged([request.qos for request in requests])
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
        kinds = {info.topic_type for info in others}
        problems = self._load({request.type for request in self.requests if request.type})
        chosen = self._choose(kinds)
        if chosen is not None:
            problems.update(self._load({chosen}))
        state = 'waiting for a publisher'
        if chosen is None or chosen in problems:
            if len(kinds) > 1:
                state = f'error: publishers of several types: {", ".join(sorted(kinds))}'
            elif chosen is not None:
                state = f'error: {problems[chosen]}'
        else:
            state = self._carry(chosen, others)
        for request in self.requests:
            self._set_state(request.receiver, self._state_of(request, kinds, problems, state))

    def _load(self, names: Collection[str]) -> dict[str, str]:
        """Load types; return the problems of those that cannot be loaded."""
        problems = {}
        for name in names:
            if name not in self._loaded:
                try:
                    message_class = types.load(name)
                    self._loaded[name] = message_class, types.describe(message_class)
                except InterfaceError as error:
                    problems[name] = str(error)
        return problems

    def _choose(self, kinds: Collection[str]) -> str | None:
        """Return the type to carry, of which one is published; None if it is unknown."""
        asked = [request.type for request in self.requests if request.type in self._loaded]
        candidates = [name for name in asked if name in kinds]
        if not candidates and not all(request.type for request in self.requests):
            # Discovered, even if others ask for a type that is not published.
            if self._type is not None and (not kinds or self._type in kinds):
                return self._type
            if kinds:
                return next(iter(kinds)) if len(kinds) == 1 else None
        candidates = candidates or asked
        if not candidates:
            return None
        return self._type if self._type in candidates else candidates[0]

    def _carry(self, chosen: str, publishers: list[TopicEndpointInfo]) -> str:
        """Subscribe as the publishers and the requests want it; return the topic's state."""
        message_class, message = self._loaded[chosen]
        if chosen != self._type:
            self._readers.close()
            self._type, self._carrying = chosen, []
        for request in self.requests:
            if request.type in (None, chosen) and request.receiver not in self._carrying:
                request.receiver.opened(message)
                self._carrying.append(request.receiver)
        offered = [info.qos_profile for info in publishers]
        if offered or not self._readers.profiles:
            try:
                self._readers.want(
                    message_class,
                    qos.for_subscriptions(self._asked, offered, message),
                    is_placeholder=not offered,
                    follows_durability=self._asked.durability is None,
                )
            except RuntimeError as error:  # DDS allows one type of a topic per process
                return f'error: {" ".join(str(error).split())}'
        return self._describe(publishers)

    def _describe(self, publishers: list[TopicEndpointInfo]) -> str:
        if self._origins.problem is not None:
            return self._origins.problem
        strangers = {info.topic_type for info in publishers} - {self._type}
        if strangers:
            return f'error: expected {self._type}, a publisher sends {", ".join(strangers)}'
        mismatch = graph.first_mismatch(publishers, self._mismatch)
        return mismatch or ('open' if publishers else 'waiting for a publisher')

    def _mismatch(self, theirs: QoSProfile) -> str | None:
        """Return why no subscription matches a publisher, or None if one does."""
        reasons = [qos.mismatch(theirs, profile) for profile in self._readers.profiles]
        return None if None in reasons else reasons[0]

    def _state_of(
        self, request: TopicRequest, kinds: set[str], problems: dict[str, str], state: str
    ) -> str:
        """Return the state of one route; `state` is that of the type that is carried."""
        if request.type in problems:
            return f'error: {problems[request.type]}'
        if request.type in (None, self._type):
            return state
        if kinds - {request.type}:
            return f'error: expected {request.type}, a publisher sends {", ".join(sorted(kinds))}'
        return 'waiting for a publisher'

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


def _merged(asked: Collection[Qos]) -> Qos:
    return Qos(
        next((qos.reliability for qos in asked if qos.reliability), None),
        next((qos.durability for qos in asked if qos.durability), None),
        next((qos.depth for qos in asked if qos.depth), None),
    )
