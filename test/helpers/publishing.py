# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A process whose nodes publish on topics that come and go, for tests."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from processes import end_process

HELPERS = Path(__file__).parent
NUMBER = 'std_msgs/msg/Int32'
# DDS believes for so long that a killed process lives: 20 s if nobody says otherwise.
LEASE_S = 1
SHORT_LEASE = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <participant profile_name="short_lease" is_default_profile="true">
    <rtps><builtin><discovery_config>
      <leaseDuration><sec>{LEASE_S}</sec></leaseDuration>
      <leaseAnnouncement><sec>0</sec><nanosec>100000000</nanosec></leaseAnnouncement>
    </discovery_config></builtin></rtps>
  </participant>
</profiles>
"""


class Publishing:
    """A process of nodes `publishing_0` and so on, which share its topics.

    :param hz: how often each topic has a message; numbers (std_msgs/msg/Int32) count up.
    :param folder: where the settings of a short lease of DDS are written; None: no such lease.
    """

    def __init__(
        self, domain: int, *, nodes: int = 1, hz: float = 10.0, folder: Path | None = None
    ) -> None:
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(HELPERS), *sys.path])}
        if folder is not None:
            profiles = folder / 'short_lease.xml'
            profiles.write_text(SHORT_LEASE)
            for name in ('FASTDDS', 'FASTRTPS'):  # the second one for Jazzy
                environment[f'{name}_DEFAULT_PROFILES_FILE'] = str(profiles)
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(domain), str(nodes), str(hz)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def want(self, topics: Sequence[str] | Mapping[str, str]) -> None:
        """Publish on exactly these topics from now on, each with its type; returns when it is so.

        Topics without a type carry numbers.
        """
        typed = topics if isinstance(topics, Mapping) else dict.fromkeys(topics, NUMBER)
        line = json.dumps(dict(typed)) + '\n'
        self.process.stdin.write(line)
        self.process.stdin.flush()
        said = self.process.stdout.readline()
        assert said == line, said + self.process.stderr.read()

    def kill(self) -> None:
        """End it without a word to DDS."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Publishing:
        return self

    def __exit__(self, *exc_info: object) -> None:
        end_process(self.process)


def main(domain: str, nodes: str, hz: str) -> None:
    """Publish until standard input ends; each line of it is an object of topics and types."""
    import rclpy

    from redis_bridge.ros_io import types

    rclpy.init(domain_id=int(domain))
    made = [
        rclpy.create_node(
            f'publishing_{number}', enable_rosout=False, start_parameter_services=False
        )
        for number in range(int(nodes))
    ]
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put('')

    threading.Thread(target=read, daemon=True).start()
    running: dict[tuple[str, str], tuple[Any, Any, Any]] = {}
    number, due = 0, 0.0
    while True:
        try:
            line = lines.get(timeout=max(due - time.monotonic(), 0) if float(hz) else None)
        except queue.Empty:
            number += 1
            due = time.monotonic() + 1 / float(hz)
            for _, publisher, message in running.values():
                if hasattr(message, 'data') and isinstance(message.data, int):
                    message.data = number
                publisher.publish(message)
            continue
        if not line:
            break
        wanted = json.loads(line)
        for topic in running.keys() - wanted.items():
            node, publisher, _ = running.pop(topic)
            node.destroy_publisher(publisher)
        for index, topic in enumerate(wanted.items()):
            if topic not in running:
                kind = types.load(topic[1])
                node = made[index % len(made)]
                running[topic] = node, node.create_publisher(kind, topic[0], 10), kind()
        print(line, end='', flush=True)
    rclpy.try_shutdown()


if __name__ == '__main__':
    main(*sys.argv[1:])
