# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""How values, tables and errors look on a terminal and in a pipe."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import Any, TextIO

CONTROL = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f]')


def complain(error: object, prefix: str = 'redis-bridge: ') -> None:
    """Print an error or a notice on stderr, even if nobody reads any more."""
    for stream, text in ((sys.stdout, ''), (sys.stderr, f'{prefix}{error}\n')):
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:
            abandon(stream)


def abandon(stream: TextIO) -> None:
    """Redirect a stream to nowhere, so that the interpreter's last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def printable(text: str, stream: TextIO) -> str:
    """Return the text, with control characters escaped if a terminal would obey them."""
    if not stream.isatty():
        return text
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def width_of(stream: TextIO) -> int | None:
    """Return the width of a terminal; None for a pipe, whose lines may have any length."""
    return max(40, shutil.get_terminal_size().columns) if stream.isatty() else None


def cut(line: str, stream: TextIO) -> str:
    """Return the line, shortened to the width of a terminal."""
    width = width_of(stream)
    return line if width is None or len(line) <= width else line[: width - 1] + '…'


def folded(line: str, width: int | None) -> str:
    """Return the line as several if it is longer than that; these are indented further."""
    if width is None or len(line) <= width:
        return line
    indent = ' ' * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def to_json(value: Any) -> str:
    """Return compact JSON by the rules of the json encoding (base64, "NaN", ...)."""
    from redis_bridge.payloads import CODECS

    return CODECS['json'].pack(value).decode()


def to_yaml(value: Any) -> str:
    """Return YAML that ends with a newline, with the innermost maps and lists on one line."""
    import yaml

    text = str(
        yaml.dump(
            _plain(value),
            Dumper=yaml.SafeDumper,
            default_flow_style=None,
            sort_keys=False,
            allow_unicode=True,
            width=shutil.get_terminal_size().columns,
        )
    )
    return text[:-4] if text.endswith('\n...\n') else text


def _plain(value: Any) -> Any:
    """Return the value with arrays as lists, for YAML."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return value.tolist() if hasattr(value, 'tolist') else value


def table(rows: list[tuple[str, ...]], right: tuple[int, ...] = ()) -> Iterable[str]:
    """Yield lines with aligned cells, those of the columns `right` to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield '  '.join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def span(seconds: float) -> str:
    """Return a time span in its two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in ((86400, 'd'), (3600, 'h'), (60, 'min'), (1, 's')):
        number, left = divmod(left, size)
        if number or parts or size == 1:
            parts.append(f'{number} {unit}')
    return ' '.join(parts[:2])


def is_number(value: Any) -> bool:
    """Return whether a value is a number of usual size (true, false and NaN are none)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18
