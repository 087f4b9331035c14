# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A headless Chromium, driven through its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiohttp
from support import eventually

CALL_S = 20.0
START_S = 40.0


def program() -> str | None:
    """Return Chromium, if it is installed."""
    return shutil.which('chromium') or shutil.which('chromium-browser')


class Chromium:
    """A browser with a profile of its own, and one page."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 800) -> None:
        self.errors: list[str] = []  # of the console, and exceptions
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._reader: asyncio.Task[None] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._log = (folder / 'chromium.log').open('wb')
        self.process = subprocess.Popen(
            [
                str(program()), '--headless=new', '--no-sandbox', '--disable-gpu',
                '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions',
                '--disable-background-networking', '--disable-component-update',
                '--js-flags=--expose-gc', '--remote-debugging-port=0',
                f'--user-data-dir={folder / "profile"}', f'--window-size={width},{height}',
                'about:blank',
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'HOME': str(folder)},
        )  # fmt: skip
        self._thread.start()
        port_file = folder / 'profile' / 'DevToolsActivePort'
        try:
            eventually(lambda: port_file.is_file() and '\n' in port_file.read_text(), START_S)
            port = int(port_file.read_text().split()[0])
            self._run(self._connect(port), START_S)
            for domain in ('Page', 'Runtime', 'Log', 'Network'):
                self.call(f'{domain}.enable')
            self.resize(width, height)
        except BaseException:
            self.close()
            raise

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        return self._run(self._call(method, params))

    def open(self, url: str) -> None:
        """Go to a page; returns once it is there."""
        self.call('Page.navigate', url=url)
        eventually(lambda: self.js('document.readyState') == 'complete', CALL_S)

    def js(self, expression: str) -> Any:
        """Return the value of an expression; promises are waited for."""
        reply = self.call(
            'Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True
        )
        if 'exceptionDetails' in reply:
            raise AssertionError(reply['exceptionDetails'])
        return reply['result'].get('value')

    def text(self, selector: str) -> str:
        """Return the visible text of an element; '' if there is none."""
        return str(self.js(f'document.querySelector({json.dumps(selector)})?.innerText ?? ""'))

    def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        box = self.js(
            f'(() => {{ const e = document.querySelector({json.dumps(selector)}); '
            'e.scrollIntoView({block: "center"}); const b = e.getBoundingClientRect(); '
            'return [b.x + b.width / 2, b.y + b.height / 2]; })()'
        )
        self.click_at(*box)

    def click_at(self, x: float, y: float) -> None:
        """Click on a place of the page, in CSS pixels."""
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

    def type(self, text: str) -> None:
        """Type into the element that has the focus."""
        self.call('Input.insertText', text=text)

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Give the page another size."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width, height=height, deviceScaleFactor=1, mobile=mobile,
        )  # fmt: skip

    def set_dark(self, is_dark: bool) -> None:
        """Have the page believe that the user prefers dark pages."""
        feature = {'name': 'prefers-color-scheme', 'value': 'dark' if is_dark else 'light'}
        self.call('Emulation.setEmulatedMedia', features=[feature])

    def screenshot(self, path: Path) -> None:
        """Write a picture of the page."""
        data = self.call('Page.captureScreenshot', format='png')['data']
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(Exception):
            self._run(self._call('Browser.close', {}), 3.0)
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(Exception):
            self._run(self._disconnect(), 3.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()
        self._log.close()

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, Any], seconds: float = CALL_S) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    async def _connect(self, port: int) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f'http://127.0.0.1:{port}/json/list') as reply:
            pages = await reply.json()
        url = next(page['webSocketDebuggerUrl'] for page in pages if page['type'] == 'page')
        self._socket = await self._session.ws_connect(url, max_msg_size=0)
        self._reader = asyncio.create_task(self._read())

    async def _disconnect(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
            await self._socket.close()
            await self._session.close()

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if 'id' in said:
                call = self._calls.pop(said['id'])
                if 'error' in said:
                    call.set_exception(AssertionError(said['error']))
                elif not call.done():
                    call.set_result(said['result'])
            else:
                self._note(said['method'], said['params'])

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == 'Runtime.exceptionThrown':
            self.errors.append(json.dumps(params['exceptionDetails']))
        elif method == 'Runtime.consoleAPICalled' and params['type'] in ('error', 'warning'):
            self.errors.append(json.dumps(params['args']))
        elif method == 'Log.entryAdded' and params['entry']['level'] in ('error', 'warning'):
            self.errors.append(params['entry']['text'])

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        number = next(self._numbers)
        call = self._calls[number] = self._loop.create_future()
        await self._socket.send_json({'id': number, 'method': method, 'params': params})
        return await call
