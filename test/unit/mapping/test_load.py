# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What a mapping file may say, and what is said of one that says something else."""

from __future__ import annotations

import dataclasses
import json
import string
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redis_bridge.errors import MappingError
from redis_bridge.mapping import load as loading
from redis_bridge.mapping import model, schema
from redis_bridge.mapping.plan import plan

CONFIG = Path(__file__).parents[3] / 'config'


def load(tmp_path, text, *, robot='r1', environ=None, **options):
    file = tmp_path / 'm.yaml'
    file.write_text(text, encoding='utf-8')
    return loading.load(file, robot=robot, environ=environ or {}, **options)


def mistakes(tmp_path, text, **options):
    """Return what is wrong with a load, without the folder that the file is in."""
    with pytest.raises(MappingError) as error:
        load(tmp_path, text, **options)
    assert str(error.value) == '\n'.join(map(str, error.value.errors))
    return [str(mistake).replace(f'{tmp_path}/', '') for mistake in error.value.errors]


def out(route, more=''):
    """Return a mapping of one outbound route, in flow style; the route stands on line 3."""
    return f'version: 1\nros_to_redis:\n- {{{route}}}\n{more}'


def into(route, more=''):
    """Return a mapping of one inbound route, in flow style; the route stands on line 3."""
    return f'version: 1\nredis_to_ros:\n- {{{route}}}\n{more}'


# --- mappings that are good --------------------------------------------------------------------
@pytest.mark.parametrize('name', ['minimal.yaml', 'reference.yaml', 'teleop.yaml'])
@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
def test_the_shipped_mappings_are_good_and_raise_no_doubts(name, distro):
    loaded = loading.load(CONFIG / name, robot='robot1', environ={})
    made = plan(loaded, distro)
    assert (made.warnings, made.refusals) == ((), ())


def test_the_minimal_mapping_has_ten_lines():
    assert len((CONFIG / 'minimal.yaml').read_text(encoding='utf-8').splitlines()) <= 10


def _properties(node, path=()):
    """Yield (path, schema) of all properties in the schema."""
    if '$ref' in node:
        node = schema.schema()['definitions'][node['$ref'].rsplit('/', 1)[1]]
    for name, inner in node.get('properties', {}).items():
        yield (*path, name), inner
        yield from _properties(inner, (*path, name))
    if isinstance(node.get('items'), dict):
        yield from _properties(node['items'], path)


def _values(value, path=()):
    """Yield (path, value) of all that a document says, lists left out of the paths."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), inner
            yield from _values(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, path)


def _default(node):
    if '$ref' in node:
        node = schema.schema()['definitions'][node['$ref'].rsplit('/', 1)[1]]
    return node.get('default', ...)


def test_the_reference_shows_every_option_at_its_default():
    document = yaml.safe_load((CONFIG / 'reference.yaml').read_text(encoding='utf-8'))
    said = {}
    for path, value in _values(document):
        said.setdefault(path, []).append(value)
    for path, node in _properties(schema.schema()):
        assert path in said, f'{".".join(path)} is not in reference.yaml'
        default = _default(node)
        if default is not ... and isinstance(default, (str, int, float, bool, list)):
            assert set(map(str, said[path])) == {str(default)}, path
        elif default is None:
            assert None in said[path] or isinstance(said[path][0], dict), path


def test_every_property_of_the_schema_is_described():
    for path, node in _properties(schema.schema()):
        target = node
        if '$ref' in node:
            target = schema.schema()['definitions'][node['$ref'].rsplit('/', 1)[1]]
        if path[-1] != 'name':
            assert target.get('description'), path


def test_the_reference_is_what_the_dataclasses_have_as_defaults():
    loaded = loading.load(CONFIG / 'reference.yaml', environ={})
    assert loaded.robot == 'robot1'

    def check(value):
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            if isinstance(inner, tuple):
                for item in filter(dataclasses.is_dataclass, inner):
                    check(item)
            elif dataclasses.is_dataclass(inner):
                check(inner)
            if default is not dataclasses.MISSING and field.name not in (
                'ros_to_redis',
                'redis_to_ros',
                'stop',
            ):
                assert inner == default, f'{type(value).__name__}.{field.name}'

    check(loaded)


def test_the_schema_is_a_draft_7_schema_and_ships_beside_the_module():
    file = Path(loading.__file__).with_name('schema.json')
    shipped = json.loads(file.read_text(encoding='utf-8'))
    jsonschema.Draft7Validator.check_schema(shipped)
    assert shipped == schema.schema()


def test_a_whole_mapping_becomes_routes(tmp_path):
    loaded = load(
        tmp_path,
        """\
version: 1
redis: {url: "rediss://redis.example:6380/2", username: bridge, password_file: secret.txt,
        tls: {ca: /etc/ca.pem, min_version: 1.2}}
vars: {site: north, floor: 3}
defaults: {encoding: json, qos: {depth: 7}, max_rate_hz: 5, deliver: latest}
ros_to_redis:
  - topic: /odom
    type: nav_msgs/Odometry
    max_rate_hz: null
    meta: false
    qos: {reliability: best_effort}
    to:
      channel: "{site}:{robot}:odom"
      key: {name: "{{robot}}:odom", ttl_ms: 5000, encoding: msgpack, arrays: typed}
      stream: {name: "{floor}", maxlen: 10, durability: fsynced}
  - topic: /battery
    fields: [percentage, voltage]
    on_change: true
    to: {hash: {name: battery, ttl_ms: 9.0}}
redis_to_ros:
  - stream: {name: tasks, from: group, group: "{robot}"}
    topic: "/{robot}/cmd_vel"
    type: geometry_msgs/msg/Twist
    max_age_ms: 200
    limits: {linear.x: [-1, 1]}
    required: [linear]
    set: {linear.y: 0, header.stamp: now}
    stop: {after_ms: 500, message: {linear: {x: 0}}}
  - key: learning_rate
    topic: /learning_rate
    type: std_msgs/Float64
    field: data
    encoding: text
    initial: skip
