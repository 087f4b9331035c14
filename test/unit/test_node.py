# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The executable on a machine without ROS."""

import subprocess
import sys

WITHOUT_ROS = """
import sys
sys.modules['rclpy'] = None
from redis_bridge.node import main
sys.exit(main(sys.argv[1:]))
"""


def run(*args):
    return subprocess.run(
        [sys.executable, '-c', WITHOUT_ROS, *args],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_help_needs_no_ros():
    for flag in ('--help', '-h'):
        done = run(flag)
        assert (done.returncode, done.stderr) == (0, '')
        assert done.stdout.startswith('usage: redis_bridge --ros-args -p mapping:=FILE')


def test_what_is_missing_is_named_first_and_how_to_get_it_next():
    done = run('--ros-args', '-p', 'mapping:=m.yaml')
    assert (done.returncode, done.stdout) == (1, '')
    first, *advice = done.stderr.splitlines()
    assert first.startswith('redis_bridge: this needs ROS 2, but the Python module rclpy')
    assert 'setup.bash' in ' '.join(advice)


def test_the_signal_handlers_are_set_before_anything_that_takes_time_to_import():
    script = 'import sys; before = {*sys.modules}; import redis_bridge.node; '
    script += "print(*sorted({name.partition('.')[0] for name in {*sys.modules} - before}))"
    done = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, timeout=30, check=True
    )
    heavy = {'yaml', 'jsonschema', 'redis', 'msgpack', 'numpy', 'rclpy', 'logging', 'ssl'}
    assert not heavy & {*done.stdout.split()}
