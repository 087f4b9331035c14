# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The dashboard as users run it, and what a browser says to it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import eventually

TOKEN = '0123456789abcdef-token'


class DashboardProcess:
    """A `redis-bridge dashboard` process at a free port; `text` is what it has printed."""

    def __init__(self, folder: Path, redis_url: str, *options: str) -> None:
        (folder / 'token').write_text(f'{TOKEN}\n')
        self._log = folder / 'dashboard.log'
        with self._log.open('wb') as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, '-m', 'redis_bridge.cli', 'dashboard', '--url', redis_url,
                    '--port', '0', *(options or ('--token-file', str(folder / 'token'))),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
            )  # fmt: skip
        try:
            self.port = int(eventually(self._address, 20)[1])
        except BaseException:
            self.close()
            raise
        self.host = f'127.0.0.1:{self.port}'
        self.url = f'http://{self.host}/'

    @property
    def text(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    def _address(self) -> re.Match[str] | None:
        assert self.process.poll() is None, self.text
        return re.search(r'http://127\.0\.0\.1:(\d+)/', self.text)

    def close(self) -> int:
        """End it, as Ctrl-C does; return the exit status."""
        self.process.terminate()
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def raw(self, request: bytes) -> bytes:
        """Send bytes, and return the answer up to its end."""
        with socket.create_connection(('127.0.0.1', self.port), timeout=10) as connection:
            connection.sendall(request)
            answer = b''
            while part := connection.recv(65536):
                answer += part
        return answer

    def get(self, path: str = '/', **headers: str) -> bytes:
        """Ask for a path, as it is written here; return head and body."""
        lines = {'Host': self.host, 'Connection': 'close', **headers}
        head = ''.join(f'{name}: {value}\r\n' for name, value in lines.items())
        return self.raw(f'GET {path} HTTP/1.1\r\n{head}\r\n'.encode())

    def __enter__(self) -> DashboardProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Page:
    """What the page does over its WebSocket; `state` is what it knows, by section and key."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.state: dict[str, dict[str, Any]] = {}
        self.replies: list[dict[str, Any]] = []

    async def say(self, **order: Any) -> None:
        """Send an order."""
        await self._socket.send_str(json.dumps(order))

    async def hear(self, acknowledge: bool = True) -> dict[str, Any]:
        """Take one message."""
        message: dict[str, Any] = json.loads(await self._socket.receive_str(timeout=10))
        if acknowledge:
            await self.say(do='ack', n=message['n'])
        for section, values in message.get('set', {}).items():
            self.state.setdefault(section, {}).update(values)
        self.replies += message.get('replies', ())
        return message

    async def reply(self) -> dict[str, Any]:
        """Return the next reply to an order."""
        while not self.replies:
            await self.hear()
        return self.replies.pop(0)