presence: {every_ms: 1000}
executor: single_threaded
""",
    )
    assert loaded == model.Mapping(
        path=f'{tmp_path}/m.yaml',
        robot='r1',
        redis=model.RedisSettings(
            'rediss://redis.example:6380/2',
            'bridge',
            f'{tmp_path}/secret.txt',
            model.Tls(ca='/etc/ca.pem', min_version='1.2'),
        ),
        ros_to_redis=(
            model.RosToRedis(
                where=f'{tmp_path}/m.yaml:7: ros_to_redis[0]',
                topic='/odom',
                type='nav_msgs/msg/Odometry',
                meta=False,
                qos=model.Qos(reliability='best_effort', depth=7),
                sinks=(
                    model.KeySinkConfig('{r1}:odom', 'msgpack', 'typed', 5000),
                    model.StreamSinkConfig('3', 'json', 'list', 10, 'fsynced'),
                    model.ChannelSinkConfig('north:r1:odom', 'json'),
                ),
            ),
            model.RosToRedis(
                where=f'{tmp_path}/m.yaml:16: ros_to_redis[1]',
                topic='/battery',
                fields=('percentage', 'voltage'),
                on_change=True,
                max_rate_hz=5,
                qos=model.Qos(depth=7),
                sinks=(model.HashSinkConfig('battery', 9),),
            ),
        ),
        redis_to_ros=(
            model.RedisToRos(
                where=f'{tmp_path}/m.yaml:21: redis_to_ros[0]',
                source=model.StreamSourceConfig('tasks', 'group', 'r1'),
                topic='/r1/cmd_vel',
                type='geometry_msgs/msg/Twist',
                encoding='json',
                max_age_ms=200,
                deliver='latest',
                limits={'linear.x': (-1.0, 1.0)},
                required=('linear',),
                set={'linear.y': 0, 'header.stamp': 'now'},
                stop=model.Stop(500, {'linear': {'x': 0}}),
                qos=model.Qos(depth=7),
            ),
            model.RedisToRos(
                where=f'{tmp_path}/m.yaml:29: redis_to_ros[1]',
                source=model.KeySourceConfig('learning_rate', 'skip'),
                topic='/learning_rate',
                type='std_msgs/msg/Float64',
                field='data',
                encoding='text',
                deliver='latest',
                qos=model.Qos(depth=7),
            ),
        ),
        presence=model.Heartbeat(1000, 6000),
        executor='single_threaded',
    )


def test_a_name_alone_is_short_for_a_map_with_the_name(tmp_path):
    short = load(tmp_path, out('topic: /a, to: {key: k, hash: h, stream: s, channel: k}'))
    long = load(
        tmp_path,
        out(
            'topic: /a, '
            'to: {key: {name: k}, hash: {name: h}, stream: {name: s}, channel: {name: k}}'
        ),
    )
    assert short == long
    for kind in ('channel', 'key', 'stream'):
        rest = 'topic: /a, type: std_msgs/String'
        assert load(tmp_path, into(f'{kind}: x, {rest}')) == load(
            tmp_path, into(f'{kind}: {{name: x}}, {rest}')
        )


def test_the_defaults_of_keys_do_not_reach_other_sources(tmp_path):
    text = into(
        'key: x, topic: /a, type: std_msgs/String}\n- {stream: y, topic: /b, type: std_msgs/Int8',
        'defaults: {initial: skip, max_bytes: 5, arrays: typed, encoding: json}',
    )
    key, stream = load(tmp_path, text).redis_to_ros
    assert key.source.initial == 'skip'
    assert (key.max_bytes, stream.max_bytes, stream.encoding) == (5, 5, 'json')


def test_typed_arrays_from_the_defaults_only_concern_msgpack(tmp_path):
    text = out(
        'topic: /a, to: {key: {name: k, encoding: json}, channel: k}', 'defaults: {arrays: typed}'
    )
    key, channel = load(tmp_path, text).ros_to_redis[0].sinks
    assert (key.arrays, channel.arrays) == ('list', 'typed')


def test_anchors_and_merge_keys_work(tmp_path):
    loaded = load(
        tmp_path,
        """\
version: 1
ros_to_redis:
  - &base
    topic: /a
    max_rate_hz: 5
    on_change: true
    to: {channel: a}
  - <<: *base
    topic: /b
    to: {channel: b}
  - <<: [{meta: false, on_change: false}, *base]
    topic: /c
    to: {channel: c}
