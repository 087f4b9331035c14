// The map: a canvas with robots, trails, laser points and an occupancy grid.

import { Grids } from './grids.js';
import { byName } from './format.js';
import { Trails } from './trails.js';

const COLORS = 8;
const SCALE = { least: 0.5, most: 2000 }; // pixels per metre
const NEAR_PX = 22; // a click so near chooses a robot
const DRAG_PX = 6; // less is a click

export class RobotMap {
  constructor(canvas, live, { onChoose, onAim, onView }) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.live = live;
    this.onChoose = onChoose;
    this.onAim = onAim;
    this.onView = onView;
    this.trails = new Trails();
    this.grids = new Grids(() => this.draw());
    this.gridName = null;
    this.center = { x: 0, y: 0 };
    this.scale = 40;
    this.fits = true; // until somebody moves the map
    this.aims = false;
    this.aim = null;
    this.goals = new Map(); // by robot, until it is there
    this.pointers = new Map();
    this.widths = new Map(); // of labels
    this.hidden = 0;
    this.isDue = false;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
    this.readColors();
  }

  readColors() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colors = {
      line: color('map-line'), strong: color('map-strong'), ink: color('ink'), soft: color('soft'),
      label: color('label'), map: color('map'), accent: color('accent'), bad: color('bad'),
      robots: Array.from({ length: COLORS }, (_, i) => color(`robot-${i}`)),
    };
    const parts = (name) => [1, 3, 5].map((i) => parseInt(color(name).slice(i, i + 2), 16));
    this.grids.setColors({ free: parts('free'), occupied: parts('occupied') });
    this.draw();
  }

  // -- what came ----------------------------------------------------------------------------------

  take(set) {
    const now = this.live.now();
    for (const [robot, pose] of Object.entries(set.pose ?? {})) {
      if (pose !== null) this.trails.add(robot, pose, now);
    }
    if (set.robot) this.trails.keepOnly(this.live.robot);
    if (set.grid) this.grids.keepOnly(this.live.grid);
    this.draw();
  }

  // -- where things are ---------------------------------------------------------------------------

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    this.ratio = ratio;
    this.draw();
  }

  get size() {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  place(x, y) {
    const { width, height } = this.size;
    return [width / 2 + (x - this.center.x) * this.scale, height / 2 - (y - this.center.y) * this.scale];
  }

  point(px, py) {
    const { width, height } = this.size;
    return {
      x: this.center.x + (px - width / 2) / this.scale,
      y: this.center.y - (py - height / 2) / this.scale,
    };
  }

  zoom(factor, px = this.size.width / 2, py = this.size.height / 2) {
    this.fits = false;
    const before = this.point(px, py);
    this.scale = Math.min(SCALE.most, Math.max(SCALE.least, this.scale * factor));
    const after = this.point(px, py);
    this.center.x += before.x - after.x;
    this.center.y += before.y - after.y;
    this.draw();
  }

  fit() {
    this.fits = true;
    this.bounds = null;
    this.draw();
  }

  // Shows all robots and the grid, and grows when one leaves the picture.
  follow() {
    const box = this.extent();
    if (box === null) return;
    const { width, height } = this.size;
    const inside = this.bounds && box.left >= this.bounds.left && box.right <= this.bounds.right
      && box.low >= this.bounds.low && box.high <= this.bounds.high
      && this.bounds.width === width && this.bounds.height === height
      && this.bounds.count === box.count;
    if (inside) return;
    const across = Math.max(4, box.right - box.left) * 1.1;
    const up = Math.max(4, box.high - box.low) * 1.1;
    this.center = { x: (box.left + box.right) / 2, y: (box.low + box.high) / 2 };
    const scale = Math.min((width - 110) / across, (height - 130) / up);
    this.scale = Math.min(150, Math.max(SCALE.least, scale));
    this.bounds = {
      left: this.center.x - across / 2, right: this.center.x + across / 2,
      low: this.center.y - up / 2, high: this.center.y + up / 2, width, height, count: box.count,
    };
  }

  extent() {
    const xs = [];
    const ys = [];
    for (const pose of this.live.pose.values()) {
      xs.push(pose.x);
      ys.push(pose.y);
    }
    const grid = this.grid();
    if (grid) {
      for (const [u, v] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
        const across = u * grid.width * grid.resolution;
        const up = v * grid.height * grid.resolution;
        xs.push(grid.x + across * Math.cos(grid.yaw) - up * Math.sin(grid.yaw));
        ys.push(grid.y + across * Math.sin(grid.yaw) + up * Math.cos(grid.yaw));
      }
    }
    if (!xs.length) return null;
    return {
      left: Math.min(...xs), right: Math.max(...xs), low: Math.min(...ys), high: Math.max(...ys),
      count: xs.length,
    };
  }

  grid() {
    if (this.gridName === '') return null;
    if (this.live.grid.has(this.gridName)) return this.live.grid.get(this.gridName);
    const names = [...this.live.grid.keys()].sort(byName);
    this.gridName = names.find((name) => /map/.test(name) && !/cost/.test(name)) ?? names[0] ?? null;
    return this.live.grid.get(this.gridName) ?? null;
  }

  color(robot) {
    let sum = 0;
    const number = /(\d+)\D*$/.exec(robot);
    if (number) sum = Number(number[1]) % 1e6 + COLORS - 1;
    else for (const letter of robot) sum = (31 * sum + letter.codePointAt(0)) % 65536;
    return this.colors.robots[sum % COLORS];
  }

  // -- hands --------------------------------------------------------------------------------------

  listen() {
    const { canvas } = this;
    const at = (event) => [event.offsetX, event.offsetY];
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 500), ...at(event));
    }, { passive: false });
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, { from: at(event), now: at(event), moved: false });
      if (this.aims && this.pointers.size === 1) this.aim = { from: at(event), to: at(event) };
      else this.aim = null;
      this.draw();
    });
    canvas.addEventListener('pointermove', (event) => this.move(event, at(event)));
    canvas.addEventListener('pointerup', (event) => this.release(event, at(event)));
    canvas.addEventListener('pointercancel', (event) => {
      this.pointers.delete(event.pointerId);
      this.aim = null;
      this.draw();
    });
    canvas.addEventListener('keydown', (event) => {
      const step = 60 / this.scale;
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
      if (event.key === '+' || event.key === '=') this.zoom(1.25);
      else if (event.key === '-') this.zoom(0.8);
      else if (moves[event.key]) {
        this.fits = false;
        this.center.x += moves[event.key][0];
        this.center.y += moves[event.key][1];
        this.draw();
      } else return;
      event.preventDefault();
    });
  }

  move(event, [px, py]) {
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) return;
    const [lastX, lastY] = pointer.now;
    const others = [...this.pointers.entries()].filter(([id]) => id !== event.pointerId);
    pointer.now = [px, py];
    pointer.moved ||= Math.hypot(px - pointer.from[0], py - pointer.from[1]) >= DRAG_PX;
    if (this.aim) this.aim.to = [px, py];
    else if (others.length) {
      const [ox, oy] = others[0][1].now;
      const before = Math.hypot(lastX - ox, lastY - oy);
      if (before > 10) this.zoom(Math.hypot(px - ox, py - oy) / before, (px + ox) / 2, (py + oy) / 2);
    } else if (pointer.moved) {
      this.fits = false;
      this.center.x -= (px - lastX) / this.scale;
      this.center.y += (py - lastY) / this.scale;
    }
    this.draw();
  }

  release(event, [px, py]) {
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) return;
    this.pointers.delete(event.pointerId);
    if (this.aim) {
      const { aim } = this;
      this.aim = null;
      const goal = this.point(...aim.from);
      goal.yaw = this.heading(aim);
      this.onAim(goal);
    } else if (!pointer.moved && !this.pointers.size) this.onChoose(this.nearest(px, py));
    this.draw();
  }

  // The heading of a goal: as it was dragged, else on from the robot.
  heading({ from, to }) {
    const dx = to[0] - from[0];
    const dy = to[1] - from[1];
    if (Math.hypot(dx, dy) >= DRAG_PX) return Math.atan2(-dy, dx);
    const pose = this.live.pose.get(this.live.chosen);
    if (!pose) return 0;
    const goal = this.point(...from);
    return Math.atan2(goal.y - pose.y, goal.x - pose.x);
  }

  nearest(px, py) {
    let best = null;
    let least = NEAR_PX;
    for (const [robot, pose] of this.live.pose) {
      const [x, y] = this.place(pose.x, pose.y);
      const distance = Math.hypot(px - x, py - y);
      if (distance < least && this.live.robot.has(robot)) [best, least] = [robot, distance];
    }
    return best;
  }

  // -- drawing ------------------------------------------------------------------------------------

  draw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.paint();
    });
  }

  paint() {
    const { context, live } = this;
    const { width, height } = this.size;
    if (!width || !height) return;
    if (this.fits && !this.aims) this.follow();
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.fillStyle = this.colors.map;
    context.fillRect(0, 0, width, height);
    this.paintGrid();
    this.paintLines(width, height);
    context.lineJoin = 'round';
    context.lineCap = 'round';
    context.lineWidth = 2.5;
    const now = live.now();
    const place = (x, y) => this.place(x, y);
    const robots = [...live.pose.keys()].filter((robot) => live.robot.has(robot));
    robots.sort((a, b) => (a === live.chosen) - (b === live.chosen));
    for (const robot of robots) {
      context.strokeStyle = this.color(robot);
      this.trails.draw(context, robot, now, place);
    }
    this.paintScan();
    this.paintGoals(now);
    for (const robot of robots) this.paintRobot(robot);
    this.paintLabels(robots.reverse());
    this.paintScale(width, height);
    this.paintAim();
    this.onView(this.hidden);
  }

  paintGrid() {
    const grid = this.grid();
    if (!grid) return;
    const picture = this.grids.picture(this.gridName, grid);
    if (!picture) return;
    const { context } = this;
    const [px, py] = this.place(grid.x, grid.y);
    const cell = grid.resolution * this.scale;
    context.save();
    context.imageSmoothingEnabled = false;
    context.translate(px, py);
    context.rotate(-grid.yaw);
    context.drawImage(picture, 0, -grid.height * cell, grid.width * cell, grid.height * cell);
    context.restore();
  }

  paintLines(width, height) {
    const { context } = this;
    const step = niceStep(60 / this.scale);
    const low = this.point(0, height);
    const high = this.point(width, 0);
    context.lineWidth = 1;
    for (const [from, to, vertical] of [[low.x, high.x, true], [low.y, high.y, false]]) {
      for (let i = Math.ceil(from / step); i * step <= to; i += 1) {
        const [px, py] = this.place(i * step, i * step);
        context.strokeStyle = i === 0 ? this.colors.strong : this.colors.line;
        context.beginPath();
        if (vertical) {
          context.moveTo(Math.round(px) + 0.5, 0);
          context.lineTo(Math.round(px) + 0.5, height);
        } else {
          context.moveTo(0, Math.round(py) + 0.5);
          context.lineTo(width, Math.round(py) + 0.5);
        }
        context.stroke();
      }
    }
  }

  paintScan() {
    const { live, context } = this;
    const scan = live.scan.get(live.chosen);
    if (!live.isFresh(scan) || !scan.from) return;
    const pose = scan.from; // where the robot was then
    context.fillStyle = this.color(live.chosen);
    const size = 3;
    for (let i = 0; i < scan.cm.length; i += 1) {
      if (scan.cm[i] === 0) continue;
      const angle = pose.yaw + scan.start + i * scan.step;
      const [px, py] = this.place(
        pose.x + (scan.cm[i] / 100) * Math.cos(angle), pose.y + (scan.cm[i] / 100) * Math.sin(angle),
      );
      context.fillRect(px - size / 2, py - size / 2, size, size);
    }
  }

  // The radius of a robot on the page: its size in the world, within what can be seen.
  radius() {
    return Math.max(8, Math.min(16, 0.25 * this.scale));
  }

  paintRobot(robot) {
    const { context, live } = this;
    const pose = live.pose.get(robot);
    const [px, py] = this.place(pose.x, pose.y);
    const r = this.radius();
    const color = this.color(robot);
    const isFresh = live.isFresh(pose);
    context.save();
    context.translate(px, py);
    if (robot === live.chosen) {
      context.strokeStyle = this.colors.accent;
      context.lineWidth = 2.5;
      context.beginPath();
      context.arc(0, 0, r + 7, 0, 2 * Math.PI);
      context.stroke();
    }
    context.rotate(-pose.yaw);
    context.beginPath();
    context.moveTo(1.15 * r, 0);
    context.lineTo(-0.8 * r, 0.8 * r);
    context.lineTo(-0.4 * r, 0);
    context.lineTo(-0.8 * r, -0.8 * r);
    context.closePath();
    context.lineWidth = isFresh ? 3 : 2;
    if (isFresh) {
      context.strokeStyle = this.colors.map;
      context.stroke();
      context.fillStyle = color;
      context.fill();
    } else {
      context.fillStyle = this.colors.map;
      context.fill();
      context.strokeStyle = color;
      context.setLineDash([4, 3]);
      context.stroke();
    }
    context.restore();
    if (live.robot.get(robot).state === 'lost') this.paintCross(px, py, r);
  }

  paintCross(px, py, r) {
    const { context } = this;
    for (const [color, wide] of [[this.colors.map, 5], [this.colors.bad, 2.5]]) {
      context.strokeStyle = color;
      context.lineWidth = wide;
      context.beginPath();
      context.moveTo(px - r, py - r);
      context.lineTo(px + r, py + r);
      context.moveTo(px + r, py - r);
      context.lineTo(px - r, py + r);
      context.stroke();
    }
  }

  // Labels go where there is room; those that find none are counted.
  paintLabels(robots) {
    const { context, live } = this;
    context.font = '600 12.5px system-ui, "DejaVu Sans", sans-serif';
    context.textBaseline = 'middle';
    const r = this.radius();
    const { width: wide, height: high } = this.size;
    const taken = robots.map((robot) => {
      const pose = live.pose.get(robot);
      const [px, py] = this.place(pose.x, pose.y);
      return [px - r, py - r, px + r, py + r];
    });
    this.hidden = 0;
    for (const [i, robot] of robots.entries()) {
      const text = robot.length > 22 ? `${robot.slice(0, 21)}…` : robot;
      if (!this.widths.has(text)) {
        if (this.widths.size > 500) this.widths.clear();
        this.widths.set(text, context.measureText(text).width);
      }
      const width = this.widths.get(text) + 8;
      const height = 17;
      const [x1, y1, x2, y2] = taken[i];
      const [cx, cy] = [(x1 + x2) / 2, (y1 + y2) / 2];
      if (cx < -20 || cy < -20 || cx > wide + 20 || cy > high + 20) continue;
      const gap = robot === live.chosen ? 11 : 4;
      const places = [
        [x2 + gap, cy - height / 2], [cx - width / 2, y1 - gap - height],
        [cx - width / 2, y2 + gap], [x1 - gap - width, cy - height / 2],
        [x2 + gap - 4, y1 - height + 4], [x2 + gap - 4, y2 - 4],
        [x1 - gap - width + 4, y1 - height + 4], [x1 - gap - width + 4, y2 - 4],
      ];
      const boxes = places.map(([x, y]) => [x, y, x + width, y + height]);
      const box = boxes.find((b) => !taken.some((other, j) => j !== i && overlaps(b, other)))
        ?? (robot === live.chosen ? boxes[0] : null);
      if (box === null) {
        this.hidden += 1;
        continue;
      }
      taken.push(box);
      context.fillStyle = this.colors.label;
      context.beginPath();
      context.roundRect(box[0], box[1], width, height, 4);
      context.fill();
      context.fillStyle = live.isFresh(live.pose.get(robot)) ? this.colors.ink : this.colors.soft;
      context.fillText(text, box[0] + 4, box[1] + height / 2 + 0.5);
    }
  }

  paintScale(width, height) {
    const { context } = this;
    const meters = niceStep(80 / this.scale);
    const long = meters * this.scale;
    const [x, y] = [16, height - 16];
    const text = meters >= 1 ? `${meters} m` : `${Math.round(meters * 100)} cm`;
    context.fillStyle = this.colors.label;
    context.fillRect(x - 6, y - 24, long + 12, 32);
    context.strokeStyle = this.colors.ink;
    context.fillStyle = this.colors.ink;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x, y - 5);
    context.lineTo(x, y);
    context.lineTo(x + long, y);
    context.lineTo(x + long, y - 5);
    context.stroke();
    context.font = '12px system-ui, "DejaVu Sans", sans-serif';
    context.textBaseline = 'alphabetic';
    context.fillText(text, x + 4, y - 8);
  }

  paintGoals(now) {
    for (const [robot, goal] of this.goals) {
      const pose = this.live.pose.get(robot);
      const isThere = pose && Math.hypot(pose.x - goal.x, pose.y - goal.y) < 0.3;
      if (isThere || now - goal.at > 120) this.goals.delete(robot);
      else this.paintFlag(goal, this.color(robot));
    }
  }

  paintFlag({ x, y, yaw }, color) {
    const { context } = this;
    const [px, py] = this.place(x, y);
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.setLineDash([3, 3]);
    context.beginPath();
    context.arc(px, py, 9, 0, 2 * Math.PI);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.moveTo(px, py);
    context.lineTo(px + 20 * Math.cos(yaw), py - 20 * Math.sin(yaw));
    context.stroke();
  }

  paintAim() {
    if (!this.aim) return;
    this.paintFlag({ ...this.point(...this.aim.from), yaw: this.heading(this.aim) }, this.colors.accent);
  }

  setAims(aims) {
    this.aims = aims;
    this.aim = null;
    this.canvas.classList.toggle('aims', aims);
    this.draw();
  }
}

function overlaps(a, b) {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}

// 1, 2 or 5 times a power of ten, at least so much.
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= least);
}
