// Times and numbers as people read them.

export function clock(seconds) {
  const two = (n) => String(n).padStart(2, '0');
  const date = new Date(seconds * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function span(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [size, unit] of [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]) {
    const count = Math.floor(left / size);
    left %= size;
    if (count || parts.length || size === 1) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(' ');
}

export function since(stamp, now) {
  const day = new Date(stamp * 1000).toDateString() === new Date(now * 1000).toDateString();
  const date = day ? '' : `${new Date(stamp * 1000).toLocaleDateString()} `;
  return `since ${date}${clock(stamp)} (${span(now - stamp)})`;
}

export function byName(a, b) {
  return a.localeCompare(b, 'en', { numeric: true });
}
