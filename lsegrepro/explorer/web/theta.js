// The theta explorer, in a page and in a widget: theta, a network and a picture in; masks and numbers out.

const grid = theta => Math.round(1000 * theta);
const word = (r, g, b, a = 255) => new Uint32Array(new Uint8Array([r, g, b, a]).buffer)[0];

// Resolves, once all is drawn, to a function that takes any of {theta, network, picture} from outside.
async function thetaExplorer(root, data, start, changed = () => {}) {
  const {steps, networks, pictures} = data, sources = unpacked(data), table = await inflate(data.colours);
  const colours = Uint32Array.from({length: 256}, (_, i) => word(...table.subarray(3 * i, 3 * i + 3)));
  const say = announcer(root), view = layout(root, data), panels = panelsOf(view.panels);
  const named = (items, name) => Math.max(0, items.findIndex(item => item.name === name));
  const state = {k: -1, n: -1, p: -1}, aim = {n: -1, p: -1};  // what is drawn; what was asked for last
  let held = null;

  const chart = view.svg && thetaChart(view.svg, view.legend, data, k => move(k));
  if (chart) {
    root.style.setProperty("--lse-left", INSET.left + "px");
    root.style.setProperty("--lse-right", INSET.right + "px");
  }

  const told = () => ({theta: state.k / 1000, network: networks[state.n].name, picture: pictures[state.p].name});

  // Show another network or picture, unless yet another is asked for while its maps are unpacked.
  async function choose(n, p, quiet = false) {
    Object.assign(aim, {n, p});
    const [image, truth, maps] = await Promise.all(
      [sources.image(p), sources.truth(p, networks[n].truth), sources.maps(p, n)]);
    if (aim.n !== n || aim.p !== p) return;
    held = {image, truth, ...maps};
    const other = p !== state.p;
    Object.assign(state, {n, p});
    view.network.value = n;
    if (view.picture) view.picture.value = p;
    const network = networks[n];
    view.called.textContent = "called " + network.cls;
    view.marks.replaceChildren(...network.marks.map(([name, theta]) => {
      const button = make("button", {type: "button"}, name + " " + theta);
      button.addEventListener("click", () => move(grid(theta)));
      return button;
    }));
    if (other) panels.size(pictures[p].width, pictures[p].height);
    panels.still(held, data, colours);
    chart?.show(network);
    refresh(quiet);
  }

  // Move theta to a position of the slider.
  function move(k, quiet = false) {
    k = Math.max(0, Math.min(steps - 1, k));
    if (k === state.k) return;
    state.k = k;
    if (held) refresh(quiet);
  }

  function refresh(quiet = false) {
    const {k} = state, network = networks[state.n], theta = (k / 1000).toFixed(3);
    const counts = panels.step(k, held, data, network.cls), pixels = held.raw.length;
    const rows = [
      [counts.raw / pixels, counts.rawAp, network.raw?.[k] ?? null],
      [counts.voted / pixels, counts.ap, network.ap?.[k] ?? null],
    ];
    rows.forEach((row, i) => row.forEach((value, j) => { view.cells[i][j].textContent = percent(value); }));
    view.slider.value = k / 1000;
    view.slider.setAttribute("aria-valuetext", theta);
    view.output.textContent = "\u03b8 = " + theta;
    chart?.place(k);
    const [, [share, ap, whole]] = rows;
    say(network.name + ", theta " + theta + ": " + percent(share) + " called " + network.cls + " after the vote"
      + (ap === null ? "" : ", AP of this picture " + percent(ap)) + (whole === null ? "" : ", AP " + data.on + " " + percent(whole)));
    Object.assign(root.dataset, {theta, network: network.name, picture: pictures[state.p].name, raw: counts.raw,
      voted: counts.voted, ap: counts.ap ?? "", rawAp: counts.rawAp ?? "", whole: rows[1][2] ?? "", rawWhole: rows[0][2] ?? ""});
    if (!quiet) changed(told());
  }

  async function take(wanted) {
    const n = "network" in wanted ? named(networks, wanted.network) : aim.n;
    const p = "picture" in wanted ? named(pictures, wanted.picture) : aim.p;
    if ("theta" in wanted) move(grid(wanted.theta), true);
    if (n !== aim.n || p !== aim.p) await choose(n, p, true);
  }

  const pick = () => choose(+view.network.value, view.picture ? +view.picture.value : 0);
  view.slider.addEventListener("input", () => move(grid(view.slider.valueAsNumber)));
  view.network.addEventListener("change", pick);
  view.picture?.addEventListener("change", pick);
  await take({network: networks[0].name, picture: pictures[0].name, ...start});
  say("");  // nothing is said of a page that was only opened
  view.body.hidden = false;
  rest();
  return take;

  // Unpack what may be asked for next, while nobody waits.
  async function rest() {
    for (let p = 0; p < pictures.length; p++)
      for (let n = 0; n < networks.length; n++) await sources.maps(p, n);
  }
}