""",
    )
    assert [
        (route.topic, route.max_rate_hz, route.on_change, route.meta)
        for route in loaded.ros_to_redis
    ] == [('/a', 5, True, True), ('/b', 5, True, True), ('/c', 5, False, False)]


# --- where the robot's name, variables and the url come from -------------------------------------
def test_the_robot_given_wins_over_the_file_and_the_file_over_nothing(tmp_path):
    text = 'version: 1\nvars: {robot: fromfile}'
    assert load(tmp_path, text, robot=None).robot == 'fromfile'
    assert load(tmp_path, text, robot='').robot == 'fromfile'
    assert load(tmp_path, text, robot='given').robot == 'given'
    assert load(tmp_path, text, robot='given', variables={'robot': 'var'}).robot == 'given'
    assert load(tmp_path, text, robot=None, variables={'robot': 'var'}).robot == 'var'


def test_the_environment_names_the_robot_where_the_file_says_so(tmp_path):
    text = 'version: 1\nvars: {robot: "${ROBOT}"}'
    assert load(tmp_path, text, robot=None, environ={'ROBOT': 'env'}).robot == 'env'
    assert load(tmp_path, text, robot='given').robot == 'given'
    assert load(tmp_path, text, robot='given', environ={'ROBOT': 'env'}).robot == 'given'


ADVICE = (
    'give it by --robot NAME, by the node parameter or launch argument robot:=NAME, or here: '
    'robot: ${ROBOT} takes it from the environment'
)


def test_a_robot_without_a_name_is_told_the_three_ways_to_get_one(tmp_path):
    assert mistakes(tmp_path, 'version: 1', robot=None, environ={'ROBOT': 'unasked'}) == [
        f'm.yaml:1: vars.robot: the robot has no name: {ADVICE}'
    ]
    assert mistakes(tmp_path, 'version: 1\nvars:\n  robot: ${ROBOT}', robot=None) == [
        'm.yaml:3: vars.robot: the environment variable ROBOT is not set, so the robot has no '
        f'name: {ADVICE}'
    ]
    assert mistakes(tmp_path, 'version: 1\nvars: {robot: ""}', robot=None) == [
        f'm.yaml:2: vars.robot: the robot has no name: {ADVICE}'
    ]


def test_names_that_need_the_missing_robot_are_no_further_mistakes(tmp_path):
    text = out('topic: "/{robot}/a", to: {key: "{robot}:a"}')
    assert len(mistakes(tmp_path, text, robot=None)) == 1


def test_a_robot_called_007_keeps_its_zeros(tmp_path):
    assert load(tmp_path, 'version: 1\nvars: {robot: 007}', robot=None).robot == '007'


def test_variables_given_win_over_those_of_the_file(tmp_path):
    text = out('topic: /a, to: {key: "{x}:{y}:{z}"}', 'vars: {x: 1, y: "${UNSET}"}')
    loaded = load(tmp_path, text, variables={'y': 'given', 'z': 'new'})
    assert loaded.ros_to_redis[0].sinks[0].name == '1:given:new'


def test_the_environment_is_put_in_with_defaults_and_escapes(tmp_path):
    text = out('topic: /a, to: {key: "${A}-${B:-b}-${C:-}-${D:-{robot}}-$${E}-${F:-${A}}"}')
    environ = {'A': 'a', 'D': ''}
    with pytest.raises(MappingError, match=r'unknown variable \{E\}'):
        load(tmp_path, text, environ=environ)
    loaded = load(tmp_path, text.replace('-$${E}', ''), environ=environ)
    assert loaded.ros_to_redis[0].sinks[0].name == 'a-b--r1-a'
    loaded = load(tmp_path, into('channel: c, topic: /a, type: a/B, set: {data: "$${A}"}'))
    assert loaded.redis_to_ros[0].set == {'data': '${A}'}


def test_numbers_and_truths_may_come_from_the_environment(tmp_path):
    text = out('topic: /a, max_rate_hz: "${R}", on_change: "${C:-true}", to: {key: "${R}"}')
    route = load(tmp_path, text, environ={'R': '20'}).ros_to_redis[0]
    assert (route.max_rate_hz, route.on_change, route.sinks[0].name) == (20, True, '20')
    assert mistakes(tmp_path, text, environ={'R': 'fast'}) == [
        "m.yaml:3: ros_to_redis[0].max_rate_hz: expected a number, got 'fast'"
    ]


def test_the_url_given_wins_over_the_file(tmp_path):
    text = 'version: 1\nredis: {url: "redis://${HOST}"}'
    assert load(tmp_path, text, redis_url='redis://given:1').redis.url == 'redis://given:1'
    assert load(tmp_path, text, environ={'HOST': 'h'}, redis_url='').redis.url == 'redis://h'
    assert load(tmp_path, 'version: 1').redis == model.RedisSettings()


SECRET = 'hunter2'
LITERAL = (
    'do not write a password in the mapping: use redis.password_file, or an environment variable '
    'in the url (`${REDIS_PASSWORD}`)'
)


def test_a_password_may_come_from_the_environment_but_never_stand_in_the_file(tmp_path):
    text = 'version: 1\nredis: {url: "URL"}'
    environ = {'URL': f'redis://u:{SECRET}@h:1/2', 'PW': SECRET}
    for url in ('${URL}', 'redis://:${PW}@h', '${X:-redis://u:${PW}@h}'):
        loaded = load(tmp_path, text.replace('URL', url), environ=environ)
        assert SECRET in loaded.redis.url
        assert SECRET not in repr(loaded)
        assert SECRET not in str(plan(loaded))
    for url in (
        f'redis://:{SECRET}@h',
        f'redis://u:{SECRET}@h',
        f'${{X:-redis://u:{SECRET}@h}}',
        f'redis://:{SECRET}${{PW}}@h',
        f'unix://:{SECRET}@/run/redis.sock',
    ):
        found = mistakes(tmp_path, text.replace('URL', url), environ=environ)
        assert found == [f'm.yaml:2: redis.url: {LITERAL}']


@pytest.mark.parametrize(
    'url', [f'redis://:{SECRET}@h', f'redis://h?password={SECRET}', f'redis://a:{SECRET}@:x']
)
def test_a_url_given_with_a_password_is_refused(tmp_path, url):
    assert mistakes(tmp_path, 'version: 1', redis_url=url) == [
        'm.yaml: redis_url: the url that was given carries a password, which others can read '
        'there: name a file as redis.password_file, or let redis.url take it from the environment'
    ]


@pytest.mark.parametrize(
    'section',
    [
        f'redis: {SECRET}',
        f'redis: {{password: {SECRET}}}',
        f'redis: {{url: [{SECRET}]}}',
        f'redis: {{url: {SECRET}}}',
        f'redis: {{url: "redis://:{SECRET}#x@h"}}',
        f'redis: {{url: "redis://:{SECRET}/x@h"}}',
        f'redis: {{url: "redis://u:{SECRET}@[h"}}',
        f'redis: {{url: "redis://h:{SECRET}"}}',
        f'redis: {{url: "redis://h?password={SECRET}"}}',
        f'redis: {{url: "http://u:{SECRET}@h"}}',
        'redis: {url: "redis+sentinel://u:${PW}@h"}',
        'redis: {url: "redis://u:${PW}@h:port"}',
        f'redis: {{tls: {SECRET}}}',
        f'redis: {{tls: {{min_version: {SECRET}}}}}',
        f'redis: {{username: {{a: {SECRET}}}}}',
        f'executor: "redis://u:{SECRET}@h"',
        f'redis: "{SECRET}',
    ],
)
def test_no_message_shows_a_secret(tmp_path, section):
    found = mistakes(tmp_path, f'version: 1\n{section}', environ={'PW': SECRET})
    assert SECRET not in '\n'.join(found)


@pytest.mark.parametrize(
    'url',
    [
        'redis://localhost',
        'redis://[::1]:6379/0',
        'rediss://user@h:1',
        'unix:///run/redis.sock?db=3',
        'redis://h?db=2',
    ],
)
def test_urls_that_redis_knows_pass(tmp_path, url):
    assert load(tmp_path, f'version: 1\nredis: {{url: "{url}"}}').redis.url == url


# --- mistakes ------------------------------------------------------------------------------------
NOT_A_URL = (
    'expected a url such as redis://host:6379/0, rediss://host:6379/0 or unix:///path?db=0 '
    '(percent-encode special characters in a user name or password)'
)
INTO = 'channel: c, topic: /a, type: std_msgs/String'
NO_STAMP = (
    ' carries no stamp, so max_age_ms would refuse all: send whole messages as msgpack or json, '
    "use a stream, or say 'unstamped: accept'"
)
CDR_FIELD = "carries whole messages, it cannot go with 'field'"

# The load, and all that is said of it, without the file's name.
MISTAKES = [
    # --- the file ---
    ('', ' is empty, expected a mapping (see config/minimal.yaml)'),
    ('# nothing\n', ' is empty, expected a mapping (see config/minimal.yaml)'),
    ('- a', '1: expected a map, got a list'),
    ('hello', "1: expected a map, got 'hello'"),
    ('a: [1\nb: 2', "2: not YAML: expected ',' or ']', but got ':' while parsing a flow sequence"),
    ('a: *b', "1: not YAML: found undefined alias 'b'"),
    ('a: 1\n---\nb: 2', '2: not YAML: but found another document expected a single document in '
     'the stream'),
    ('version: 1\nredis: {url: "a\x07b"}', "2: not YAML: the character '\\x07' is not allowed"),
    ('a: ' + '[' * 41 + ']' * 41, '1: not YAML: nested more than 40 levels deep'),
    ('version: 1\nvars: &v {robot: *v}', '2: an alias stands inside of what it names'),
    ('version: 1\nvars: &v {<<: *v}', '2: an alias stands inside of what it names'),
    (
        'a: &a [x, x, x, x, x, x, x, x, x, x]\n'
        + '\n'.join(f'{b}: &{b} [{", ".join([f"*{a}"] * 10)}]' for a, b in
                    zip('abcdef', 'bcdefg', strict=True)),
        '1: the aliases stand for more than 100000 values',
    ),
    ('version: 1\nvars: {x: "\\ud800"}', '2: vars.x: is not valid Unicode'),
    ('version: 1\n"\\ud800": 1', '2: a key is not valid Unicode'),
    ('version: 1\nversion: 1', '2: version: the key is written twice, first on line 1'),
    ('version: 1\n1: 2', '2: keys are texts, got 1: quote it'),
    ('version: 1\ntrue: 2', '2: keys are texts, got true: quote it'),
    ('version: 1\n[a]: 2', '2: keys are texts, got a list or a map'),
    ('version: 1\n<<: 3', "2: '<<' takes an alias of a map, or a list of them"),
    ('version: 1\n<<: {}\n<<: {}', "3: the key '<<' is written twice: it takes a list of aliases"),
    ('version: 1\nexecutor: !x events', '2: executor: the YAML tag !x has no meaning here'),
    ('version: 1\nexecutor: !!python/name:os.system ', '2: executor: the YAML tag '
     '!!python/name:os.system has no meaning here'),
    ('version: 1\nvars: {x: !!int abc}', '2: vars.x: cannot be read as int'),
    ('version: 1\nvars: {x: "${}"}', '2: vars.x: expected ${NAME} or ${NAME:-default} after the '
     'text says "${" (write "$${" to mean the characters themselves)'),
    ('version: 1\nvars: {x: "${A"}', '2: vars.x: expected ${NAME} or ${NAME:-default} after the '
     'text says "${" (write "$${" to mean the characters themselves)'),
    ('version: 1\nexecutor: ${NOPE}', '2: executor: the environment variable NOPE is not set'),
    # --- the top ---
    ('vars: {}', "1: 'version' is missing"),
    ('version: 2', '1: version: expected 1, got 2'),
    ("version: '1'", "1: version: expected 1, got '1'"),
    ('version: 1\nros_to_reddis: []', "2: unknown key 'ros_to_reddis', did you mean "
     "'ros_to_redis'?"),
    ('version: 1\nfoo: 1', "2: unknown key 'foo', expected one of version, redis, vars, defaults, "
     'ros_to_redis, redis_to_ros, services, actions, parameters, presence, executor'),
    ('version: 1\non: 1', "2: unknown key 'on', expected one of version, redis, vars, defaults, "
     'ros_to_redis, redis_to_ros, services, actions, parameters, presence, executor'),
    ('version: 1\nros_to_redis: {}', '2: ros_to_redis: expected a list, got a map'),
    ('version: 1\nros_to_redis:', '2: ros_to_redis: expected a list, got nothing'),
    ('version: 1\nros_to_redis: [x]', "2: ros_to_redis[0]: expected a map, got 'x'"),
    ('version: 1\nexecutor: event', "2: executor: expected one of events, single_threaded, got "
     "'event', did you mean 'events'?"),
    ('version: 1\nservices: [{server: ros, service: /add}]', '2: services: services are not yet '
     'supported'),
    ('version: 1\nactions: [1, 2]', '2: actions: actions are not yet supported'),
    ('version: 1\nparameters: [{}]', '2: parameters: parameters are not yet supported'),
    # --- redis ---
    ('version: 1\nredis: {pasword_file: x}', "2: redis: unknown key 'pasword_file', did you mean "
     "'password_file'?"),
    ('version: 1\nredis: {password: x}', f'2: redis: {LITERAL}'),
    ('version: 1\nredis: {host: x}', "2: redis: 'host' stands in 'url'"),
    ('version: 1\nredis: {url: localhost}', f'2: redis.url: {NOT_A_URL}'),
    ('version: 1\nredis: {url: "rdis://h"}', f"2: redis.url: {NOT_A_URL}, did you mean 'redis'?"),
    ('version: 1\nredis: {url: "redis://"}', f'2: redis.url: {NOT_A_URL}'),
    ('version: 1\nredis: {url: "redis://h:99999"}', f'2: redis.url: {NOT_A_URL}'),
    ('version: 1\nredis: {url: "redis://h/x"}', '2: redis.url: expected the number of a database '
     'at the end of the url, as in redis://host:6379/0'),
    ('version: 1\nredis: {url: "redis://h?ssl_cert_reqs=none"}', '2: redis.url: a url takes no '
     'option but db: use the keys of the redis section'),
    ('version: 1\nredis: {url: "unix://run/x"}', '2: redis.url: expected '
     'unix:///path/of/the/socket, with three slashes'),
    ('version: 1\nredis: {url: "redis+sentinel://h"}', '2: redis.url: redis+sentinel:// is not '
     'yet supported'),
    ('version: 1\nredis: {url: "redis+cluster://h"}', '2: redis.url: redis+cluster:// is not yet '
     'supported'),
    ('version: 1\nredis: {tls: {ca: x}}', '2: redis.tls: TLS needs a url that begins with '
     'rediss://'),
    ('version: 1\nredis: {url: "rediss://h", tls: {cert: x}}', "2: redis.tls: 'cert' and 'key' go "
     'together'),
    ('version: 1\nredis: {url: "rediss://h", tls: {min_version: 1.1}}', '2: '
     'redis.tls.min_version: expected one of 1.2, 1.3, got 1.1'),
    # --- vars, defaults, presence ---
    ('version: 1\nvars: {a-b: x}', "2: vars: expected a name of letters, digits and underscores, "
     "got 'a-b'"),
    ('version: 1\nvars: {x: [1]}', '2: vars.x: expected a text or a whole number, got a list'),
    ('version: 1\nvars: {x: "{robot}"}', '2: vars.x: a variable is plain text: write braces where '
     'it is used'),
    ('version: 1\ndefaults: {stop: {after_ms: 5}}', "2: defaults: 'stop' concerns safety: it "
     "stands at each route that means it, not in 'defaults'"),
    ('version: 1\ndefaults: {limits: {}}', "2: defaults: 'limits' concerns safety: it stands at "
     "each route that means it, not in 'defaults'"),
    ('version: 1\ndefaults: {topic: /a}', "2: defaults: 'topic' belongs to one route, it has no "
     'default for all'),
    ('version: 1\ndefaults: {encoding: xml}', '2: defaults.encoding: expected one of msgpack, '
     "json, cdr, text, got 'xml'"),
    ('version: 1\npresence: {every_ms: 0}', '2: presence.every_ms: expected at least 1, got 0'),
    ('version: 1\npresence: {every_ms: 6000}', '2: presence.ttl_ms: expected more than every_ms '
     '(6000), got 6000: the bridge would count as gone between two heartbeats'),
    # --- a route out ---
    (out(''), "3: ros_to_redis[0]: 'topic' is missing", "3: ros_to_redis[0]: 'to' is missing"),
    (out('topic: /a, to: {}'), '3: ros_to_redis[0].to: expected at least one of key, hash, '
     'stream, channel'),
    (out('topic: /a, to: {keys: x}'), "3: ros_to_redis[0].to: unknown key 'keys', did you mean "
     "'key'?"),
    (out('topic: /a, to: {key: 5}'), '3: ros_to_redis[0].to.key: expected a text or a map, got 5'),
    (out('topic: /a, to: {key: {ttl_ms: 5}}'), "3: ros_to_redis[0].to.key: 'name' is missing"),
    (out('topic: /a, to: {key: ""}'), '3: ros_to_redis[0].to.key: expected a text, got an empty '
     'one'),
    (out('topic: ~/a, to: {key: x}'), "3: ros_to_redis[0].topic: expected a topic name, "
     "got '~/a': the bridge's own node has no private topics, write the full name, from '/' "
     "on"),
    (out('topic: a, to: {key: x}') + '- {topic: /a, to: {channel: y}}\n',
     "4: ros_to_redis[1].topic: expected 'a', as ros_to_redis[0] writes it, got '/a'"),
    (out('topic: "/{robot}/a", to: {key: x}', 'vars: {robot: r-1}'), "3: ros_to_redis[0].topic: a "
     "topic name consists of letters, digits and underscores between slashes: 'r-1' in '/r-1/a' "
     "(from '/{robot}/a')"),
    (out('topic: /a, type: String, to: {key: x}'), '3: ros_to_redis[0].type: expected a type such '
     "as 'std_msgs/msg/String', got 'String'"),
    (out('topic: /a, type: std_srvs/srv/Empty, to: {key: x}'), '3: ros_to_redis[0].type: a topic '
     "carries messages, got 'std_srvs/srv/Empty'"),
    (out('topic: /a, to: {key: "__x"}'), "3: ros_to_redis[0].to.key: names that begin with '__' "
     "belong to Redis: '__x'"),
    (out('topic: /a, to: {key: {name: "redis_bridge:x"}}'), '3: ros_to_redis[0].to.key.name: '
     "names under 'redis_bridge:' belong to the bridge itself: 'redis_bridge:x'"),
    (out('topic: /a, to: {key: "{robt}:x"}'), '3: ros_to_redis[0].to.key: unknown variable {robt} '
     "in '{robt}:x', did you mean 'robot'? (known: robot)"),
    (out('topic: /a, to: {key: "{robot:x"}'), "3: ros_to_redis[0].to.key: unmatched '{' in "
     "'{robot:x'"),
    (out('topic: "/{name:*}/scan", to: {channel: "{name}:scan"}'), '3: ros_to_redis[0].topic: '
     'patterns such as {x:*} are not yet supported'),
    (out('topic: "/{rest:**}", to: {channel: "{{rest}}:{robot}"}'), '3: ros_to_redis[0].topic: '
     'patterns such as {x:*} are not yet supported'),
    (out('topic: /a, exclude: [/b], to: {key: x}'), '3: ros_to_redis[0].exclude: patterns such as '
     '{x:*} are not yet supported'),
    (out('topic: /a, qos: {reliability: besteffort}, to: {key: x}'), '3: '
     'ros_to_redis[0].qos.reliability: expected one of reliable, best_effort, got '
     "'besteffort', did you mean 'best_effort'?"),
    (out('topic: /a, qos: {depth: 0}, to: {key: x}'), '3: ros_to_redis[0].qos.depth: expected at '
     'least 1, got 0'),
    (out('topic: /a, max_rate_hz: 0, to: {key: x}'), '3: ros_to_redis[0].max_rate_hz: expected '
     'more than 0, got 0'),
    (out('topic: /a, max_rate_hz: .inf, to: {key: x}'), '3: ros_to_redis[0].max_rate_hz: expected '
     'a number, got inf'),
    (out('topic: /a, on_change: yes, to: {key: x}'), '3: ros_to_redis[0].on_change: expected true '
     "or false, got 'yes', did you mean true?"),
    (out('topic: /a, to: {key: {name: x, ttl_ms: 1.5}}'), '3: ros_to_redis[0].to.key.ttl_ms: '
     'expected a whole number, got 1.5'),
    (out('topic: /a, field: [a], to: {key: x}'), '3: ros_to_redis[0].field: expected a text, got '
     'a list'),
    (out('topic: /a, fields: [a, a], to: {key: x}'), "3: ros_to_redis[0].fields: 'a' is listed "
     'twice'),
    (out('topic: /a, fields: [a, b.], to: {key: x}'), '3: ros_to_redis[0].fields[1]: expected a '
     "dotted path such as 'pose.position.x', got 'b.'"),
    (out('topic: /a, field: a, fields: [b], to: {key: x}'), "3: ros_to_redis[0].fields: 'field' "
     "and 'fields' exclude each other"),
    (out('topic: /a, field: a, encoding: cdr, to: {key: x}'), f'3: ros_to_redis[0].encoding: cdr '
     f'{CDR_FIELD}'),
    (out('topic: /a, fields: [a], to: {key: {name: x, encoding: cdr}}'), '3: '
     "ros_to_redis[0].to.key.encoding: cdr carries whole messages, it cannot go with 'fields'"),
    (out('topic: /a, fields: [a], encoding: text, to: {key: x}'), '3: ros_to_redis[0].encoding: '
     "text is one scalar: name it by 'field' instead of 'fields'"),
    (out('topic: /a, field: a, to: {key: x}', 'defaults: {encoding: cdr}'), '3: '
     f'ros_to_redis[0].encoding: cdr (from defaults) {CDR_FIELD}'),
    (out('topic: /a, field: a, to: {hash: x}'), '3: ros_to_redis[0].to.hash: a hash has named '
     "fields: say 'fields: [a]', or make it a key"),
    (out('topic: /a, to: {hash: {name: x, encoding: json}}'), '3: ros_to_redis[0].to.hash: '
     "unknown key 'encoding', expected one of name, ttl_ms"),
    (out('topic: /a, arrays: typed, encoding: json, to: {key: x}'), '3: ros_to_redis[0].arrays: '
     "arrays: typed is msgpack's, expected arrays: list with json"),
    (out('topic: /a, to: {key: {name: x, encoding: text, arrays: typed}}'), '3: '
     "ros_to_redis[0].to.key.arrays: arrays: typed is msgpack's, expected arrays: list with text"),
    (out('topic: /a, to: {channel: {name: x, send: notice}}'), '3: '
     'ros_to_redis[0].to.channel.send: a notice says that a key is new: the route needs a key'),
    (out('topic: /a, stop: {after_ms: 5}, to: {key: x}'), "3: ros_to_redis[0]: 'stop' is an "
     'option of redis_to_ros routes'),
    # --- a route in ---
    (into('topic: /a, type: std_msgs/String'), '3: redis_to_ros[0]: expected one of channel, key, '
     'stream, to say where the messages come from'),
    (into('channel: c, topic: /a'), "3: redis_to_ros[0]: 'type' is missing"),
    (into(f'key: k, {INTO}'), '3: redis_to_ros[0]: expected only one of channel, key, stream, got '
     'channel and key'),
    (into(f'{INTO}, on_change: true'), "3: redis_to_ros[0]: 'on_change' is an option of "
     'ros_to_redis routes'),
    (into('key: {name: k, initial: skip}, topic: /a, type: a/B'), "3: redis_to_ros[0].key: "
     "'initial' stands beside 'key', not in it"),
    (into(f'{INTO}, initial: skip'), '3: redis_to_ros[0].initial: only a key has a value from '
     'before, a channel has none'),
    (into('hash: h, topic: /a, type: a/B'), '3: redis_to_ros[0]: a hash is only ever written: '
     'read a key, a channel or a stream'),
    (into('stream: {name: s, from: group}, topic: /a, type: a/B'), '3: redis_to_ros[0].stream: '
     "from: group needs the group's name: 'group' is missing"),
    (into('stream: {name: s, group: g}, topic: /a, type: a/B'), '3: redis_to_ros[0].stream.group: '
     "a group is read with 'from: group', got from: new"),
    (into('stream: {name: s, from: start}, topic: /a, type: a/B'), '3: '
     "redis_to_ros[0].stream.from: expected one of new, last, beginning, group, got 'start'"),
    (into(f'{INTO}, encoding: cdr, field: data'), '3: redis_to_ros[0].field: encoding cdr '
     f'{CDR_FIELD}'),
    (into(f'{INTO}, encoding: text, max_age_ms: 5'), '3: redis_to_ros[0].max_age_ms: text on a '
     f'channel{NO_STAMP}'),
    (into(f'{INTO}, encoding: cdr, max_age_ms: 5'), '3: redis_to_ros[0].max_age_ms: cdr on a '
     f'channel{NO_STAMP}'),
    (into('key: k, topic: /a, type: a/B, field: data, max_age_ms: 5'), '3: '
     f'redis_to_ros[0].max_age_ms: a bare field on a key{NO_STAMP}'),
    (into('key: k, topic: /a, type: a/B, encoding: text', 'defaults: {max_age_ms: 9}'), '3: '
     'redis_to_ros[0].max_age_ms: text on a key' + NO_STAMP.replace('ms would', 'ms (from '
     'defaults) would')),
    (into(f'{INTO}, max_age_ms: -1'), '3: redis_to_ros[0].max_age_ms: expected at least 1, got '
     '-1'),
    (into(f'{INTO}, limits: {{linear.x: [1, -1]}}'), "3: redis_to_ros[0].limits['linear.x']: "
     'expected [lowest, highest], got [1, -1]'),
    (into(f'{INTO}, limits: {{x: [1]}}'), '3: redis_to_ros[0].limits.x: expected [lowest, '
     'highest], got 1 value'),
    (into(f'{INTO}, limits: {{x: [1, .nan]}}'), '3: redis_to_ros[0].limits.x[1]: expected a '
     'number, got nan'),
    (into(f'{INTO}, limits: {{x: 5}}'), '3: redis_to_ros[0].limits.x: expected a list, got 5'),
    (into(f'{INTO}, limits: {{"a b": [1, 2]}}'), "3: redis_to_ros[0].limits['a b']: expected a "
     "dotted path such as 'pose.position.x', got 'a b'"),
    (into(f'{INTO}, set: {{/a: 1}}'), "3: redis_to_ros[0].set['/a']: expected a dotted path such "
     "as 'pose.position.x', got '/a'"),
    (into(f'{INTO}, stop: {{}}'), "3: redis_to_ros[0].stop: 'after_ms' is missing"),
    (into(f'{INTO}, stop: {{after_ms: 5, message: now}}'), '3: redis_to_ros[0].stop.message: '
     "expected a map, got 'now'"),
    (into(f'{INTO}, stop: {{after_ms: 5, message: {{linear.x: 0}}}}'), '3: '
     "redis_to_ros[0].stop.message['linear.x']: expected fields nested as in ROS, got the path "
     "'linear.x'"),
    (into(f'{INTO}, stop: {{after_ms: 5, message: {{a: [1, .inf]}}}}'), '3: '
     'redis_to_ros[0].stop.message.a[1]: a stop message has finite numbers only'),
    # --- between routes ---
    (out('topic: /a, to: {key: x}}\n- {topic: /b, to: {key: x}'), "4: ros_to_redis[1].to.key: 'x' "
     'is written by ros_to_redis[0] already, as a key'),
    (out('topic: /a, to: {key: x}}\n- {topic: /b, to: {stream: x}'), '4: '
     "ros_to_redis[1].to.stream: 'x' is written by ros_to_redis[0] already, as a key"),
    (out('topic: /a, to: {key: x, hash: x}'), "3: ros_to_redis[0].to.hash: 'x' is written by "
     'ros_to_redis[0] already, as a key'),
    (out('topic: /a, type: a/A, to: {channel: x}}\n- {topic: /b, type: a/B, to: {channel: x}'),
     "4: ros_to_redis[1].to.channel: 'x' carries a/msg/A from ros_to_redis[0], one name, one "
     'type'),
    (out('topic: /a, type: a/A, to: {key: x}}\n- {topic: /a, type: a/B, to: {key: y}'), '4: '
     'ros_to_redis[1].type: expected a/msg/A, as ros_to_redis[0] says of /a, got a/msg/B'),
    (into(f'{INTO}}}\n- {{channel: d, topic: /a, type: std_msgs/Int8'), '4: '
     'redis_to_ros[1].type: expected std_msgs/msg/String, as redis_to_ros[0] says of /a, got '
     'std_msgs/msg/Int8'),
    (out('topic: /a, qos: {depth: 1}, to: {key: x}}\n- {topic: /a, qos: {depth: 2}, to: {key: y}'),
     '4: ros_to_redis[1].qos.depth: expected 1, as ros_to_redis[0] says of /a, got 2'),
    (into(f'{INTO}, stop: {{after_ms: 5}}}}\n- {{channel: d, topic: /a, type: std_msgs/String'),
     '4: redis_to_ros[1]: all routes to /a need the stop that redis_to_ros[0] has'),
    (into(f'{INTO}, stop: {{after_ms: 5}}}}\n- {{channel: d, topic: /a, type: std_msgs/String, '
          'stop: {after_ms: 6}'),
     '4: redis_to_ros[1].stop: expected the same stop as redis_to_ros[0] has for /a'),
    (into(f'{INTO}}}\n- {{{INTO}'), "4: redis_to_ros[1]: redis_to_ros[0] brings channel 'c' to /a "
     'already'),
    (into('key: x, topic: /a, type: a/B}\n- {stream: x, topic: /b, type: a/B'), '4: '
     "redis_to_ros[1].stream: 'x' is read by redis_to_ros[0], as a key"),
    (into('stream: {name: s, from: group, group: g}, topic: /a, type: a/B}\n- {stream: {name: s, '
          'from: group, group: g}, topic: /b, type: a/B'),
     "4: redis_to_ros[1].stream.group: redis_to_ros[0] reads with the group 'g' already: each "
     'entry would reach only one of the two'),
    (into('stream: s, topic: /a, type: a/B',
          'ros_to_redis: [{topic: /b, to: {stream: "s:dead"}}]'),
     "4: ros_to_redis[0].to.stream: 's:dead' is where the bridge puts the entries of stream 's' "
     'that it gives up'),
    (into('key: h, topic: /a, type: a/B', 'ros_to_redis: [{topic: /b, to: {hash: h}}]'),
     "3: redis_to_ros[0].key: 'h' is written by ros_to_redis[0], as a hash"),
    (into(INTO, 'ros_to_redis: [{topic: /b, to: {key: c, channel: {name: c, send: notice}}}]'),
     "3: redis_to_ros[0].channel: 'c' carries the notices of ros_to_redis[0], no messages"),
    (into(f'{INTO}, encoding: json', 'ros_to_redis: [{topic: /b, to: {channel: c}}]'),
     "3: redis_to_ros[0].channel: 'c' is written as msgpack by ros_to_redis[0], but read as json "
     'here'),
    (into(INTO, 'ros_to_redis: [{topic: /b, field: x, to: {channel: c}}]'),
     "3: redis_to_ros[0].channel: 'c': ros_to_redis[0] says 'field', a bare value, and the other "
     'carries messages'),
    (into(INTO, 'ros_to_redis: [{topic: /b, type: a/B, to: {channel: c}}]'),
     "3: redis_to_ros[0].channel: 'c' carries a/msg/B from ros_to_redis[0], but is read as "
     'std_msgs/msg/String'),
]  # fmt: skip


@pytest.mark.parametrize('row', MISTAKES, ids=lambda row: row[1][:60])
def test_each_mistake_is_named_with_its_place_and_its_reason(tmp_path, row):
    text, *expected = row
    robot = None if 'vars: {robot' in text else 'r1'
    assert mistakes(tmp_path, text, robot=robot) == [f'm.yaml:{said}' for said in expected]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines(tmp_path):
    assert mistakes(
        tmp_path,
        """\
