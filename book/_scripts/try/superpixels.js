"use strict";

lsegrepro.add("superpixels", () => {
  /** Gaussian blur along one axis as scipy.ndimage does it: four sigmas wide, the border mirrored. */
  const blur = (values, lines, length, along, across, sigma) => {
    const radius = Math.trunc(4 * sigma + .5), weights = new Float64Array(radius + 1);
    let sum = 0;
    for (let i = -radius; i <= radius; i++) {
      const weight = Math.exp(-.5 / (sigma * sigma) * i * i);
      weights[Math.abs(i)] = weight;
      sum += weight;
    }
    for (let i = 0; i <= radius; i++) weights[i] /= sum;
    const mirrored = Int32Array.from({length: length + 2 * radius}, (_, i) => {
      const period = 2 * length, at = ((i - radius) % period + period) % period;
      return at < length ? at : period - 1 - at;
    });
    const row = new Float64Array(length + 2 * radius);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < row.length; i++) row[i] = values[line * across + mirrored[i] * along];
      for (let i = 0; i < length; i++) {
        const centre = i + radius;
        let total = row[centre] * weights[0];
        for (let j = radius; j > 0; j--) total += (row[centre - j] + row[centre + j]) * weights[j];
        values[line * across + i * along] = total;
      }
    }
  };

  /** Positions of non-negative numbers in ascending order; of equal ones the earlier comes first. */
  const order = costs => {
    const words = new Uint16Array(costs.buffer, costs.byteOffset, costs.length * 4);
    let from = new Uint32Array(costs.length), to = new Uint32Array(costs.length);
    for (let i = 0; i < from.length; i++) from[i] = i;
    for (let digit = 0; digit < 4; digit++) {  // a double that is not negative sorts as its bits do
      const starts = new Uint32Array(65537);
      for (let i = 0; i < costs.length; i++) starts[words[i * 4 + digit] + 1]++;
      for (let i = 0; i < 65536; i++) starts[i + 1] += starts[i];
      for (let i = 0; i < costs.length; i++) to[starts[words[from[i] * 4 + digit]]++] = from[i];
      [from, to] = [to, from];
    }
    return from;
  };

  /**
   * Superpixels of a picture (height, width, 3) of bytes: Felzenszwalb and Huttenlocher (2004) as scikit-image
   * computes them, step by step and in its order. Edges of exactly equal weight are taken in their order here;
   * there, in no order that is promised.
   * Returns Int32Array (height * width) with every label of 0 .. count - 1, and count.
   */
  const cut = (pixels, height, width, {scale, sigma, min_size}) => {
    const n = height * width, planes = [0, 1, 2].map(c => {
      const plane = new Float64Array(n);
      for (let i = 0; i < n; i++) plane[i] = pixels[i * 3 + c] * (1 / 255);
      if (sigma > 0) {
        blur(plane, width, height, width, 1, sigma);
        blur(plane, height, width, 1, width, sigma);
      }
      return plane;
    });
    // Right, down, and the two diagonals.
    const kinds = [[height, width - 1, 1, 0], [height - 1, width, width, 0],
      [height - 1, width - 1, width + 1, 0], [height - 1, width - 1, 1, width]];
    const count = kinds.reduce((sum, [rows, columns]) => sum + rows * columns, 0);
    const costs = new Float64Array(count), ones = new Int32Array(count), others = new Int32Array(count);
    let edge = 0;
    for (const [rows, columns, there, here] of kinds)
      for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++, edge++) {
        const one = y * width + x + there, other = y * width + x + here;
        let sum = 0;
        for (const plane of planes) {
          const step = plane[one] - plane[other];
          sum += step * step;
        }
        costs[edge] = Math.sqrt(sum);
        ones[edge] = one;
        others[edge] = other;
      }
    const queue = order(costs);
    const parent = Int32Array.from({length: n}, (_, i) => i);
    const sizes = new Int32Array(n).fill(1), inner = new Float64Array(n), k = scale / 255;
    const root = i => {
      while (parent[i] !== i) i = parent[i] = parent[parent[i]];
      return i;
    };
    const join = (a, b) => {  // the root is the first pixel of its superpixel
      const [low, high] = a < b ? [a, b] : [b, a];
      parent[high] = low;
      sizes[low] += sizes[high];
      return low;
    };
    for (const e of queue) {
      const a = root(ones[e]), b = root(others[e]);
      if (a !== b && costs[e] < Math.min(inner[a] + k / sizes[a], inner[b] + k / sizes[b])) inner[join(a, b)] = costs[e];
    }
    for (const e of queue) {
      const a = root(ones[e]), b = root(others[e]);
      if (a !== b && (sizes[a] < min_size || sizes[b] < min_size)) join(a, b);
    }
    const labels = new Int32Array(n);
    let used = 0;
    for (let i = 0; i < n; i++) labels[i] = parent[i] === i ? used++ : labels[root(i)];
    return {labels, count: used};
  };

  /** For each position along a side of `large` the nearest of `small`: segment.py, cut. */
  const nearest = (large, small) => Int32Array.from({length: large}, (_, i) => Math.floor((i + .5) * small / large));

  /**
   * The majority vote: of each superpixel of n pixels the code of rank floor(n / 2) + 1 from above. labels belong to
   * a copy of rows x columns; each pixel of codes (height, width) takes the nearest.
   * Returns the statistics (Uint16Array), the sizes in pixels, and at(y, x), the label of a pixel.
   */
  const vote = (codes, height, width, {labels, count}, rows, columns) => {
    const down = nearest(height, rows), across = nearest(width, columns);
    const at = (y, x) => labels[down[y] * columns + across[x]];
    const sizes = new Int32Array(count), high = new Int32Array(count * 256), low = new Int32Array(count * 256);
    const visit = act => {
      for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) act(at(y, x), codes[i]);
    };
    visit((label, code) => { sizes[label]++; high[label * 256 + (code >> 8)]++; });
    const left = Int32Array.from(sizes, size => Math.floor(size / 2) + 1), bins = new Int32Array(count);
    const find = (counts, label) => {  // the bin in which the rank that is left falls
      let bin = 255;
      while (left[label] > counts[label * 256 + bin]) left[label] -= counts[label * 256 + bin--];
      return bin;
    };
    for (let label = 0; label < count; label++) bins[label] = find(high, label);
    visit((label, code) => { if (code >> 8 === bins[label]) low[label * 256 + (code & 255)]++; });
    return {statistics: Uint16Array.from(bins, (bin, label) => bin << 8 | find(low, label)), sizes, at};
  };

  return {cut, vote, nearest};
});
