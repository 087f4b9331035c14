// The panel beside the map. Texts are set as text only, never as HTML.

import { byName, clock, since, span } from './format.js';

const SIGNS = {
  online: ['●', 'good'], lost: ['✕', 'bad'], offline: ['○', 'soft'], gone: ['○', 'warn'],
};

const $ = (selector) => document.querySelector(selector);

function element(tag, text = '', className = '') {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

export class Panel {
  constructor(live, onChoose) {
    this.live = live;
    this.onChoose = onChoose;
    this.rows = new Map();
    this.order = '';
    this.logged = '';
    $('#filter').addEventListener('input', () => this.update());
  }

  update() {
    this.updateRobots();
    this.updateDetail();
    this.updateShared();
    this.updateLog();
  }

  // What a robot does now: a sign, a word, the reason, and a class.
  stateOf(name) {
    const { live } = this;
    const robot = live.robot.get(name);
    const pose = live.pose.get(name);
    const now = live.now();
    if (!live.isLive) return ['?', 'unknown', robot.state === 'online' ? 'was online' : `was ${robot.state}`, 'warn'];
    const [sign, color] = SIGNS[robot.state] ?? ['?', 'warn'];
    if (robot.state !== 'online') return [sign, robot.state, since(robot.since, now), color];
    const problem = robot.trouble || robot.connection;
    if (pose && !live.isFresh(pose)) {
      const when = pose.at === null ? 'pose of unknown age' : `no pose ${since(pose.at, now)}`;
      return ['◌', 'online', when, 'warn'];
    }
    if (problem) return ['▲', 'online', problem, 'warn'];
    if (robot.open < robot.routes) return [sign, 'online', `${robot.open} of ${robot.routes} routes open`, color];
    return [sign, 'online', pose ? '' : 'no pose is mapped', color];
  }

  updateRobots() {
    const { live } = this;
    const wanted = $('#filter').value.trim().toLowerCase();
    const names = [...live.robot.keys()].sort(byName).filter((name) => {
      const [, state, why] = this.stateOf(name);
      return `${name} ${state} ${why}`.toLowerCase().includes(wanted);
    });
    const order = names.join('\n');
    if (order !== this.order) {
      this.order = order;
      for (const name of this.rows.keys()) if (!live.robot.has(name)) this.rows.delete(name);
      $('#robots tbody').replaceChildren(...names.map((name) => this.row(name).line));
    }
    for (const name of names) this.fillRow(name);
    const states = { online: 0, lost: 0 };
    for (const robot of live.robot.values()) states[robot.state] = (states[robot.state] ?? 0) + 1;
    const words = [`${live.robot.size} robot${live.robot.size === 1 ? '' : 's'}`];
    for (const [state, count] of Object.entries(states)) if (count) words.push(`${count} ${state}`);
    setText($('#counts'), live.isLive ? words.join(' · ') : words[0]);
  }

  row(name) {
    if (this.rows.has(name)) return this.rows.get(name);
    const line = element('tr');
    const cells = Object.fromEntries(
      ['name', 'state', 'battery', 'rate', 'latency', 'dropped'].map((cell) => [cell, element('td')]),
    );
    for (const cell of ['rate', 'latency', 'dropped']) cells[cell].className = 'number';
    const button = element('button', name, 'name');
    button.type = 'button';
    button.title = name;
    cells.name.append(button);
    cells.sign = element('span');
    cells.why = element('small');
    cells.state.className = 'state';
    cells.state.append(cells.sign, cells.why);
    cells.bar = element('span', '', 'bar');
    cells.level = element('i');
    cells.bar.append(cells.level);
    cells.charge = element('span', '', 'charge');
    cells.battery.append(cells.bar, cells.charge);
    line.append(cells.name, cells.state, cells.battery, cells.rate, cells.latency, cells.dropped);
    line.addEventListener('click', () => this.onChoose(name));
    const row = { line, cells };
    this.rows.set(name, row);
    return row;
  }

  fillRow(name) {
    const { live } = this;
    const robot = live.robot.get(name);
    const { line, cells } = this.row(name);
    const [sign, state, why, color] = this.stateOf(name);
    setText(cells.sign, `${sign} ${state}`);
    setClass(cells.sign, color);
    setText(cells.why, why);
    line.classList.toggle('chosen', name === live.chosen);
    const isNow = robot.state === 'online' && live.isLive;
    const battery = live.battery.get(name);
    cells.bar.hidden = !battery;
    if (battery) cells.level.style.width = `${Math.round(100 * Math.min(1, Math.max(0, battery.charge)))}%`;
    const low = battery && battery.charge < 0.2;
    setText(cells.charge, battery ? `${low ? '▲ ' : ''}${Math.round(100 * battery.charge)} %` : '');
    cells.battery.title = low ? 'low' : '';
    setClass(cells.battery, !isNow ? 'soft' : low ? 'bad' : '');
    setText(cells.rate, isNow && robot.rate !== undefined ? robot.rate.toFixed(0) : '–');
    setText(cells.latency, isNow && robot.latency !== undefined ? robot.latency.toFixed(1) : '–');
    setText(cells.dropped, robot.dropped === undefined ? '–' : String(robot.dropped));
  }

  updateDetail() {
    const { live } = this;
    const name = live.chosen;
    const robot = live.robot.get(name);
    $('#detail').hidden = !robot;
    if (!robot) return;
    const now = live.now();
    setText($('#detail h2'), name);
    const [sign, state, why, color] = this.stateOf(name);
    setText($('#detail .state'), `${sign} ${state}${why ? ` – ${why}` : ''}`);
    setClass($('#detail .state'), `state ${color}`);
    const facts = [];
    const pose = live.pose.get(name);
    if (pose) {
      const degrees = Math.round((pose.yaw * 180) / Math.PI);
      const was = live.isFresh(pose) ? '' : ' (last known)';
      facts.push(['Pose', `x ${pose.x.toFixed(2)} m, y ${pose.y.toFixed(2)} m, ${degrees}°${was}`]);
      facts.push(['Frame', `${pose.frame || 'not given'}, from ${pose.name}`]);
    }
    const battery = live.battery.get(name);
    if (battery) {
      const when = battery.at === null ? 'of unknown age' : since(battery.at, now).replace('since', 'of');
      facts.push(['Battery', `${Math.round(100 * battery.charge)} %, ${when}`]);
    }
    const scan = live.scan.get(name);
    if (!robot.scans) facts.push(['Laser', 'no LaserScan is mapped']);
    else if (!scan) facts.push(['Laser', 'no scan yet']);
    else if (live.isFresh(scan)) facts.push(['Laser', `${scan.cm.filter(Boolean).length} points`]);
    else facts.push(['Laser', scan.at === null ? 'of unknown age' : `no scan ${since(scan.at, now)}`]);
    const isNow = live.isLive && robot.state === 'online';
    if (isNow) facts.push(['Online', `for ${span(now - robot.since)}`]);
    facts.push(['Bridge', `${robot.bridge} on ${robot.host}`]);
    const list = $('#detail dl');
    const said = facts.flat().join('\n');
    if (list.dataset.said !== said) {
      list.dataset.said = said;
      list.replaceChildren(...facts.flatMap(([term, text]) => [element('dt', term), element('dd', text)]));
    }
    this.updateRoutes(live.routes.get(name) ?? [], isNow);
  }

  updateRoutes(routes, isNow) {
    const body = $('#routes tbody');
    $('#detail details').hidden = !routes.length;
    const said = JSON.stringify([routes, isNow]);
    if (body.dataset.said === said) return;
    body.dataset.said = said;
    body.replaceChildren(...routes.map((route) => {
      const line = element('tr');
      const name = element('td', `${route.inbound ? '↓ ' : '↑ '}${route.route}`);
      name.title = route.inbound ? 'from Redis to ROS' : 'from ROS to Redis';
      const isOpen = route.state === 'open';
      const isWaiting = route.state.startsWith('waiting');
      const sign = !isNow ? '? was ' : isOpen ? '● ' : isWaiting ? '○ ' : '▲ ';
      const color = !isNow || isWaiting ? 'soft' : isOpen ? 'good' : 'warn';
      const dropped = element('td', String(route.dropped), 'number');
      if (route.why) dropped.append(element('small', route.why));
      line.append(
        name, element('td', sign + route.state, isOpen ? color : `${color} long`),
        element('td', route.rate.toFixed(1), 'number'), element('td', route.latency.toFixed(1), 'number'),
        dropped,
      );
      return line;
    }));
  }

  updateShared() {
    const { live } = this;
    const leases = [...live.lease.entries()].sort(([a], [b]) => byName(a, b));
    const queues = [...live.queue.entries()].sort(([a], [b]) => byName(a, b));
    $('#shared').hidden = !leases.length && !queues.length;
    const said = JSON.stringify([leases, queues, live.isLive]);
    if ($('#shared').dataset.said === said) return;
    $('#shared').dataset.said = said;
    const known = live.isLive ? '' : 'was ';
    $('#leases tbody').replaceChildren(...leases.map(([name, lease]) => {
      const line = element('tr');
      const held = lease.holder === null ? '○ free' : `● held by ${lease.holder} on ${lease.host}`;
      line.append(element('td', name), element('td', known + held, lease.holder === null ? 'soft' : ''));
      line.append(element('td', lease.waiting ? `${lease.waiting} waiting` : '', 'number'));
      return line;
    }));
    $('#queues tbody').replaceChildren(...queues.map(([name, queue]) => {
      const line = element('tr');
      const text = queue.text ?? `${known}${queue.waiting} waiting, ${queue.claimed} claimed`;
      line.append(element('td', name), element('td', text));
      line.append(element('td', queue.dead ? `▲ ${queue.dead} dead` : '', 'number warn'));
      return line;
    }));
  }

  updateLog() {
    const events = [...this.live.event.entries()].sort(([a], [b]) => b - a);
    const said = events.length ? `${events.length} ${events[0][0]}` : '';
    if (said === this.logged) return;
    this.logged = said;
    events.sort(([a, x], [b, y]) => y.at - x.at || b - a);
    const signs = { lost: '✕ ', online: '● ', offline: '○ ', order: '➤ ' };
    $('#log').replaceChildren(...events.map(([, event]) => {
      const line = element('li', '', event.kind === 'lost' ? 'bad' : '');
      const time = element('time', clock(event.at));
      time.title = new Date(event.at * 1000).toLocaleString();
      const who = event.robot ? `${event.robot}: ` : '';
      line.append(time, `${signs[event.kind] ?? ''}${who}${event.text}`);
      return line;
    }));
  }
}
