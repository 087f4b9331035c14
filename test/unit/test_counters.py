# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The tables of drop reasons and events list all that the code counts."""

import re
import threading

import pytest
from modules import module_name, modules

from redis_bridge.counters import DROP_REASONS, EVENTS, Counters

COUNTED = {
    r"\bcount_event\(\s*'(\w+)'": EVENTS,
    r"\bdrop\(\s*'(\w+)'": DROP_REASONS,
    r"\bRejection\(\s*'(\w+)'": DROP_REASONS,
}


@pytest.mark.parametrize('path', modules(), ids=module_name)
def test_what_the_code_counts_is_in_the_tables(path):
    for pattern, table in COUNTED.items():
        assert set(re.findall(pattern, path.read_text())) <= table.keys()


def test_counts_of_several_threads_add_up():
    counters = Counters()

    def count():
        for _ in range(1000):
            counters.carry(2, 10, 0.5)
            counters.drop('too_old', 3)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.snapshot() == {
        'carried': 8000,
        'bytes': 40_000,
        'latency_s': 2000.0,
        'dropped': {'too_old': 12_000},
        'noted': {},
    }
