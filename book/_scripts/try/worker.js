"use strict";

lsegrepro.add("worker", () => {
  const photograph = lsegrepro.use("photograph"), resample = lsegrepro.use("resample");
  const network = lsegrepro.use("network"), superpixels = lsegrepro.use("superpixels"), png = lsegrepro.use("png");
  const pixels = 1_000_000, shown = 400_000;  // of the copy that is cut (segment.py, cut), and of the page's

  let net = null;  // of a worker that scores
  let photo = null, result = null;  // of the worker that does the rest

  const acts = {
    /** Make ready to score with a network. */
    async open({weights, architecture, runtime}) {
      const engine = await lsegrepro.use("engine").open(runtime);
      net = network.load(weights, architecture, engine);
      return {engine: engine.name};
    },

    first({band, columns}) {
      const pieces = network.first(net, band, columns);
      return [{pieces}, pieces.map(piece => piece.buffer)];
    },

    rest({pieces, inside}) {
      const whole = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
      let at = 0;
      for (const piece of pieces) {
        whole.set(piece, at);
        at += piece.length;
      }
      const scores = network.rest(net, whole, inside);
      return [{scores}, [scores.buffer]];
    },

    /** Read a photograph; the page gets what the network sees, its shorter side `side`, and what is shown. */
    async read({blob, side}) {
      const all = (high, wide) =>
        [resample.shortSide(high, wide, side), resample.atMost(high, wide, pixels), resample.atMost(high, wide, shown)];
      const {height, width, copies} = await photograph.read(blob, all), sizes = all(height, width);
      photo = {height, width, copy: copies[1], size: sizes[1], cut: null};
      const [seen, picture] = [0, 2].map(i => ({data: copies[i], height: sizes[i][0], width: sizes[i][1]}));
      return {height, width, seen, picture};
    },

    cut({params}) {
      photo.cut = superpixels.cut(photo.copy, ...photo.size, params);
      return {count: photo.cut.count};
    },

    /** From scores to codes, the vote, and what the page shows of them. */
    finish({scores, seen, picture}) {
      const {height, width, size, cut} = photo, n = seen.height * seen.width;
      const p = Float32Array.from({length: n}, (_, i) => 1 / (1 + Math.exp(scores[n + i] - scores[i])));
      const codes = new Uint16Array(height * width), row = resample.plane(p, seen.height, seen.width, height, width);
      const above = new Uint32Array(65536), voted = new Uint32Array(65536);  // counts of each code
      for (let y = 0, i = 0; y < height; y++) for (const value of row(y)) {
        codes[i] = value * 65535;  // whole numbers are left: the floor
        above[codes[i++]]++;
      }
      const {statistics, sizes, at} = superpixels.vote(codes, height, width, cut, ...size);
      statistics.forEach((code, label) => { voted[code] += sizes[label]; });
      result = {height, width, codes, statistics, at};
      const down = superpixels.nearest(picture.height, height), across = superpixels.nearest(picture.width, width);
      const raw = new Uint16Array(picture.height * picture.width), smoothed = new Uint16Array(raw.length);
      for (let y = 0, i = 0; y < picture.height; y++) for (let x = 0; x < picture.width; x++, i++) {
        raw[i] = codes[down[y] * width + across[x]];
        smoothed[i] = statistics[at(down[y], across[x])];
      }
      for (let code = 65535; code > 0; code--) {  // from counts at a code to counts from it on
        above[code - 1] += above[code];
        voted[code - 1] += voted[code];
      }
      return {raw, smoothed, above, voted};
    },

    /** A file of the whole photograph's size, as `lsegrepro segment` writes it. */
    async file({kind, theta}) {
      const {height, width, codes, statistics, at} = result, limit = Math.floor(theta * 65535);
      return {blob: kind === "mask"
        ? await png.grey(height, width, 8, (y, x) => statistics[at(y, x)] > limit ? 255 : 0)
        : await png.grey(height, width, 16, (y, x) => codes[y * width + x])};
    },
  };

  onmessage = async ({data: {id, act, ...given}}) => {
    try {
      const answer = await acts[act](given), [reply, moved] = Array.isArray(answer) ? answer : [answer, []];
      postMessage({id, ...reply}, moved);
    } catch (error) {
      postMessage({id, error: String(error.message ?? error)});
    }
  };
  return {};
});
