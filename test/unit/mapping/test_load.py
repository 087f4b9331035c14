# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Whole mappings: what they become, and what their errors show."""

from __future__ import annotations

import dataclasses
import json
import string

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mappings import CONFIG, INBOUND, errors, inbound, load, outbound, properties

from redis_bridge.errors import MappingError
from redis_bridge.mapping import load as loading
from redis_bridge.mapping import model, schema
from redis_bridge.mapping.plan import plan

SHIPPED = (
    'fleet_robot.yaml', 'fleet_shared.yaml', 'gazebo_fleet.yaml', 'minimal.yaml', 'nav2.yaml',
    'reference.yaml', 'teleop.yaml', 'turtlebot4.yaml',
)  # fmt: skip
ERRORS = [
    (
        'version: 1\nredis: {pasword_file: x}',
        "m.yaml:2: redis: unknown key 'pasword_file', did you mean 'password_file'?",
    ),
    (
        'version: 1\nredis: {password: x}',
        'm.yaml:2: redis: do not write a password in the mapping: use redis.password_file, '
        'or an environment variable in the url (`${REDIS_PASSWORD}`)',
    ),
    (
        'version: 1\nredis: {host: x}',
        "m.yaml:2: redis: 'host' is a part of 'url'",
    ),
    (
        'version: 1\nredis: {url: localhost}',
        'm.yaml:2: redis.url: expected a url such as redis://host:6379/0, '
        'rediss://host:6379/0, unix:///path?db=0, '
        'redis+sentinel://host1:26379,host2:26379/mymaster/0 or '
        'redis+cluster://host1:6379,host2:6379 (percent-encode special '
        'characters in a user name or password)',
    ),
    (
        'version: 1\nredis: {url: "rdis://h"}',
        'm.yaml:2: redis.url: expected a url such as redis://host:6379/0, '
        'rediss://host:6379/0, unix:///path?db=0, '
        'redis+sentinel://host1:26379,host2:26379/mymaster/0 or '
        'redis+cluster://host1:6379,host2:6379 (percent-encode special '
        "characters in a user name or password), did you mean 'redis'?",
    ),
    (
        'version: 1\nredis: {url: "redis://"}',
        'm.yaml:2: redis.url: expected a url such as redis://host:6379/0, '
        'rediss://host:6379/0, unix:///path?db=0, '
        'redis+sentinel://host1:26379,host2:26379/mymaster/0 or '
        'redis+cluster://host1:6379,host2:6379 (percent-encode special '
        'characters in a user name or password)',
    ),
    (
        'version: 1\nredis: {url: "redis://h:99999"}',
        'm.yaml:2: redis.url: expected a url such as redis://host:6379/0, '
        'rediss://host:6379/0, unix:///path?db=0, '
        'redis+sentinel://host1:26379,host2:26379/mymaster/0 or '
        'redis+cluster://host1:6379,host2:6379 (percent-encode special '
        'characters in a user name or password)',
    ),
    (
        'version: 1\nredis: {url: "redis://h/x"}',
        'm.yaml:2: redis.url: expected the number of a database at the end of the url, as '
        'in redis://host:6379/0',
    ),
    (
        'version: 1\nredis: {url: "redis://h?ssl_cert_reqs=none"}',
        'm.yaml:2: redis.url: a url takes no option but db: use the keys of the redis section',
    ),
    (
        'version: 1\nredis: {url: "unix://run/x"}',
        'm.yaml:2: redis.url: expected unix:///path/of/the/socket, with three slashes',
    ),
    (
        'version: 1\nredis: {url: "redis+sentinel://h"}',
        'm.yaml:2: redis.url: expected the name of the primary behind the sentinels, as in '
        'redis+sentinel://host1:26379,host2:26379/mymaster/0',
    ),
    (
        'version: 1\nredis: {url: "redis+cluster://h/1"}',
        'm.yaml:2: redis.url: a cluster has database 0 alone, as in '
        'redis+cluster://host1:6379,host2:6379: got 1',
    ),
    (
        'version: 1\nredis: {tls: {ca: x}}',
        'm.yaml:2: redis.tls: TLS needs a url that begins with rediss://',
    ),
    (
        'version: 1\nredis: {url: "redis+sentinel://h/m", tls: {ca: x}}',
        'm.yaml:2: redis.tls: TLS needs a url that begins with rediss+sentinel://',
    ),
    (
        'version: 1\nredis: {url: "redis://h", sentinel: {username: x}}',
        'm.yaml:2: redis.sentinel: a login at sentinels needs a url that begins with '
        'redis+sentinel://',
    ),
    (
        'version: 1\nredis: {url: "redis+sentinel://h/m", sentinel: {password: x}}',
        'm.yaml:2: redis.sentinel: do not write a password in the mapping: use password_file',
    ),
    (
        'version: 1\nredis: {url: "rediss://h", tls: {cert: x}}',
        "m.yaml:2: redis.tls: 'cert' and 'key' need each other",
    ),
    (
        'version: 1\nredis: {url: "rediss://h", tls: {min_version: 1.1}}',
        'm.yaml:2: redis.tls.min_version: expected one of 1.2, 1.3, got 1.1',
    ),
    (
        'version: 1\nleases: {corridor: {ttl_ms: 0}}',
        'm.yaml:2: leases.corridor.ttl_ms: expected at least 100, got 0',
    ),
    (
        inbound(f'{INBOUND}, lease: ""', 'leases: {corridor: null}'),
        'm.yaml:3: redis_to_ros[0].lease: expected a string, got an empty one',
    ),
    (
        'version: 1\nleases: {dock/1: {}}',
        "m.yaml:2: leases: expected a name of letters, digits, '_', '.' and '-', of at most 100 "
        "characters, got 'dock/1'",
    ),
    (
        f'version: 1\nleases: {{{"x" * 101}: {{}}}}',
        "m.yaml:2: leases: expected a name of letters, digits, '_', '.' and '-', of at most 100 "
        f"characters, got '{'x' * 101}'",
    ),
    (
        'version: 1\nleases:\n  dock-1: {}\n  dock.1: {}',
        "m.yaml:4: leases: 'dock.1' becomes 'dock_1' in the names of services, as 'dock-1' does: "
        'rename one of them',
    ),
    (
        inbound(f'{INBOUND}, lease: coridor', 'leases: {corridor: null}'),
        "m.yaml:3: redis_to_ros[0].lease: the lease 'coridor' is not listed under `leases`, did "
        "you mean 'corridor'?: add `leases: {coridor: {}}`",
    ),
]


