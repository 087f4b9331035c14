// Where robots were: rings of a fixed size, so that memory stays flat.

const POINTS = 240;
const STEP_M = 0.08;
const JUMP_M = 5; // a robot that was set elsewhere draws no line
const GAP_S = 1.5; // nor does one of which nothing was heard for so long
const KEPT_S = 60;
const STEPS = 6; // of fading

class Trail {
  constructor() {
    this.x = new Float32Array(POINTS);
    this.y = new Float32Array(POINTS);
    this.at = new Float64Array(POINTS);
    this.begins = new Uint8Array(POINTS); // a new line, after a gap
    this.start = 0;
    this.length = 0;
  }

  add(x, y, at) {
    const isGap = this.heardAt === undefined || at - this.heardAt > GAP_S;
    this.heardAt = at;
    if (this.length) {
      const last = (this.start + this.length - 1) % POINTS;
      const moved = Math.hypot(x - this.x[last], y - this.y[last]);
      if (moved > JUMP_M) this.length = 0;
      else if (moved < STEP_M && !isGap) return;
    }
    const next = (this.start + this.length) % POINTS;
    this.x[next] = x;
    this.y[next] = y;
    this.at[next] = at;
    this.begins[next] = isGap ? 1 : 0;
    if (this.length < POINTS) this.length += 1;
    else this.start = (this.start + 1) % POINTS;
  }
}

export class Trails {
  constructor() {
    this.of = new Map();
  }

  add(robot, pose, now) {
    if (!this.of.has(robot)) this.of.set(robot, new Trail());
    this.of.get(robot).add(pose.x, pose.y, pose.at ?? now);
  }

  keepOnly(robots) {
    for (const robot of this.of.keys()) if (!robots.has(robot)) this.of.delete(robot);
  }

  // Draws lines in steps of fading; `place` turns metres into pixels.
  draw(context, robot, now, place) {
    const trail = this.of.get(robot);
    if (!trail || trail.length < 2) return;
    let drawn = -1; // the step of the line that is begun
    for (let i = 1; i < trail.length; i += 1) {
      const index = (trail.start + i) % POINTS;
      const age = now - trail.at[index];
      if (age > KEPT_S) continue;
      const step = Math.min(STEPS - 1, Math.floor(STEPS * (1 - age / KEPT_S)));
      const to = place(trail.x[index], trail.y[index]);
      if (step !== drawn) {
        if (drawn >= 0) context.stroke();
        const before = (index + POINTS - 1) % POINTS;
        context.globalAlpha = 0.12 + (0.68 * (step + 1)) / STEPS;
        context.beginPath();
        context.moveTo(...place(trail.x[before], trail.y[before]));
        drawn = step;
      }
      if (trail.begins[index]) context.moveTo(...to);
      else context.lineTo(...to);
    }
    if (drawn >= 0) context.stroke();
    context.globalAlpha = 1;
  }
}
