// Occupancy grids as pictures, fetched once per change.

export class Grids {
  constructor(onReady) {
    this.onReady = onReady;
    this.pictures = new Map(); // by name: {at, canvas}
    this.fetching = new Set();
    this.colors = null;
  }

  setColors(colors) {
    this.colors = colors;
    this.pictures.clear();
  }

  keepOnly(names) {
    for (const name of this.pictures.keys()) if (!names.has(name)) this.pictures.delete(name);
  }

  // Returns the picture of a grid; an older one, or null, until it is there.
  picture(name, grid) {
    const known = this.pictures.get(name);
    const version = `${grid.at} ${grid.size} ${grid.width}`;
    if (known?.version !== version && !this.fetching.has(name)) this.fetch(name, grid, version);
    return known?.canvas ?? null;
  }

  async fetch(name, grid, version) {
    this.fetching.add(name);
    try {
      const response = await fetch(`grid?name=${encodeURIComponent(name)}`);
      if (!response.ok) return;
      const cells = new Uint8Array(await response.arrayBuffer());
      if (cells.length !== grid.width * grid.height) return; // of another version
      this.pictures.set(name, { version, canvas: this.paint(cells, grid) });
      this.onReady();
    } catch {
      // the connection is lost, which the page says anyway; it is fetched again
    } finally {
      setTimeout(() => { this.fetching.delete(name); this.onReady(); }, 1000);
    }
  }

  paint(cells, grid) {
    const canvas = document.createElement('canvas');
    canvas.width = grid.width;
    canvas.height = grid.height;
    const context = canvas.getContext('2d');
    const image = context.createImageData(grid.width, grid.height);
    const { free, occupied } = this.colors;
    for (let row = 0; row < grid.height; row += 1) {
      for (let column = 0; column < grid.width; column += 1) {
        const cell = cells[(grid.height - 1 - row) * grid.width + column]; // upwards on the page
        if (cell > 100) continue; // unknown stays clear
        const to = 4 * (row * grid.width + column);
        for (let part = 0; part < 3; part += 1) {
          image.data[to + part] = free[part] + ((occupied[part] - free[part]) * cell) / 100;
        }
        image.data[to + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }
}
