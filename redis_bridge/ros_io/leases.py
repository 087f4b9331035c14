# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The services by which ROS nodes acquire and release the leases of a mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from rclpy.node import Node
from std_srvs.srv import Trigger

Answer = Callable[[str], 'tuple[bool, str]']


class LeaseServices:
    """`~/lease/NAME/acquire` and `~/lease/NAME/release` for each name.

    `acquire` and `release` take a name and return at once; success and message are their answer.
    """

    def __init__(self, node: Node, names: Iterable[str], acquire: Answer, release: Answer) -> None:
        self._services = [
            node.create_service(Trigger, f'~/lease/{name}/{word}', partial(_respond, answer, name))
            for name in names
            for word, answer in (('acquire', acquire), ('release', release))
        ]


def _respond(
    answer: Answer, name: str, _: Trigger.Request, response: Trigger.Response
) -> Trigger.Response:
    response.success, response.message = answer(name)
    return response