@pytest.mark.parametrize('row', ERRORS, ids=lambda row: row[1][:60])
def test_each_error_has_its_place_and_its_reason(tmp_path, row):
    text, *expected = row
    robot = None if 'vars: {robot' in text else 'r1'
    assert errors(tmp_path, text, robot=robot) == expected


@pytest.mark.parametrize('name', SHIPPED)
@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
def test_the_shipped_mappings_are_valid_without_warnings(name, distro):
    loaded = loading.load(CONFIG / name, robot='robot1', environ={})
    made = plan(loaded, distro)
    assert (made.warnings, made.errors) == ((), ())


# As turtlebot4_bringup (republisher.yaml, rplidar) and Nav2's documentation name them.
PUBLIC_TOPICS = {
    'turtlebot4.yaml': {
        '/odom': 'nav_msgs/msg/Odometry',
        '/scan': 'sensor_msgs/msg/LaserScan',
        '/imu': 'sensor_msgs/msg/Imu',
        '/battery_state': 'sensor_msgs/msg/BatteryState',
        '/dock_status': 'irobot_create_msgs/msg/DockStatus',
        '/cmd_vel': 'geometry_msgs/msg/Twist',
    },
    'nav2.yaml': {
        '/amcl_pose': 'geometry_msgs/msg/PoseWithCovarianceStamped',
        '/plan': 'nav_msgs/msg/Path',
        '/map': 'nav_msgs/msg/OccupancyGrid',
        '/local_costmap/costmap': 'nav_msgs/msg/OccupancyGrid',
        '/cmd_vel': None,  # Twist in Jazzy, TwistStamped in Kilted
        '/navigate_to_pose/_action/status': 'action_msgs/msg/GoalStatusArray',
        '/collision_monitor_state': 'nav2_msgs/msg/CollisionMonitorState',
        '/goal_pose': 'geometry_msgs/msg/PoseStamped',
        '/initialpose': 'geometry_msgs/msg/PoseWithCovarianceStamped',
        '/speed_limit': 'nav2_msgs/msg/SpeedLimit',
    },
}


