"use strict";

lsegrepro.add("network", () => {
  /* The scores of lsegrepro/network/dense.py. With pooling of stride 1 every pixel is the centre of a patch; each pooling
     leaves p x p interleaved images ("fragments") that do not mix any more. The work is cut for many workers:
     `first` is the first layer on a band of rows, `rest` all other layers on one fragment of it.
     Maps lie row, column, channel in a Float32Array; `line` is the length of a row of one. Biases come with the
     tanh, since the maximum of a pooling does not mind when they are added. */

  /** Half precision to single: sign, five bits of exponent, ten of fraction. */
  const single = halves => Float32Array.from(halves, half => {
    const exponent = half >> 10 & 31, fraction = half & 1023;
    const value = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    return half >> 15 ? -value : value;
  });

  /** A network from a safetensors file and the sizes of its architecture, ready for an engine. */
  const load = (bytes, architecture, engine) => {
    const view = new DataView(bytes), start = 8 + Number(view.getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, start - 8)));
    const tensor = name => {
      const {dtype, data_offsets: [from, to]} = header[name], part = bytes.slice(start + from, start + to);
      return dtype === "F16" ? single(new Uint16Array(part)) : new Float32Array(part);
    };
    const [k1, k2, k3] = architecture.filters, [h1, h2, h3, h4] = architecture.hidden;
    const rows = (weights, outputs, order) => {  // (outputs, inputs) to (inputs, outputs), inputs put in order
      const inputs = weights.length / outputs, turned = new Float32Array(weights.length);
      for (let i = 0; i < inputs; i++)
        for (let o = 0; o < outputs; o++) turned[order(i) * outputs + o] = weights[o * inputs + i];
      return engine.fixed(turned, inputs, outputs);
    };
    const same = i => i, colour = k1 * k1;
    return {
      ...architecture,
      conv1: rows(tensor("conv1.weight"), h1, i => i % colour * 3 + Math.floor(i / colour)),
      conv2: winograd(tensor("conv2.weight"), h1, h2, k2, engine),
      conv3: winograd(tensor("conv3.weight"), h2, h3, k3, engine),
      full4: rows(tensor("full4.weight"), h4, same),
      full5: rows(tensor("full5.weight"), 2, same),
      biases: ["conv1", "conv2", "conv3", "full4", "full5"].map(name => tensor(name + ".bias")),
    };
  };

  /** How an image is cut: its padded size, the bands of the first layer, and what the fragments come to. */
  const plan = ({patch, pools, filters, hidden}, height, width, bands) => {
    const [p1, p2] = pools, stride = p1 * p2, margin = Math.floor((patch - 1) / 2);
    const extended = [height, width].map(side => Math.ceil(side / stride) * stride);
    const rows = extended[0] + patch - 1, columns = extended[1] + patch - 1, reach = filters[0] - 1 + p1 - 1;
    const strips = (rows - reach) / p1, each = Math.ceil(strips / bands);
    return {
      height, width, margin, rows, columns,
      bands: Array.from({length: Math.ceil(strips / each)}, (_, i) =>
        ({from: i * each * p1, to: Math.min(strips, (i + 1) * each) * p1 + reach})),
      fragments: p1 * p1, p1, channels: hidden[0],
      inside: {height: strips, width: (columns - reach) / p1},  // of a fragment after the first pooling
      outside: {height: extended[0] / p1, width: extended[1] / p1},  // of its scores
    };
  };

  /** Pad (height, width, 3) bytes by reflection, along a short side by repetition: dense.py, pad. */
  const pad = (image, {height, width, margin, rows, columns}) => {
    const place = (length, count) => Int32Array.from({length: count}, (_, i) => {
      const at = i - margin, last = length - 1;
      if (length <= margin) return Math.min(Math.max(at, 0), last);
      return Math.max(0, at < 0 ? -at : at > last ? 2 * last - at : at);  // beyond the margin nothing is read
    });
    const out = new Uint8Array(rows * columns * 3), across = place(width, columns);
    place(height, rows).forEach((y, row) => {
      for (let column = 0, to = row * columns * 3; column < columns; column++) {
        const from = (y * width + across[column]) * 3;
        out[to++] = image[from];
        out[to++] = image[from + 1];
        out[to++] = image[from + 2];
      }
    });
    return out;
  };

  /** tanh(x + bias) in place, to a few units of the last digit of float32 (the quotient that Eigen uses). */
  const activate = (x, bias) => {
    const channels = bias.length;
    for (let at = 0; at < x.length; at += channels) for (let c = 0; c < channels; c++) {
      let v = x[at + c] + bias[c];
      v = v > 7.9 ? 7.9 : v < -7.9 ? -7.9 : v;
      const s = v * v;
      x[at + c] = v * (4.89352455891786e-3 + s * (6.37261928875436e-4 + s * (1.48572235717979e-5
        + s * (5.12229709037114e-8 + s * (-8.60467152213735e-11 + s * (2.00018790482477e-13
        - s * 2.76076847742355e-16)))))) / (4.89352518554385e-3 + s * (2.268434632439e-3
        + s * (1.18534705686654e-4 + s * 1.19825839466702e-6)));
    }
    return x;
  };

  /** Maximum of each value and those up to size - 1 steps after it, in place, by doubling. A branch on
      values that no processor can foresee would take five times as long as the sum. */
  const pool = (x, size, step, end) => {
    for (let reach = 1; reach < size;) {
      const shift = Math.min(reach, size - reach), ahead = shift * step, last = end - ahead;
      for (let i = 0; i < last; i++) {
        const one = x[i], other = x[i + ahead];
        x[i] = .5 * (one + other + Math.abs(one - other));
      }
      reach += shift;
    }
  };

  /** The first layer and its pooling on a band of padded rows: the band's part of each fragment. */
  const first = (network, pixels, columns) => {
    const [k] = network.filters, [p] = network.pools, [channels] = network.hidden;
    const rows = pixels.length / columns / 3 - k + 1, wide = columns - k + 1, line = wide * channels;
    const x = new Float32Array(pixels.length);
    for (let i = 0; i < x.length; i++) x[i] = pixels[i] * (2 / 255) - 1;
    const map = new Float32Array(rows * line), patches = new Float32Array(wide * k * k * 3);
    for (let row = 0; row < rows; row++) {
      for (let column = 0, to = 0; column < wide; column++) for (let dy = 0; dy < k; dy++) {
        const from = ((row + dy) * columns + column) * 3;
        for (let i = 0; i < 3 * k; i++) patches[to++] = x[from + i];
      }
      network.conv1(patches, wide, map.subarray(row * line, (row + 1) * line));
    }
    pool(map, p, channels, map.length);
    pool(map, p, line, map.length);
    const down = (rows - p + 1) / p, across = (wide - p + 1) / p;
    return Array.from({length: p * p}, (_, f) => {
      const piece = new Float32Array(down * across * channels), i = Math.floor(f / p), j = f % p;
      for (let y = 0, to = 0; y < down; y++) for (let c = 0; c < across; c++, to += channels) {
        const from = (y * p + i) * line + (c * p + j) * channels;
        piece.set(map.subarray(from, from + channels), to);
      }
      return piece;
    });
  };

  /** All layers after the first pooling on one fragment (height, width, h1): scores (outside.height, .width, 2). */
  const rest = (network, x, {height, width}) => {
    const p = network.pools[1], [, h2, h3, h4] = network.hidden, [b1, b2, b3, b4, b5] = network.biases;
    let map = network.conv2({data: activate(x, b1), height, width, line: width * network.hidden[0]}, 1);
    pool(map.data, p, h2, map.data.length);
    pool(map.data, p, map.line, map.data.length);
    map = network.conv3({...map, data: activate(map.data, b2), height: map.height - p + 1, width: map.width - p + 1}, p);
    const pixels = map.height * map.width, kept = new Float32Array(pixels * h3);
    for (let y = 0; y < map.height; y++)
      kept.set(map.data.subarray(y * map.line, y * map.line + map.width * h3), y * map.width * h3);
    const hidden = new Float32Array(pixels * h4), scores = new Float32Array(pixels * 2);
    network.full4(activate(kept, b3), pixels, hidden);
    network.full5(activate(hidden, b4), pixels, scores);
    return activate(scores, b5);
  };

  // Winograd's convolution, as lsegrepro/network/winograd.py explains it.

  const POINTS = [0, 1, -1, 2, -2, .5, -.5], N = POINTS.length + 1;

  /** A' (m, n), B' (n, n) and G (n, k), lists of rows. */
  const matrices = k => {
    const powers = count => [...POINTS.map(p => Array.from({length: count}, (_, i) => p ** i)),
      Array.from({length: count}, (_, i) => +(i === count - 1))];
    const turn = rows => rows[0].map((_, i) => rows.map(row => row[i]));
    const g = powers(k), b = turn(inverse(powers(N)));
    // A power of two moves between filter and tile without rounding, and keeps both of one size.
    const scale = g.map(row => 2 ** Math.round(Math.log2(Math.max(...row.map(Math.abs)))));
    return {a: turn(powers(N - k + 1)), b: b.map((row, i) => row.map(v => v * scale[i])),
      g: g.map((row, i) => row.map(v => v / scale[i]))};
  };

  const inverse = rows => {  // Gauss and Jordan
    const size = rows.length, work = rows.map((row, i) => [...row, ...row.map((_, j) => +(i === j))]);
    for (let i = 0; i < size; i++) {
      const pivot = work.slice(i).reduce((best, row) => Math.abs(row[i]) > Math.abs(best[i]) ? row : best);
      work.splice(work.indexOf(pivot), 1);
      work.splice(i, 0, pivot.map(v => v / pivot[i]));
      work.forEach((row, j) => { if (j !== i) work[j] = row.map((v, c) => v - row[i] * work[i][c]); });
    }
    // The entries are multiples of 1/90 for these points; without the noise of the elimination zeros are zeros.
    return work.map(row => row.slice(size).map(v => Math.round(v * 720) / 720));
  };

  /** A product with a small matrix as straight code: to[r] = sum of matrix[r][q] * from[q], of `count` neighbours. */
  const combine = matrix => {
    const terms = row => row.map((v, q) => v === 0 ? "" : v === 1 ? `+ s${q}` : `+ ${v} * s${q}`).join(" ") || "0";
    return new Function("from", "at", "step", "to", "place", "leap", "count", `
      for (let e = 0; e < count; e++) {
        ${matrix[0].map((_, q) => `const s${q} = from[at + e + ${q} * step];`).join("\n")}
        ${matrix.map((row, r) => `to[place + e + ${r} * leap] = ${terms(row)};`).join("\n")}
      }`);
  };

  /** A convolution without its bias: conv(map, dilation) of maps with `inputs` channels. */
  const winograd = (weights, inputs, outputs, k, engine) => {
    const {a, b, g} = matrices(k), m = a.length, transform = combine(b), untransform = combine(a);
    const squares = Array.from({length: N * N}, () => new Float32Array(inputs * outputs));
    const across = combine(g), field = new Float64Array(N * N), half = new Float64Array(k * N);
    for (let o = 0; o < outputs; o++) for (let c = 0; c < inputs; c++) {  // G g G'
      for (let r = 0; r < k; r++) across(weights, ((o * inputs + c) * k + r) * k, 1, half, r, k, 1);
      for (let j = 0; j < N; j++) across(half, j * k, 1, field, j, N, 1);
      for (let i = 0; i < N * N; i++) squares[i][c * outputs + o] = field[i];
    }
    const filters = squares.map(square => engine.fixed(square, inputs, outputs));

    return ({data, height, width, line}, dilation) => {
      const high = height - (k - 1) * dilation, wide = width - (k - 1) * dilation;
      const down = Math.ceil(high / dilation / m), across = Math.ceil(wide / dilation / m);  // tiles
      const columns = (across * m + k - 1) * dilation, row = columns * inputs;
      const padded = new Float32Array((down * m + k - 1) * dilation * row);
      for (let y = 0; y < height; y++)
        padded.set(data.subarray(y * line, y * line + width * inputs), y * row);
      const out = across * m * dilation * outputs, result = new Float32Array(down * m * dilation * out);
      // Several rows of tiles at once, so that a product is worth its call.
      const strips = down * dilation, one = across * dilation, most = Math.max(1, Math.floor(448 / one));
      const slab = new Float32Array(N * row), square = new Float32Array(m * N * outputs);
      const into = new Float32Array(N * N * most * one * inputs), products = new Float32Array(N * N * most * one * outputs);
      for (let from = 0; from < strips; from += most) {
        const tiles = Math.min(most, strips - from) * one, field = tiles * inputs, answer = tiles * outputs;
        let tile = 0;
        const each = visit => {
          tile = 0;
          for (let strip = from; strip < Math.min(strips, from + most); strip++)
            visit(Math.floor(strip / dilation) * m * dilation + strip % dilation);
        };
        each(top => {
          transform(padded, top * row, dilation * row, slab, 0, row, row);
          for (let t = 0; t < across; t++) for (let j = 0; j < dilation; j++, tile++) for (let r = 0; r < N; r++)
            transform(slab, r * row + (t * m * dilation + j) * inputs, dilation * inputs,
              into, r * N * field + tile * inputs, field, inputs);
        });
        filters.forEach((times, i) => times(into.subarray(i * field, (i + 1) * field), tiles,
          products.subarray(i * answer, (i + 1) * answer)));
        each(top => {
          for (let t = 0; t < across; t++) for (let j = 0; j < dilation; j++, tile++) {
            for (let s = 0; s < N; s++)
              untransform(products, s * answer + tile * outputs, N * answer, square, s * outputs, N * outputs, outputs);
            for (let r = 0; r < m; r++)
              untransform(square, r * N * outputs, outputs, result,
                (top + r * dilation) * out + (t * m * dilation + j) * outputs, dilation * outputs, outputs);
          }
        });
      }
      return {data: result, height: high, width: wide, line: out};
    };
  };

  return {load, plan, pad, first, rest, activate};
});
