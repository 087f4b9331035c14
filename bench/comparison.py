# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One kind of message, one direction, some candidates side by side, each idle but in its turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.candidates import IN, OUT, Candidate
from bench.environment import STOP_S, Environment, cpu_seconds
from bench.kinds import Kind
from redis_bridge.demo.processes import Child, stop

READY_S = 30.0
GRACE_S = 0.02  # what may still be under way when the last message was sent
SETTLE_S = 0.05
CALM_S = 1.0  # for discovery among so many processes to come to rest
ARRIVING = 0.99  # the share that has to arrive
BUSY = 0.9  # of a core: a receiver that takes so much can hardly count faster
PUNCTUAL = 1.03  # a load that took longer than this times its window did not offer its rate


@dataclass(frozen=True)
class Trial:
    """What came of sending to one candidate for a while."""

    rate: float
    sent: int
    arrived: int  # when the last had been sent
    seconds: float
    wanted_s: float
    cpu_us: float  # of the candidate, all its processes, for each message that arrived in the end
    server_us: float
    receiver_cores: float = 0.0  # towards ROS; towards Redis the server counts

    @property
    def is_offered(self) -> bool:
        """Whether the load could send at the rate."""
        return self.seconds <= PUNCTUAL * self.wanted_s + GRACE_S

    @property
    def is_sustained(self) -> bool:
        """Whether the candidate kept up with the rate."""
        return self.is_offered and self.arrived >= ARRIVING * self.sent

    @property
    def is_load_limited(self) -> bool:
        """Whether it was the load that could not send at the rate, or the receiver not take it."""
        if not self.is_offered:
            return self.arrived >= ARRIVING * self.sent
        return not self.is_sustained and self.receiver_cores >= BUSY


class Comparison:
    """The processes of one comparison, started and warm; closing it ends them."""

    def __init__(
        self, environment: Environment, direction: str, kind: Kind, candidates: Sequence[Candidate]
    ) -> None:
        self.direction = direction
        self.kind = kind
        self.candidates = {candidate.name: candidate for candidate in candidates}
        self._environment = environment
        self._opened = ExitStack()
        self._children: dict[str, Child] = {}

    def __enter__(self) -> Comparison:
        try:
            self._start()
            for name in self.candidates:
                self._warm_up(name)
            time.sleep(CALM_S)
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._opened.close()

    def _start(self) -> None:
        environment, kind, direction = self._environment, self.kind, self.direction
        candidates = list(self.candidates.values())
        near, far = ('ros', 'redis') if direction == OUT else ('redis', 'ros')
        started: list[Child] = []
        self._opened.callback(stop, started, STOP_S)
        self._load, child = environment.agent('load', 'load', near, kind, candidates)
        started.append(child)
        self._receiver, child = environment.agent('receiver', 'receiver', far, kind, candidates)
        self._receiver_pid = child.pid
        started.append(child)
        for candidate in candidates:
            url = environment.url_of(candidate)
            command = candidate.command(direction, kind, url, environment.folder)
            child = environment.start(candidate.slug, command, large=kind.is_large)
            self._children[candidate.name] = child
            started.append(child)

    def _warm_up(self, name: str) -> None:
        """Send a little until all of it arrives."""
        candidate = self.candidates[name]
        count = max(10, candidate.routes)
        deadline = time.monotonic() + READY_S
        while True:
            before = self._count(name)
            self._load.do('send', candidate=name, rate=count / 0.2, seconds=0.2)
            time.sleep(2 * SETTLE_S)
            if candidate.program == 'empty' or self._count(name) - before >= count:
                return
            if how_it_ended := self._children[name].how_it_ended():
                raise RuntimeError(how_it_ended)
            if time.monotonic() > deadline:
                log = '\n'.join(self._children[name].last_lines())
                raise RuntimeError(f'{name} carries nothing ({self.kind.name}):\n{log}')

    def pid(self, name: str) -> int:
        """Return the process of a candidate."""
        return self._children[name].pid

    def _cpu_seconds(self, name: str) -> tuple[float, float, float]:
        """Return the CPU time of a candidate, all servers and the receiver."""
        own = cpu_seconds(self._children[name].pid)
        servers = sum(cpu_seconds(server.pid) for server in self._environment.servers)
        return own, servers, cpu_seconds(self._receiver_pid)

    def trial(self, name: str, rate: float, seconds: float) -> Trial:
        """Send to one candidate at a rate, and see what arrives and what it costs."""
        self._environment.go_on()
        seconds = max(seconds, 4 / rate)
        count = self._count(name)
        before = self._cpu_seconds(name)
        report = self._load.do('send', candidate=name, rate=rate, seconds=seconds)
        time.sleep(max(GRACE_S, 2 / rate))
        arrived = self._count(name) - count
        final = self._settle(name) - count
        own, servers, receivers = (
            now - past for now, past in zip(self._cpu_seconds(name), before)
        )
        sent = round(report['sent'])
        if self.candidates[name].program == 'empty':  # it reports nothing
            arrived = final = sent
        each = 1e6 / max(final, 1)
        took = report['seconds']
        cores = receivers / took if self.direction == IN else 0.0
        return Trial(rate, sent, arrived, took, seconds, own * each, servers * each, cores)

    def timed(self, name: str, rate: float, seconds: float) -> tuple[Trial, list[float]]:
        """Do a trial with the receiver's clock on; add the milliseconds until each arrived."""
        self._receiver.do('begin', candidate=name)
        trial = self.trial(name, rate, seconds)
        return trial, self._receiver.do('end', candidate=name)

    def _count(self, name: str) -> int:
        if self.direction == OUT:
            return self._environment.published()
        return int(self._receiver.do('count', candidate=name))

    def _settle(self, name: str) -> int:
        """Wait until nothing more arrives; return the count."""
        deadline = time.monotonic() + 2.0
        count = -1
        while (now := self._count(name)) != count and time.monotonic() < deadline:
            count = now
            time.sleep(SETTLE_S)
        return now
