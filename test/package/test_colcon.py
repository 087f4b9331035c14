# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Builds a copy of the package with colcon and checks what was installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = ('config', 'launch', 'redis_bridge', 'resource')
# What a set of ROS wheels, or a sourced ROS, sets and a Python of another kind must not inherit.
FOREIGN = (
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE',
    'AMENT_PREFIX_PATH',
    'COLCON_PREFIX_PATH',
    'LD_LIBRARY_PATH',
    'PYTHONPATH',
)


def colcon() -> str:
    """Return the path of colcon, by the variable COLCON or from PATH."""
    path = os.environ.get('COLCON') or shutil.which('colcon')
    if not path:
        pytest.skip('no colcon here')
    return path


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in FOREIGN}


def run(*command: str, **options) -> subprocess.CompletedProcess:
    """Run a command and return what it wrote; fail the test where it failed."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=80, **options
    )
    assert done.returncode == 0, f'{command}\n{done.stdout}\n{done.stderr}'
    return done


@pytest.fixture(scope='module')
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with a copy of this package in it."""
    root = tmp_path_factory.mktemp('workspace')
    package = root / 'src' / 'redis_bridge'
    package.mkdir(parents=True)
    for path in CHECKOUT.iterdir():
        if path.is_file() and not path.name.startswith('.'):
            shutil.copy(path, package)
    for folder in SOURCES:
        shutil.copytree(
            CHECKOUT / folder, package / folder, ignore=shutil.ignore_patterns('__pycache__')
        )
    return root


@pytest.fixture(scope='module')
def prefix(workspace: Path) -> Path:
    """Return where colcon installed the package."""
    run(colcon(), 'build', cwd=workspace, env=clean_environment())
    return workspace / 'install' / 'redis_bridge'


def site_packages(prefix: Path) -> Path:
    (found,) = (prefix / 'lib').glob('python3*/site-packages')
    return found


def test_colcon_takes_it_for_an_ament_python_package(workspace):
    listed = run(colcon(), 'list', cwd=workspace, env=clean_environment()).stdout.split('\n')
    assert listed[0].split('\t') == ['redis_bridge', 'src/redis_bridge', '(ros.ament_python)']


def test_the_package_is_in_the_ament_index_with_its_manifest(prefix):
    assert (prefix / 'share/ament_index/resource_index/packages/redis_bridge').is_file()
    manifest = prefix / 'share/redis_bridge/package.xml'
    assert manifest.read_bytes() == (CHECKOUT / 'package.xml').read_bytes()


@pytest.mark.parametrize('folder', ['launch', 'config'])
def test_launch_and_config_files_are_in_the_share_folder(prefix, folder):
    wanted = {path.name for path in (CHECKOUT / folder).iterdir() if path.is_file()}
    assert wanted
    assert {path.name for path in (prefix / 'share/redis_bridge' / folder).iterdir()} == wanted


@pytest.mark.parametrize('name', ['redis_bridge', 'redis-bridge'])
def test_the_executables_are_where_ros2_run_looks_for_them(prefix, name):
    assert os.access(prefix / 'lib/redis_bridge' / name, os.X_OK)


def test_the_package_is_whole(prefix):
    installed = site_packages(prefix) / 'redis_bridge'
    wanted = {
        path.relative_to(CHECKOUT / 'redis_bridge')
        for path in (CHECKOUT / 'redis_bridge').rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }
    there = {
        path.relative_to(installed)
        for path in installed.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }
    assert there == wanted


def test_the_sourced_workspace_offers_the_command_line_and_hides_no_other_program(prefix):
    assert not (prefix / 'lib/redis_bridge/bridge').exists()  # iproute2 has a command of this name
    setup = prefix.parent / 'setup.bash'
    environment = {**clean_environment(), 'PATH': f'{prefix}/other:/usr/bin:/bin'}
    (prefix / 'other').mkdir()
    other = prefix / 'other' / 'redis_bridge'
    other.write_text('#!/bin/sh\n')
    other.chmod(0o755)
    script = f'source {setup} && command -v redis-bridge redis_bridge'
    found = run('bash', '-c', script, env=environment).stdout.split()
    assert found == [str(prefix / 'lib/redis_bridge/redis-bridge'), str(other)]


def installed_program(prefix: Path, name: str) -> tuple[list[str], dict[str, str]]:
    """Return how to start an installed program with this Python, which has what it needs."""
    environment = {**os.environ, 'PYTHONPATH': str(site_packages(prefix))}
    return [sys.executable, str(prefix / 'lib/redis_bridge' / name)], environment


def test_the_installed_command_line_runs(prefix, tmp_path):
    program, environment = installed_program(prefix, 'redis-bridge')
    assert 'check' in run(*program, '--help', env=environment, cwd=tmp_path).stdout


def test_the_installed_node_runs_and_asks_for_its_mapping(prefix, tmp_path):
    pytest.importorskip('rclpy')
    program, environment = installed_program(prefix, 'redis_bridge')
    done = subprocess.run(
        program,
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert 'mapping' in done.stderr
    assert 'Traceback' not in done.stderr