version: 1
redis: {ulr: x}
ros_to_redis:
  - topic: /2d
    qos: {reliability: besteffort}
    to: {key: "{robt}:x"}
  - topic: /a
    topic: /b
    field: a
    fields: [b]
    to: {channel: {name: x, send: notice}}
redis_to_ros:
  - topic: /x
    type: Twist
    stop: {after_ms: 0}
  - {channel: a, topic: /y, type: a/A}
  - {channel: b, topic: /y, type: a/B}
""",
    ) == [
        "m.yaml:2: redis: unknown key 'ulr', did you mean 'url'?",
        "m.yaml:4: ros_to_redis[0].topic: no part of a topic name begins with a digit: '2d' in "
        "'/2d'",
        'm.yaml:5: ros_to_redis[0].qos.reliability: expected one of reliable, best_effort, got '
        "'besteffort', did you mean 'best_effort'?",
        "m.yaml:6: ros_to_redis[0].to.key: unknown variable {robt} in '{robt}:x', did you mean "
        "'robot'? (known: robot)",
        'm.yaml:8: ros_to_redis[1].topic: the key is written twice, first on line 7',
        "m.yaml:10: ros_to_redis[1].fields: 'field' and 'fields' exclude each other",
        'm.yaml:11: ros_to_redis[1].to.channel.send: a notice says that a key is new: the route '
        'needs a key',
        'm.yaml:13: redis_to_ros[0]: expected one of channel, key, stream, to say where the '
        'messages come from',
        "m.yaml:14: redis_to_ros[0].type: expected a type such as 'std_msgs/msg/String', got "
        "'Twist'",
        'm.yaml:15: redis_to_ros[0].stop.after_ms: expected at least 1, got 0',
        'm.yaml:17: redis_to_ros[2].type: expected a/msg/A, as redis_to_ros[1] says of /y, got '
        'a/msg/B',
    ]


def test_a_mistake_in_a_merged_map_is_told_where_it_stands(tmp_path):
    assert mistakes(
        tmp_path,
        """\
