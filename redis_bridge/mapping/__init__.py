# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""From the YAML file to dataclasses; imports `errors`, `messages`, `payloads`, `protocol`."""
