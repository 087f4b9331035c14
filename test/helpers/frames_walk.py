# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Renames frames in plain values by a slow walk, which tests compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis_bridge.messages.types import Array, FieldType, Message, Sequence, String


def rename_all(type_: FieldType, value: Any, rename: Callable[[bytes], bytes]) -> Any:
    """Return a plain value with other names of frames."""
    if isinstance(type_, Message):
        return {
            field.name: rename(value[field.name].encode()).decode(errors='surrogateescape')
            if isinstance(field.type, String)
            and not field.type.wide
            and (field.name == 'frame_id' or field.name.endswith('_frame_id'))
            else rename_all(field.type, value[field.name], rename)
            for field in type_.fields
        }
    if isinstance(type_, (Array, Sequence)) and isinstance(type_.item, Message):
        return [rename_all(type_.item, item, rename) for item in value]
    return value
