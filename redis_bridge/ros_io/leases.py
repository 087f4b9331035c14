# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The services by which ROS nodes acquire and release the leases of a mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from rclpy.node import Node
from std_srvs.srv import Trigger

from redis_bridge.mapping.model import LeaseConfig

Answer = Callable[[str], 'tuple[bool, str]']


class LeaseServices:
    """`~/lease/TOKEN/acquire` and `~/lease/TOKEN/release` for each lease.

    `acquire` and `release` take a name and return at once; success and message are their answer.
    """

    def __init__(
        self, node: Node, leases: Iterable[LeaseConfig], acquire: Answer, release: Answer
    ) -> None:
        self._services = [
            node.create_service(
                Trigger, f'~/lease/{lease.token}/{word}', partial(_respond, answer, lease.name)
            )
            for lease in leases
            for word, answer in (('acquire', acquire), ('release', release))
        ]


def _respond(
    answer: Answer, name: str, _: Trigger.Request, response: Trigger.Response
) -> Trigger.Response:
    response.success, response.message = answer(name)
    return response
