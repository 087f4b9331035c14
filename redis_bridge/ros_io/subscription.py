# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One topic that is carried to Redis, with the subscription that its routes share."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo

from redis_bridge.errors import InterfaceError
from redis_bridge.mapping.model import Qos
from redis_bridge.messages.types import Message
from redis_bridge.ports import TopicReceiver, TopicRequest
from redis_bridge.ros_io import drain, graph, qos, types
from redis_bridge.ros_io.origin import OriginFilter, gid_of

REMEMBERED = 1000  # latched samples, to recognise them when the subscription is made anew


class Topic:
    """A topic whose type and QoS follow its publishers; used in the executor's thread."""

    def __init__(self, node: Node, name: str, has_gid: bool, log: logging.Logger) -> None:
        self.name = name
        self._node = node
        self._log = log
        self._receivers: list[TopicReceiver] = []
        self._type: str | None = None
        self._asked = Qos()
        self._loaded: tuple[type, Message] | None = None  # the type, once it is known
        self._subscription: drain.RawSubscription | None = None
        self._profile: QoSProfile | None = None
        self._state = ''
        self._publishers = graph.PublisherWatch(node, name)
        self._origins = OriginFilter(self._publishers, self._drop) if has_gid else None
        self._loop_risk = False
        self._seen: OrderedDict[tuple[graph.Gid, object], None] = OrderedDict()

    def want(self, requests: Collection[TopicRequest]) -> None:
        """Serve exactly these requests; each may set what others leave open."""
        before = self._receivers
        self._receivers = [request.receiver for request in requests]
        type_name = next((request.type for request in requests if request.type), self._type)
        if type_name != self._type:
            self.close()
            self._type, self._loaded = type_name, None
        self._asked = _merged([request.qos for request in requests])
        self._publishers.expect_change()
        for receiver in self._receivers:
            if receiver not in before:
                if self._loaded is not None:
                    receiver.opened(self._loaded[1])
                if self._state:
                    receiver.set_state(self._state)

    def poll_graph(self, turn: int) -> None:
        """Follow what the graph says of the topic; `turn` counts up to graph.TURNS."""
        may_rest = self._state == 'open'
        if self._origins is not None and self._origins.waiting:
            self._deliver([])
            may_rest = False
        infos = self._publishers.poll(turn, may_rest)
        if infos is None:
            return
        own = self._node.get_name()
        others = [info for info in infos if info.node_name != own]
        if self._origins is not None:
            self._origins.learn(infos)
        else:
            self._loop_risk = any(map(graph.is_bridge, others))
        try:
            self._follow(others)
        except InterfaceError as error:
            self._set_state(f'error: {error}')

    def close(self) -> None:
        """End the subscription."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _follow(self, publishers: list[TopicEndpointInfo]) -> None:
        kinds = {info.topic_type for info in publishers}
        if self._type is None:
            if len(kinds) != 1:
                several = f'error: publishers of several types: {", ".join(sorted(kinds))}'
                self._set_state(several if kinds else 'waiting for a publisher')
                return
            self._type = kinds.pop()
        if self._loaded is None:
            message_class = types.load(self._type)
            self._loaded = message_class, types.describe(message_class)
            for receiver in self._receivers:
                receiver.opened(self._loaded[1])
        message_class, message = self._loaded
        offered = [info.qos_profile for info in publishers]
        wanted = qos.for_subscription(self._asked, offered, message)
        if self._subscription is None or (offered and wanted != self._profile):
            self.close()  # first, because two subscriptions would deliver everything twice
            self._profile = wanted
            self._subscription = drain.create(
                self._node, message_class, self.name, wanted, self._deliver
            )
        self._set_state(self._describe(publishers, kinds - {self._type}, self._profile or wanted))

    def _describe(
        self, publishers: list[TopicEndpointInfo], strangers: set[str], profile: QoSProfile
    ) -> str:
        if self._loop_risk:
            return (
                'error: another bridge publishes on this topic and this ROS distribution does '
                'not identify publishers; nothing is forwarded, to avoid a loop'
            )
        if strangers:
            return f'error: expected {self._type}, a publisher sends {", ".join(strangers)}'
        mismatch = graph.first_mismatch(publishers, lambda theirs: qos.mismatch(theirs, profile))
        return mismatch or ('open' if publishers else 'waiting for a publisher')

    def _deliver(self, taken: drain.Taken) -> None:
        try:
            batch = self._admitted(taken)
            if batch:
                for receiver in self._receivers:
                    receiver.forward(batch)
        except Exception:  # an executor that sees an exception may take the process down
            self._log.exception('%s: a batch was lost', self.name)
            self._drop('internal_error', len(taken))

    def _admitted(self, taken: drain.Taken) -> list[bytes]:
        if self._loop_risk:
            self._drop('unguarded', len(taken))
            return []
        if self._origins is not None:
            taken = self._origins.admit(taken)
        if self._profile is not None and (
            self._profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        ):
            taken = [sample for sample in taken if self._is_new(sample[1])]
        return [message for message, _ in taken]

    def _is_new(self, info: drain.Info) -> bool:
        """Return whether a latched sample is not one that a new subscription delivers again."""
        if not info:
            return True
        mark = (gid_of(info), info['source_timestamp'])
        if mark in self._seen:
            return False
        self._seen[mark] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def _drop(self, reason: str, count: int) -> None:
        for receiver in self._receivers:
            receiver.drop(reason, count)

    def _set_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            for receiver in self._receivers:
                receiver.set_state(state)


def _merged(asked: Collection[Qos]) -> Qos:
    return Qos(
        next((qos.reliability for qos in asked if qos.reliability), None),
        next((qos.durability for qos in asked if qos.durability), None),
        next((qos.depth for qos in asked if qos.depth), None),
    )
