// The connection to the dashboard: keeps what it says in maps, one per section.

const SECTIONS = ['redis', 'robot', 'pose', 'battery', 'scan', 'routes', 'grid', 'lease', 'queue', 'event'];
const SILENT_MS = 1500; // the dashboard says something every 0.5 s
const MOST_EVENTS = 200;
const RETRY_MS = [300, 5000];
const UNSEEN_S = 4; // the dashboard asks Redis once a second

export class Live {
  constructor(onChange, onReply) {
    this.onChange = onChange;
    this.onReply = onReply;
    this.heardAt = null; // by performance.now()
    this.silentSince = Date.now() / 1000;
    this.serverNow = null;
    this.chosen = null;
    this.messages = 0;
    this.retryMs = RETRY_MS[0];
    this.clear();
    this.connect();
  }

  clear() {
    for (const section of SECTIONS) this[section] = new Map();
  }

  connect() {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}/live`);
    this.socket = socket;
    socket.onopen = () => { this.retryMs = RETRY_MS[0]; };
    socket.onmessage = (event) => this.take(socket, JSON.parse(event.data));
    socket.onclose = () => {
      if (this.isHeard) this.silentSince = this.now();
      this.heardAt = null;
      this.onReply({ to: 'token', ok: null, text: '' });
      this.onChange(null);
      setTimeout(() => this.connect(), this.retryMs);
      this.retryMs = Math.min(2 * this.retryMs, RETRY_MS[1]);
    };
  }

  take(socket, message) {
    socket.send(JSON.stringify({ do: 'ack', n: message.n }));
    if (message.n === 1) {
      this.clear();
      if (this.chosen !== null) this.choose(this.chosen);
    }
    this.heardAt = performance.now();
    this.serverNow = message.now;
    this.silentSince = null;
    this.messages += 1;
    const set = message.set ?? {};
    for (const [section, values] of Object.entries(set)) {
      const known = this[section];
      for (const [key, value] of Object.entries(values)) {
        if (value === null) known.delete(key);
        else known.set(key, value);
      }
    }
    while (this.event.size > MOST_EVENTS) this.event.delete(this.event.keys().next().value);
    for (const reply of message.replies ?? []) this.onReply(reply);
    this.onChange(set);
  }

  // Whether the dashboard is heard at all.
  get isHeard() {
    return this.heardAt !== null && performance.now() - this.heardAt < SILENT_MS;
  }

  // Whether what is shown may be called live.
  get isLive() {
    return this.isHeard && this.redisProblem === null;
  }

  // Since when, and why, Redis is not reached; null if it is.
  get redisProblem() {
    const redis = this.redis.get('');
    if (!redis) return { since: this.now(), text: '' };
    if (!redis.ok) return redis;
    if (this.now() - redis.seen > UNSEEN_S) return { since: redis.seen, text: 'It does not answer.' };
    return null;
  }

  // The time by the Redis server's clock, in seconds.
  now() {
    if (this.serverNow === null) return Date.now() / 1000;
    if (this.heardAt === null) return Date.now() / 1000;
    return this.serverNow + (performance.now() - this.heardAt) / 1000;
  }

  // Since when the dashboard is silent, or null.
  noteSilence() {
    if (this.isHeard) this.silentSince = null;
    else if (this.silentSince === null) this.silentSince = this.now() - SILENT_MS / 1000;
    return this.silentSince;
  }

  // Whether a reading (pose, scan, battery) is of now; null if nothing is known.
  isFresh(reading, atLeast = 1) {
    if (!reading) return null;
    const limit = Math.max(atLeast, 3 * reading.every);
    return this.isLive && reading.at !== null && this.now() - reading.at < limit;
  }

  choose(robot) {
    this.chosen = robot;
    this.scan.clear();
    this.routes.clear();
    this.send({ do: 'choose', robot });
  }

  send(order) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(order));
    return true;
  }
}
