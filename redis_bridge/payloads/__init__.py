# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Codecs between CDR, plain values and payloads; imports `errors`, `messages` and `protocol`."""

from redis_bridge.payloads.cdr_codec import Cdr
from redis_bridge.payloads.codec import Codec
from redis_bridge.payloads.json_codec import Json
from redis_bridge.payloads.msgpack_codec import Msgpack
from redis_bridge.payloads.text_codec import Text

CODECS: dict[str, Codec] = {codec.name: codec for codec in (Msgpack(), Json(), Cdr(), Text())}

# For texts: the encodings that carry metadata, and those that carry typed arrays.
WITH_META = ' or '.join(name for name, codec in CODECS.items() if codec.carries_meta)
WITH_ARRAYS = ' or '.join(name for name, codec in CODECS.items() if codec.carries_arrays)
