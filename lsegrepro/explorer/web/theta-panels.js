// The four pictures: as it is, the probability, single pixels, after the vote.

// A colour as a canvas keeps it.
const word = (r, g, b, a = 255) => new Uint32Array(new Uint8Array([r, g, b, a]).buffer)[0];

function panelsOf(place) {
  const panel = () => {
    const canvas = make("canvas", {role: "img"}),
      title = make("figcaption");
    place.append(make("figure", {}, canvas, title));
    const say = text => {
      title.textContent = text;
      canvas.setAttribute("aria-label", text);
    };
    return {canvas, context: canvas.getContext("2d"), say};
  };
  const original = panel(),
    heat = panel(),
    pixels = panel(),
    vote = panel(),
    layer = document.createElement("canvas");
  const black = word(0, 0, 0),
    white = word(255, 255, 255),
    yellow = word(240, 228, 66);
  let plain, glass; // what covers a panel, and what lies over the picture

  const sheet = (width, height) => {
    const image = new ImageData(width, height);
    return {image, words: new Uint32Array(image.data.buffer)};
  };
  const cover = (context, image) => {
    layer.getContext("2d").putImageData(glass.image, 0, 0);
    context.drawImage(image, 0, 0, layer.width, layer.height);
    context.drawImage(layer, 0, 0);
  };

  return {
    size(width, height) {
      for (const canvas of [original.canvas, heat.canvas, pixels.canvas, vote.canvas, layer])
        Object.assign(canvas, {width, height});
      plain = sheet(width, height);
      glass = sheet(width, height);
    },
    // What does not move with theta.
    still({image, truth, raw}, {floor, ceiling}, colours) {
      for (let i = 0; i < raw.length; i++) {
        glass.words[i] = truth && truth.outline[i] ? yellow : 0;
        const part = ((raw[i] - 0.5) / 1000 - floor) / (ceiling - floor);
        plain.words[i] = colours[Math.max(0, Math.min(255, Math.round(255 * part)))];
      }
      cover(original.context, image);
      original.say(truth ? "Picture, the true outline in yellow" : "Picture; its true outline is not known");
      heat.context.putImageData(plain.image, 0, 0);
      heat.say("Probability: dark " + floor.toFixed(2) + ", bright " + ceiling.toFixed(2));
    },
    // Both masks at one position of the slider, and their counts.
    step(k, {image, truth, raw, voted, low}, {green}, cls) {
      const inside = word(...green, 128),
        edge = word(...green);
      const cases = truth && truth.cases;
      let real = 0,
        above = 0,
        votedCount = 0,
        rawFalse = 0,
        votedFalse = 0,
        rawTrue = 0,
        votedTrue = 0;
      for (let i = 0; i < raw.length; i++) {
        const dot = raw[i] > k,
          on = voted[i] > k;
        plain.words[i] = dot ? white : black;
        glass.words[i] = on ? (low[i] > k ? inside : edge) : 0;
        if (dot) above++;
        if (on) votedCount++;
        if (!cases) continue;
        if (truth.outline[i] && glass.words[i] !== edge) glass.words[i] = yellow;
        if (cases[i] === 1) {
          real++;
          if (dot) rawTrue++;
          if (on) votedTrue++;
        } else if (cases[i] === 0) {
          if (dot) rawFalse++;
          if (on) votedFalse++;
        }
      }
      pixels.context.putImageData(plain.image, 0, 0);
      cover(vote.context, image);
      pixels.say("Single pixels with p > " + (k / 1000).toFixed(3));
      vote.say("After the vote: " + cls + " in green");
      const ap = (right, wrong) => (cases && real + wrong ? right / (real + wrong) : null);
      return {raw: above, voted: votedCount, rawAp: ap(rawTrue, rawFalse), ap: ap(votedTrue, votedFalse)};
    },
  };
}