@pytest.mark.parametrize('name', PUBLIC_TOPICS)
def test_the_mappings_for_others_have_the_topics_that_these_have(name):
    mapping = loading.load(CONFIG / name, robot='robot1', environ={})
    routes = (*mapping.ros_to_redis, *mapping.redis_to_ros)
    assert {route.topic: route.type for route in routes} == PUBLIC_TOPICS[name]


@pytest.mark.parametrize('name', PUBLIC_TOPICS)
def test_the_mappings_for_others_work_in_a_namespace_without_the_slashes(tmp_path, name):
    """As their first lines say."""
    text = (CONFIG / name).read_text(encoding='utf-8').replace('topic: /', 'topic: ')
    (tmp_path / name).write_text(text, encoding='utf-8')
    mapping = loading.load(tmp_path / name, robot='robot1', environ={})
    routes = (*mapping.ros_to_redis, *mapping.redis_to_ros)
    assert {f'/{route.topic}' for route in routes} == {*PUBLIC_TOPICS[name]}


def test_the_minimal_mapping_has_ten_lines():
    assert len((CONFIG / 'minimal.yaml').read_text(encoding='utf-8').splitlines()) <= 10


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
                'leases',
            ):
                assert inner == default, f'{type(value).__name__}.{field.name}'

    check(loaded)


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
    lease: corridor
  - key: learning_rate
    topic: /learning_rate
    type: std_msgs/Float64
    field: data
    encoding: text
    initial: skip
presence: {every_ms: 1000}
leases: {corridor: {}, dock: {ttl_ms: 500}, lift: null}
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
                lease='corridor',
                qos=model.Qos(depth=7),
            ),
            model.RedisToRos(
                where=f'{tmp_path}/m.yaml:30: redis_to_ros[1]',
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
        leases=(
            model.LeaseConfig('corridor'),
            model.LeaseConfig('dock', 500),
            model.LeaseConfig('lift'),
        ),
        executor='single_threaded',
    )


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
    'set it with --robot NAME, with the node parameter or launch argument robot:=NAME, or with '
    'robot: ${ROBOT} here, which takes it from the environment'
)


def test_an_error_about_the_robots_name_lists_the_three_ways_to_get_one(tmp_path):
    assert errors(tmp_path, 'version: 1', robot=None, environ={'ROBOT': 'unasked'}) == [
        f'm.yaml:1: vars.robot: the robot has no name: {ADVICE}'
    ]
    assert errors(tmp_path, 'version: 1\nvars:\n  robot: ${ROBOT}', robot=None) == [
        'm.yaml:3: vars.robot: the environment variable ROBOT is not set, so the robot has no '
        f'name: {ADVICE}'
    ]
    assert errors(tmp_path, 'version: 1\nvars: {robot: ""}', robot=None) == [
        f'm.yaml:2: vars.robot: the robot has no name: {ADVICE}'
    ]


def test_names_that_need_the_missing_robot_are_no_further_errors(tmp_path):
    text = outbound('topic: "/{robot}/a", to: {key: "{robot}:a"}')
    assert len(errors(tmp_path, text, robot=None)) == 1


def test_a_robot_called_007_keeps_its_zeros(tmp_path):
    assert load(tmp_path, 'version: 1\nvars: {robot: 007}', robot=None).robot == '007'


def test_variables_given_win_over_those_of_the_file(tmp_path):
    text = outbound('topic: /a, to: {key: "{x}:{y}:{z}"}', 'vars: {x: 1, y: "${UNSET}"}')
    loaded = load(tmp_path, text, variables={'y': 'given', 'z': 'new'})
    assert loaded.ros_to_redis[0].sinks[0].name == '1:given:new'


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
        f'${{URL:-redis://:{SECRET}@h}}',  # an unused default
        f'redis://:${{PW:-{SECRET}}}@h',
        f'unix://:{SECRET}@/run/redis.sock',
    ):
        found = errors(tmp_path, text.replace('URL', url), environ=environ)
        assert found == [f'm.yaml:2: redis.url: {LITERAL}']