version: 1
ros_to_redis:
  - &base
    topic: /a
    max_rate_hz: fast
    to: {channel: a}
  - <<: *base
    topic: /b
""",
    ) == [
        "m.yaml:5: ros_to_redis[0].max_rate_hz: expected a number, got 'fast'",
        "m.yaml:5: ros_to_redis[1].max_rate_hz: expected a number, got 'fast'",
    ]


def test_files_that_cannot_be_read_are_mistakes_too(tmp_path):
    def said(path):
        with pytest.raises(MappingError) as error:
            loading.load(path, robot='r1', environ={})
        return str(error.value).replace(f'{tmp_path}', 'T')

    assert said(tmp_path / 'no.yaml') == 'T/no.yaml: no such file'
    assert said(tmp_path) == 'T: cannot be read: Is a directory'
    assert said('a\0b').endswith('cannot be read: embedded null byte')
    file = tmp_path / 'm.yaml'
    file.write_bytes(b'version: 1\nvars: {x: \xff}\n')
    assert said(file) == 'T/m.yaml:2: is not UTF-8: byte 0xff'
    file.write_bytes(b'#' * ((1 << 20) + 1))
    assert said(file) == 'T/m.yaml: is larger than 1048576 bytes, no mapping is that long'


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / 'm.yaml').write_bytes(b'\xef\xbb\xbfversion: 1\n')
    assert loading.load(tmp_path / 'm.yaml', robot='r1', environ={}).robot == 'r1'


# --- anything at all -----------------------------------------------------------------------------
def _words():
    text = json.dumps(schema.schema())
    words = sorted(
        {
            word.strip('"')
            for word in text.replace(',', ' ').split()
            if word.strip(string.punctuation).isidentifier() and len(word) < 20
        }
    )
    return [word.strip(string.punctuation) for word in words]


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            *_words(),
            '/a',
            '/b',
            'a/B',
            '{robot}:x',
            '{{robot}}',
            '{x:*}',
            '${A}',
            '${',
            'redis://h',
            'redis://:p@h',
            'unix:///x',
            'rediss://h:1/1?db=1',
            '{',
            'now',
        ]
    ),
)
keys = st.sampled_from(sorted({path[-1] for path, _ in _properties(schema.schema())})) | st.text(
    max_size=4
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6)
)


NOT_YET = {'exclude', 'services', 'actions', 'parameters'}
LIKELY = {
    'topic': ['/a', '/b', '/{robot}'],
    'type': ['a/B', 'a/msg/B', 'a/C'],
    'url': ['redis://h', 'rediss://h:1/2'],
    'field': ['a', 'a.b'],
    'fields': ['a', 'a.b', 'c'],
    'required': ['a', 'a.b', 'c'],
}


@st.composite
def nearly_mappings(draw):
    """Documents of the right schema, with values that fit more often than not."""

    def value(node, name=''):
        if draw(st.integers(0, 99)) == 0:
            return draw(anything)
        if '$ref' in node:
            node = schema.schema()['definitions'][node['$ref'].rsplit('/', 1)[1]]
        if 'const' in node:
            return node['const']
        if 'enum' in node:
            return draw(st.sampled_from(node['enum']))
        kinds = node.get('type', 'integer')
        kind = draw(st.sampled_from([kinds] if isinstance(kinds, str) else kinds))
        if kind == 'object':
            known = node.get('properties', {})
            chosen = {key for key in known if draw(st.integers(0, 2)) == 0} - NOT_YET
            required = set(node.get('required', ()))
            return {key: value(known[key], key) for key in sorted(chosen | required)}
        if kind == 'array':
            items = node.get('items', {'type': 'string'})
            return [value(items, name) for _ in range(draw(st.integers(0, 3)))]
        return draw(
            {
                'string': st.sampled_from(LIKELY.get(name, ['x', 'y', '{robot}'])),
                'integer': st.integers(1, 9),
                'number': st.floats(1, 9),
                'boolean': st.booleans(),
                'null': st.none(),
            }[kind]
        )

    return value(schema.schema())


def _loads_or_tells(directory, text):
    file = directory / 'm.yaml'
    file.write_text(text, encoding='utf-8', errors='surrogatepass')
    try:
        loaded = loading.load(file, robot='r1', environ={'A': 'a'})
    except MappingError as error:
        assert error.errors
        return
    assert isinstance(loaded, model.Mapping)
    for distro in ('jazzy', 'kilted'):
        assert str(plan(loaded, distro))


FUZZ = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


@given(document=anything | nearly_mappings())
@FUZZ
def test_any_document_is_a_mapping_or_has_mistakes(tmp_path, document):
    _loads_or_tells(tmp_path, yaml.safe_dump(document, allow_unicode=True))


@given(text=st.text(alphabet=string.printable + 'é€\U0001f916\ufeff\ud800'))
@FUZZ
def test_any_text_is_a_mapping_or_has_mistakes(tmp_path, text):
    _loads_or_tells(tmp_path, text)


@given(data=st.data())
@FUZZ
def test_any_change_to_a_good_file_leaves_a_mapping_or_mistakes(tmp_path, data):
    name = data.draw(st.sampled_from(['teleop.yaml', 'reference.yaml']))
    text = (CONFIG / name).read_text(encoding='utf-8')
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    new = data.draw(st.text(max_size=6) | st.sampled_from(['&a ', '*a', '<<: ', '[', '{', '- ']))
    _loads_or_tells(tmp_path, text[:start] + new + text[end:])
