// Ties the connection, the map and the panel together.

import { Live } from './live.js';
import { RobotMap } from './map.js';
import { Panel } from './panel.js';
import { byName, since } from './format.js';

const UPDATE_MS = 250;
const TOAST_MS = 6000;
const $ = (selector) => document.querySelector(selector);

let mayControl = false;
let token = null; // is sent once per connection
let waiting = null; // what to do once the token is accepted

const live = new Live((set) => (set === null ? map.draw() : map.take(set)), takeReply);
const map = new RobotMap($('canvas'), live, { onChoose: choose, onAim: sendGoal, onView: showHidden });
const panel = new Panel(live, choose);

// -- choosing -------------------------------------------------------------------------------------

function choose(robot) {
  if (robot === live.chosen) return;
  aim(false);
  live.choose(robot);
  panel.update();
  map.draw();
}

$('#close').addEventListener('click', () => choose(null));
$('#fit').addEventListener('click', () => map.fit());
$('#zoom-in').addEventListener('click', () => map.zoom(1.4));
$('#zoom-out').addEventListener('click', () => map.zoom(1 / 1.4));
$('#grids').addEventListener('change', (event) => {
  map.gridName = event.target.value;
  map.fit();
});

function showGrids() {
  const names = [...live.grid.keys()].sort(byName);
  const select = $('#grids');
  select.hidden = !names.length;
  const said = names.join('\n');
  if (select.dataset.said === said) return;
  select.dataset.said = said;
  const options = names.map((name) => new Option(name, name));
  map.grid(); // chooses one
  select.replaceChildren(...options, new Option('no grid', ''));
  select.value = map.gridName ?? '';
}

// -- control --------------------------------------------------------------------------------------

function withControl(act) {
  if (mayControl) {
    act();
    return;
  }
  waiting = act;
  $('#token .wrong').textContent = '';
  $('#token').showModal();
}

function order(message) {
  if (!live.isHeard || !live.send(message)) toast('Not sent: the dashboard is not reached', false);
}

function takeReply({ to, ok, text }) {
  if (to !== 'token') {
    toast(text, ok);
    return;
  }
  if (ok === null) { // the connection was lost
    mayControl = false;
    if (token !== null) waitForLink();
  } else if (ok) {
    mayControl = true;
    $('#token').close();
    toast(text, true);
    waiting?.();
    waiting = null;
  } else {
    token = null;
    $('#token .wrong').textContent = text;
    if (!$('#token').open) toast(text, false);
  }
  showControl();
}

function waitForLink() {
  const timer = setInterval(() => {
    if (!live.isHeard) return;
    clearInterval(timer);
    if (token !== null && !mayControl) live.send({ do: 'token', token });
  }, 200);
}

function showControl() {
  $('#unlock').textContent = mayControl ? 'Control: on' : 'Control: off';
  for (const button of document.querySelectorAll('.stop')) button.classList.toggle('ready', mayControl);
}

$('#unlock').addEventListener('click', () => {
  if (mayControl) {
    token = null;
    mayControl = false;
    aim(false);
    showControl();
  } else withControl(() => {});
});
$('#token form').addEventListener('submit', (event) => {
  event.preventDefault();
  const input = event.target.elements.token;
  token = input.value.trim();
  input.value = '';
  $('#token .wrong').textContent = '';
  if (!live.send({ do: 'token', token })) $('#token .wrong').textContent = 'The dashboard is not reached';
});
$('#cancel').addEventListener('click', () => $('#token').close());
$('#token').addEventListener('close', () => { if (!mayControl) waiting = null; });
$('#stop-all').addEventListener('click', () => withControl(() => order({ do: 'stop' })));
$('#stop').addEventListener('click', () => {
  const robot = live.chosen;
  withControl(() => order({ do: 'stop', robot }));
});
$('#go').addEventListener('click', () => (map.aims ? aim(false) : withControl(() => aim(true))));
document.addEventListener('keydown', (event) => { if (event.key === 'Escape') aim(false); });

function aim(aims) {
  map.setAims(aims);
  $('#go').textContent = aims ? 'Cancel' : '➤ Go there …';
  $('#hint').hidden = !aims;
  $('#hint').textContent = `Click where ${live.chosen} shall go; drag for the heading. Esc cancels.`;
}

function sendGoal({ x, y, yaw }) {
  const robot = live.chosen;
  map.goals.set(robot, { x, y, yaw, at: live.now() });
  order({ do: 'go', robot, x, y, yaw });
  aim(false);
}

function toast(text, isGood) {
  const shown = document.createElement('p');
  shown.textContent = text;
  if (!isGood) shown.className = 'bad';
  $('#toasts').append(shown);
  while ($('#toasts').childElementCount > 4) $('#toasts').firstChild.remove();
  setTimeout(() => shown.remove(), TOAST_MS);
}

// -- what holds for the whole page ----------------------------------------------------------------

function showLink() {
  const link = $('#link');
  const banner = $('#banner');
  const silent = live.noteSilence();
  const redis = live.redisProblem;
  let problem = '';
  if (silent !== null) problem = `The dashboard does not answer ${since(silent, live.now())}. Nothing here is live.`;
  else if (redis) {
    problem = `Redis is not reached ${since(redis.since, live.now())}. Nothing here is live. ${redis.text}`;
  }
  banner.hidden = !problem;
  if (banner.textContent !== problem) banner.textContent = problem;
  link.className = problem ? 'bad' : 'good';
  const word = problem ? '✕ not live' : '● live';
  if (link.textContent !== word) link.textContent = word;
  const empty = $('#empty');
  empty.hidden = live.pose.size > 0;
  let text = 'No robot is known. A bridge that starts appears here.';
  if (problem) text = 'No pose is known.';
  else if ([...live.robot.values()].some((robot) => robot.state === 'online')) {
    text = 'No pose has come yet. Does a bridge map an Odometry or a pose to Redis?';
  } else if (live.robot.size) text = 'No robot is online.';
  if (empty.textContent !== text) empty.textContent = text;
}

function showHidden(count) {
  const canvas = $('canvas');
  canvas.title = count ? `${count} names have no room: zoom in, or see the table` : '';
}

function showOrders() {
  const robot = live.robot.get(live.chosen);
  if (!robot) return;
  $('#go').disabled = !robot.goes || robot.state !== 'online';
  $('#go').title = robot.goes ? '' : 'No bridge reads a PoseStamped for this robot';
  $('#stop').disabled = !robot.stops;
  $('#stop').title = robot.stops ? '' : 'No bridge reads a Twist for this robot';
}

const THEMES = ['auto', 'dark', 'light'];

function setTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $('#theme').textContent = `Theme: ${theme}`;
  localStorage.setItem('theme', theme);
  map.readColors();
}

$('#theme').addEventListener('click', () => {
  const now = document.documentElement.dataset.theme ?? 'auto';
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => map.readColors());
setTheme(THEMES.includes(localStorage.getItem('theme')) ? localStorage.getItem('theme') : 'auto');

setInterval(() => {
  showLink();
  showGrids();
  showOrders();
  panel.update();
  map.draw();
}, UPDATE_MS);