@pytest.mark.parametrize(
    'url', [f'redis://:{SECRET}@h', f'redis://h?password={SECRET}', f'redis://a:{SECRET}@:x']
)
def test_a_url_given_with_a_password_is_rejected(tmp_path, url):
    assert errors(tmp_path, 'version: 1', redis_url=url) == [
        'm.yaml: redis_url: the url that was given carries a password, which others can read '
        'there: use redis.password_file, or an environment variable in redis.url '
        '(`${REDIS_PASSWORD}`)'
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
        f'redis: {{url: "redis+sentinel://h/m", sentinel: {{password: {SECRET}}}}}',
        'redis: {url: "redis://u:${PW}@h:port"}',
        f'redis: {{tls: {SECRET}}}',
        f'redis: {{tls: {{min_version: {SECRET}}}}}',
        f'redis: {{username: {{a: {SECRET}}}}}',
        f'executor: "redis://u:{SECRET}@h"',
        f'redis: "{SECRET}',
    ],
)
def test_no_message_shows_a_secret(tmp_path, section):
    found = errors(tmp_path, f'version: 1\n{section}', environ={'PW': SECRET})
    assert SECRET not in '\n'.join(found)


@pytest.mark.parametrize(
    'url',
    [
        'redis://localhost',
        'redis://[::1]:6379/0',
        'rediss://user@h:1',
        'unix:///run/redis.sock?db=3',
        'redis://h?db=2',
        'rediss+sentinel://a,b:1/mymaster/2',
    ],
)
def test_urls_that_redis_knows_pass(tmp_path, url):
    assert load(tmp_path, f'version: 1\nredis: {{url: "{url}"}}').redis.url == url


def test_all_errors_are_listed_at_once_in_the_order_of_the_lines(tmp_path):
    assert errors(
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
        "m.yaml:10: ros_to_redis[1].fields: write either 'field' or 'fields', not both",
        "m.yaml:11: ros_to_redis[1].to.channel.send: a notice reports that the route's key has "
        'changed: the route needs a key',
        'm.yaml:13: redis_to_ros[0]: expected one of channel, key, stream as the source',
        "m.yaml:14: redis_to_ros[0].type: expected a type such as 'std_msgs/msg/String', got "
        "'Twist'",
        'm.yaml:15: redis_to_ros[0].stop.after_ms: expected at least 1, got 0',
        'm.yaml:17: redis_to_ros[2].type: expected a/msg/A as in redis_to_ros[1] for /y, got '
        'a/msg/B',
    ]


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


keys = st.sampled_from(sorted({path[-1] for path, _ in properties(schema.schema())})) | st.text(
    max_size=4
)


anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6)
)


NOT_YET = {'exclude', 'max_matches', 'services', 'actions', 'parameters'}