// The controls, and where the numbers go.
function layout(root, data) {
  const slider = make("input", {type: "range", min: 0, max: (data.steps - 1) / 1000, step: .001, "aria-label": "theta"});
  const output = make("output", {class: "lse-theta-value", "aria-live": "off"}), marks = make("span", {class: "lse-marks"});
  const network = make("select"), picture = data.pictures.length > 1 ? make("select") : null;
  for (const group of new Set(data.networks.map(n => n.group))) {
    const options = data.networks.flatMap((n, i) => n.group === group ? [make("option", {value: i}, n.name)] : []);
    network.append(make("optgroup", {label: group}, ...options));
  }
  picture?.append(...data.pictures.map(({name}, i) => make("option", {value: i}, name)));
  const row = make("div", {class: "lse-row"}, make("label", {}, "Network", network));
  if (picture) row.append(make("label", {}, "Picture", picture));
  const called = make("th", {scope: "col"}), line = (name, now) => {
    const cells = [0, 1, 2].map(() => make("td"));
    return {cells, row: make("tr", {class: now}, make("th", {scope: "row"}, name), ...cells)};
  };
  const raw = line("single pixels", ""), voted = line("after the vote", "lse-now");
  const table = make("table", {class: "lse-read"},
    make("thead", {}, make("tr", {}, make("td"), called, make("th", {scope: "col"}, "AP, this picture"),
      make("th", {scope: "col"}, "AP " + data.on))),
    make("tbody", {}, raw.row, voted.row));
  const curves = data.networks.some(n => n.ap), svg = curves ? draw("svg") : null;
  const legend = curves ? make("ul", {class: "lse-legend"}) : null, panels = make("div", {class: "lse-panels"});
  const body = make("div", {class: "lse-body", hidden: ""}, row, ...(curves ? [legend, svg] : []), make("div", {class: "lse-slide"}, slider),
    make("div", {class: "lse-row"}, output, marks), table, panels);
  root.append(body);
  return {body, slider, output, marks, network, picture, called, cells: [raw.cells, voted.cells], svg, legend, panels};
}

// The four pictures.
function panelsOf(place) {
  const panel = () => {
    const canvas = make("canvas", {role: "img"}), title = make("figcaption");
    place.append(make("figure", {}, canvas, title));
    const say = text => {
      title.textContent = text;
      canvas.setAttribute("aria-label", text);
    };
    return {canvas, context: canvas.getContext("2d"), say};
  };
  const original = panel(), heat = panel(), pixels = panel(), vote = panel(), layer = document.createElement("canvas");
  const black = word(0, 0, 0), white = word(255, 255, 255), yellow = word(240, 228, 66);
  let plain, glass;  // what covers a panel, and what lies over the picture

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
      for (const canvas of [original.canvas, heat.canvas, pixels.canvas, vote.canvas, layer]) Object.assign(canvas, {width, height});
      plain = sheet(width, height);
      glass = sheet(width, height);
    },
    // What does not move with theta.
    still({image, truth, raw}, {floor, ceiling}, colours) {
      for (let i = 0; i < raw.length; i++) {
        glass.words[i] = truth && truth.outline[i] ? yellow : 0;
        const part = ((raw[i] - .5) / 1000 - floor) / (ceiling - floor);
        plain.words[i] = colours[Math.max(0, Math.min(255, Math.round(255 * part)))];
      }
      cover(original.context, image);
      original.say(truth ? "Picture, the true outline in yellow" : "Picture; its true outline is not known");
      heat.context.putImageData(plain.image, 0, 0);
      heat.say("Probability: dark " + floor.toFixed(2) + ", bright " + ceiling.toFixed(2));
    },
    // Both masks at one position of the slider, and their counts.
    step(k, {image, truth, raw, voted, low}, {green}, cls) {
      const inside = word(...green, 128), edge = word(...green);
      const cases = truth && truth.cases;
      let real = 0, above = 0, kept = 0, rawFalse = 0, votedFalse = 0, rawTrue = 0, votedTrue = 0;
      for (let i = 0; i < raw.length; i++) {
        const dot = raw[i] > k, on = voted[i] > k;
        plain.words[i] = dot ? white : black;
        glass.words[i] = on ? low[i] > k ? inside : edge : 0;
        if (dot) above++;
        if (on) kept++;
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
      const ap = (right, wrong) => cases && real + wrong ? right / (real + wrong) : null;
      return {raw: above, voted: kept, rawAp: ap(rawTrue, rawFalse), ap: ap(votedTrue, votedFalse)};
    },
  };
}
