// From the text of packing.py back to numbers.

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The inverse of packing.pack: two planes of bytes, zigzag, differences along both axes, modulo 2^16.
async function unpack(text, width, height) {
  const bytes = await inflate(text),
    n = width * height,
    out = new Uint16Array(n);
  for (let i = 0, y = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      const z = bytes[i] | (bytes[n + i] << 8);
      out[i] =
        ((z >> 1) ^ -(z & 1)) + (x ? out[i - 1] : 0) + (y ? out[i - width] : 0) - (x && y ? out[i - width - 1] : 0);
    }
  return out;
}

// The smallest level among a pixel and its neighbours up, down, left and right. A pixel lies on the
// edge of the mask at position k if its own level is above k and this one is not.
function lowest(levels, width, height) {
  const out = levels.slice();
  for (let i = 0, y = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      if (x > 0 && levels[i - 1] < out[i]) out[i] = levels[i - 1];
      if (x < width - 1 && levels[i + 1] < out[i]) out[i] = levels[i + 1];
      if (y > 0 && levels[i - width] < out[i]) out[i] = levels[i - width];
      if (y < height - 1 && levels[i + width] < out[i]) out[i] = levels[i + width];
    }
  return out;
}

// Pixels on either side of the edge of a set.
function rim(inside, width, height) {
  const outside = inside.map(value => 1 - value);
  const inner = lowest(inside, width, height),
    outer = lowest(outside, width, height);
  return inside.map((value, i) => +(value ? !inner[i] : !outer[i]));
}

// Pictures, truths and maps of a scene: each unpacked when it is first asked for, and cached.
function unpacked(data) {
  const cache = new Map();
  const once = (key, work) => {
    if (!cache.has(key)) cache.set(key, work());
    return cache.get(key);
  };
  return {
    image: p =>
      once("image " + p, async () => {
        const image = new Image();
        image.src = data.pictures[p].image;
        await image.decode();
        return image;
      }),
    // 1 for the class, 0 for anything else, 2 for void; and where the outline runs.
    truth: (p, value) =>
      data.pictures[p].truth &&
      once("truth " + p + " " + value, async () => {
        const {truth, width, height, void: unknown} = data.pictures[p];
        const kinds = await unpack(truth, width, height);
        const cases = kinds.map(kind => (kind === unknown ? 2 : +(kind === value)));
        return {
          cases,
          outline: rim(
            cases.map(kind => +(kind === 1)),
            width,
            height,
          ),
        };
      }),
    maps: (p, n) =>
      once("maps " + p + " " + n, async () => {
        const {width, height, maps} = data.pictures[p];
        const [raw, voted] = await Promise.all([
          unpack(maps[n].raw, width, height),
          unpack(maps[n].voted, width, height),
        ]);
        return {raw, voted, low: lowest(voted, width, height)};
      }),
  };
}