LIKELY = {
    'topic': ['/a', '/b', '/{robot}', '/{x:*}', '/{x:*}/{y:**}'],
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


def test_a_robot_s_name_is_valid_in_topics_and_itself_in_redis(tmp_path):
    loaded = load(tmp_path, outbound('topic: "/{robot}/a", to: {key: "{robot}:a"}'), robot='4-wd')
    (route,) = loaded.ros_to_redis
    assert str(route) == '/_4_wd/a -> key 4-wd:a'
    assert (
        plan(loaded)
        .lines[0]
        .endswith(': robot 4-wd (_4_wd in topics), ROS kilted, executor events')
    )


def test_two_names_that_become_one_in_topics_are_an_error(tmp_path):
    text = (
        'version: 1\nvars:\n  lead: tb3-1\n  tail: tb3.1\nros_to_redis:\n'
        '- {topic: "/{robot}/a", to: {key: a}}\n- {topic: "/{lead}/a", to: {key: b}}\n'
    )
    assert errors(tmp_path, text, robot='tb3_1') == [
        "m.yaml:3: vars.lead: in topics, 'tb3-1' becomes 'tb3_1', as 'tb3_1' of 'robot' does: "
        'rename one of them'
    ]
    assert load(tmp_path, text, robot='tb3-1').robot == 'tb3-1'  # one name twice
    assert load(tmp_path, text.replace('/{lead}/', '/other/'), robot='tb3_1')


FIXED = 'cannot change while the bridge runs: restart it, or take the change back'


def test_what_a_bridge_that_runs_cannot_change_is_an_error(tmp_path):
    text = outbound('topic: /a, to: {key: k}')
    running = load(tmp_path, text)
    other = 'redis: {url: "redis://h", username: u, tls: {}}\npresence: {ttl_ms: 9000}\n'
    other += 'executor: single_threaded\nvars: {robot: r2}\nleases: {dock: {}}\n'
    assert errors(tmp_path, text + other, robot=None, running=running) == [
        f'm.yaml:4: redis.url: {FIXED}',
        f'm.yaml:4: redis.username: {FIXED}',
        f'm.yaml:5: presence: {FIXED}',
        f'm.yaml:6: executor: {FIXED}',
        f'm.yaml:7: vars.robot: {FIXED}',
        f'm.yaml:8: leases: {FIXED}',
    ]
    same = text + 'executor: events\npresence: {every_ms: 2000}\nvars: {robot: r1, x: y}\n'
    assert load(tmp_path, same, robot=None, running=running) == running
    # What was given wins over the file then and now.
    given = {'robot': 'r1', 'redis_url': 'redis://g'}
    running = load(tmp_path, text, **given)
    ours = 'redis: {url: "redis://h"}\nvars: {robot: r2}\n'
    assert load(tmp_path, text + ours, **given, running=running) == running


def test_what_a_bridge_cannot_change_is_listed_beside_other_errors(tmp_path):
    running = load(tmp_path, outbound('topic: /a, to: {key: k}'))
    text = outbound('topik: /a, to: {key: k}', 'executor: single_threaded\npresence: {ttl_ms: 1}')
    found = errors(tmp_path, text, running=running)
    assert f'm.yaml:4: executor: {FIXED}' in found
    assert len([error for error in found if 'presence' in error]) == 1
    assert any('topik' in error for error in found)


def _loads_or_reports(directory, text):
    file = directory / 'm.yaml'
    file.write_text(text, encoding='utf-8', errors='surrogatepass')
    try:
        loaded = loading.load(file, robot='r1', environ={'A': 'a'})
        assert loading.load(file, robot='r1', environ={'A': 'a'}, running=loaded) == loaded
    except MappingError as error:
        assert error.errors
        return
    assert isinstance(loaded, model.Mapping)
    for distro in ('jazzy', 'kilted'):
        assert str(plan(loaded, distro))


FUZZ = settings(
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


@given(document=anything | nearly_mappings())
@FUZZ
def test_any_document_is_a_mapping_or_has_errors(tmp_path, document):
    _loads_or_reports(tmp_path, yaml.safe_dump(document, allow_unicode=True))


@given(text=st.text(alphabet=string.printable + 'é€\U0001f916\ufeff\ud800'))
@FUZZ
def test_any_text_is_a_mapping_or_has_errors(tmp_path, text):
    _loads_or_reports(tmp_path, text)


@given(data=st.data())
@FUZZ
def test_any_change_to_a_good_file_leaves_a_mapping_or_errors(tmp_path, data):
    name = data.draw(st.sampled_from(SHIPPED))
    text = (CONFIG / name).read_text(encoding='utf-8')
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    new = data.draw(st.text(max_size=6) | st.sampled_from(['&a ', '*a', '<<: ', '[', '{', '- ']))
    _loads_or_reports(tmp_path, text[:start] + new + text[end:])


def test_sentinels_have_a_login_of_their_own(tmp_path):
    text = """\
version: 1
redis:
  url: redis+sentinel://a,b,c/m
  username: ann
  password_file: server.txt
  sentinel: {username: bob, password_file: sentinels.txt}
"""
    redis = load(tmp_path, text).redis
    assert (redis.username, redis.password_file) == ('ann', str(tmp_path / 'server.txt'))
    assert redis.sentinel == model.Login('bob', str(tmp_path / 'sentinels.txt'))
    for empty in ('', 'sentinel: null', 'sentinel: {username: null}'):
        text = f'version: 1\nredis:\n  url: redis://h\n  {empty}\n'
        assert load(tmp_path, text).redis.sentinel is None
