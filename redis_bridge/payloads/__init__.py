# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Codecs between CDR, plain values and payloads; imports `errors`, `messages` and `protocol`."""
