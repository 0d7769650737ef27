"use strict";

lsegrepro.add("resample", () => {
  /** Round as Python does: a half goes to the even neighbour. */
  const round = value => {
    const low = Math.floor(value), part = value - low;
    return part === .5 ? low + (low & 1) : Math.round(value);
  };

  /** Height and width when the shorter side becomes `side`: data/images.py, short_side. */
  const shortSide = (height, width, side) => {
    const factor = side / Math.min(height, width);
    return [Math.max(1, round(height * factor)), Math.max(1, round(width * factor))];
  };

  /** Height and width of at most `pixels` pixels: segment.py, cut. */
  const atMost = (height, width, pixels) => {
    if (height * width <= pixels) return [height, width];
    const factor = Math.sqrt(pixels / (height * width));
    return [height, width].map(side => Math.min(pixels, Math.max(1, round(side * factor))));
  };

  /** The triangle filter: for each output position its first input and its weights. Antialiases when it shrinks. */
  const taps = (from, to) => {
    const scale = from / to, support = Math.max(scale, 1), inverse = 1 / support;
    return Array.from({length: to}, (_, i) => {
      const centre = (i + .5) * scale;
      const first = Math.max(0, Math.trunc(centre - support + .5));
      const last = Math.min(from, Math.trunc(centre + support + .5));
      const weights = new Float64Array(last - first);
      let sum = 0;
      for (let x = 0; x < weights.length; x++)
        sum += weights[x] = Math.max(0, 1 - Math.abs((x + first - centre + .5) * inverse));
      return {first, weights: weights.map(weight => weight / sum)};
    });
  };

  // Pillow works on bytes with weights of 22 bits after the point.
  const BITS = 22, HALF = 1 << BITS - 1;
  const fixed = each => ({first: each.first, weights: Int32Array.from(each.weights,
    weight => Math.trunc(weight * (1 << BITS) + .5))});

  /** One pass along the rows, of `count` rows; of more than three channels the rest is passed over. */
  const narrow = (data, count, width, channels, across, out, place) => {
    for (let y = 0, to = place; y < count; y++) for (const {first, weights} of across) {
      let at = (y * width + first) * channels, r = HALF, g = HALF, b = HALF;
      for (let i = 0; i < weights.length; i++, at += channels) {
        const weight = weights[i];
        r += weight * data[at];
        g += weight * data[at + 1];
        b += weight * data[at + 2];
      }
      out[to++] = r >> BITS;
      out[to++] = g >> BITS;
      out[to++] = b >> BITS;
    }
  };

  /**
   * A resize of bytes that is fed row by row, so that no copy of the whole photograph is held.
   * rows(data, count, channels): data holds `count` rows of `width` pixels. done(): the picture,
   * Uint8Array (toHeight, toWidth, 3).
   */
  const byRows = (height, width, toHeight, toWidth) => {
    const across = taps(width, toWidth).map(fixed), down = taps(height, toHeight).map(fixed);
    let row = 0;
    // As Pillow 13 does: rounding is between the passes, so their order shows.
    if (height - toHeight > Math.max(0, (width - toWidth) * 2)) {
      const line = width * 3, sums = new Int32Array(toHeight * line).fill(HALF), uses = Array.from({length: height}, () => []);
      down.forEach(({first, weights}, y) => weights.forEach((weight, i) => uses[first + i].push([y, weight])));
      return {
        rows(data, count, channels) {
          for (let y = 0; y < count; y++, row++) for (const [to, weight] of uses[row])
            for (let x = 0, at = y * width * channels, place = to * line; x < width; x++, at += channels) {
              sums[place++] += weight * data[at];
              sums[place++] += weight * data[at + 1];
              sums[place++] += weight * data[at + 2];
            }
        },
        done() {
          const out = new Uint8Array(toHeight * toWidth * 3);
          narrow(Uint8Array.from(sums, sum => sum >> BITS), toHeight, width, 3, across, out, 0);
          return out;
        },
      };
    }
    const kept = new Uint8Array(height * toWidth * 3), line = toWidth * 3;
    return {
      rows(data, count, channels) {
        narrow(data, count, width, channels, across, kept, row * line);
        row += count;
      },
      done() {
        if (toHeight === height) return kept;
        const out = new Uint8Array(toHeight * line);
        down.forEach(({first, weights}, y) => {
          for (let x = 0; x < line; x++) {
            let sum = HALF;
            for (let i = 0, at = first * line + x; i < weights.length; i++, at += line) sum += weights[i] * kept[at];
            out[y * line + x] = sum >> BITS;
          }
        });
        return out;
      },
    };
  };

  /** The same filter on one plane of numbers: row(y) is the row y of the result, Float32Array (toWidth,). */
  const plane = (values, height, width, toHeight, toWidth) => {
    const down = taps(height, toHeight), across = taps(width, toWidth), rows = new Map();
    const narrowed = y => {
      if (!rows.has(y)) {
        if (rows.size > 4 * Math.ceil(Math.max(1, height / toHeight) + 1)) rows.clear();
        rows.set(y, Float32Array.from(across, ({first, weights}) => {
          let sum = 0;
          for (let i = 0; i < weights.length; i++) sum += weights[i] * values[y * width + first + i];
          return sum;
        }));
      }
      return rows.get(y);
    };
    return y => {
      const {first, weights} = down[y], out = new Float32Array(toWidth);
      weights.forEach((weight, i) => {
        const row = narrowed(first + i);
        for (let x = 0; x < toWidth; x++) out[x] += weight * row[x];
      });
      return out;
    };
  };

  return {round, shortSide, atMost, byRows, plane};
});
