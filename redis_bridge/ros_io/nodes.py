# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Sets up the two nodes of a bridge: one for topics, one for everything else."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from redis_bridge.errors import BridgeError
from redis_bridge.ros_io.graph import BRIDGE_NODE

PLACE = re.compile(r',? at \S+\.c(pp)?:\d+')  # in the source code of ROS, in its errors


def services_node(context: Context, args: list[str]) -> Node:
    """Return the node that users see, with parameters, diagnostics and the log.

    `args` are the ROS arguments of the process; raises BridgeError if ROS rejects them.
    """
    with _bridge_errors():
        rclpy.init(
            args=['redis_bridge', *args],
            context=context,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        return Node('redis_bridge', context=context)


def looking_node(context: Context) -> Node:
    """Return a node that only asks for what is in the graph; raises BridgeError as above.

    It is hidden, as those of the command line of ROS.
    """
    with _bridge_errors():
        rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
        return Node(
            f'_check_redis_bridge_{os.getpid()}',
            context=context,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )


@contextmanager
def _bridge_errors() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, InvalidParameterTypeException) as error:
        text = ' '.join(PLACE.sub('', str(error)).split())
        if type(error).__name__ == 'UnknownROSArgsError':
            text = f'unknown arguments {text}'
        raise BridgeError(f'ROS does not start: {text}') from None


def topics_node(services: Node, args: list[str], boot: str) -> Node:
    """Return the node that carries topics; `args` are the ROS arguments of the process.

    Of these it follows the remappings of topics, also those of the node `services` alone, but not
    those of nodes or namespaces.
    """
    remappings: list[str] = []
    for flag, given in zip(args, args[1:]):
        rule = given.removeprefix(f'{services.get_name()}:')
        if flag in ('-r', '--remap') and not rule.startswith(('__node:=', '__name:=', '__ns:=')):
            remappings += ['-r', rule]
    return Node(
        f'{BRIDGE_NODE}{boot}',
        context=services.context,
        namespace=services.get_namespace(),
        use_global_arguments=False,
        cli_args=['--ros-args', *remappings] if remappings else [],
        enable_rosout=False,
        start_parameter_services=False,
    )


def string_parameter(node: Node, name: str) -> str:
    """Return a string parameter of the node, empty if it was not given; raises BridgeError."""
    try:
        return str(node.declare_parameter(name, '').value)
    except InvalidParameterTypeException:
        raise BridgeError(
            f'{name}: expected a string, quoted if it looks like a number: -p \'{name}:="7"\''
        ) from None


class RosLog(logging.Handler):
    """Passes the log records of this package to a ROS logger while open."""

    def __init__(self, ros_logger: RcutilsLogger) -> None:
        super().__init__()
        # One line per level: rclpy rejects a call site that changes its severity.
        self._calls: dict[int, Callable[[str], object]] = {
            logging.DEBUG: lambda text: ros_logger.debug(text),
            logging.INFO: lambda text: ros_logger.info(text),
            logging.WARNING: lambda text: ros_logger.warning(text),
            logging.ERROR: lambda text: ros_logger.error(text),
            logging.CRITICAL: lambda text: ros_logger.fatal(text),
        }
        self._logger = logging.getLogger('redis_bridge')

    def __enter__(self) -> logging.Logger:
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False
        self._logger.addHandler(self)
        return self._logger

    def __exit__(self, *exc_info: object) -> None:
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._calls.get(record.levelno, self._calls[logging.INFO])(self.format(record))
