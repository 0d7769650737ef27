// The theta explorer, in a page and in a widget: theta, a network and a picture in; masks and numbers out.

const grid = theta => Math.round(1000 * theta);

// Resolves, once all is drawn, to a function that takes any of {theta, network, picture} from outside.
async function thetaExplorer(root, data, start, changed = () => {}) {
  const {steps, networks, pictures} = data,
    sources = unpacked(data),
    table = await inflate(data.colours);
  const colours = Uint32Array.from({length: 256}, (_, i) => word(...table.subarray(3 * i, 3 * i + 3)));
  const say = announcer(root),
    view = layout(root, data),
    panels = panelsOf(view.panels);
  const named = (items, name) => Math.max(0, items.map(item => item.name).indexOf(name));
  const state = {k: -1, n: -1, p: -1}; // what is drawn: position of theta, network, picture
  const aim = {n: -1, p: -1}; // what was asked for last
  let loaded = null;

  const chart = view.svg && thetaChart(view.svg, view.legend, data, k => move(k));
  if (chart) {
    root.style.setProperty("--lse-left", INSET.left + "px");
    root.style.setProperty("--lse-right", INSET.right + "px");
  }

  const values = () => ({theta: state.k / 1000, network: networks[state.n].name, picture: pictures[state.p].name});

  // Show another network or picture, unless yet another is asked for while its maps are unpacked.
  async function choose(n, p, quiet = false) {
    Object.assign(aim, {n, p});
    const [image, truth, maps] = await Promise.all([
      sources.image(p),
      sources.truth(p, networks[n].truth),
      sources.maps(p, n),
    ]);
    if (aim.n !== n || aim.p !== p) return;
    loaded = {image, truth, ...maps};
    const other = p !== state.p;
    Object.assign(state, {n, p});
    view.network.value = n;
    if (view.picture) view.picture.value = p;
    const network = networks[n];
    view.called.textContent = "called " + network.cls;
    view.marks.replaceChildren(
      ...network.marks.map(([name, theta]) => {
        const button = make("button", {type: "button"}, name + " " + theta);
        button.addEventListener("click", () => move(grid(theta)));
        return button;
      }),
    );
    if (other) panels.size(pictures[p].width, pictures[p].height);
    panels.still(loaded, data, colours);
    chart?.show(network);
    refresh(quiet);
  }

  // Move theta to a position of the slider.
  function move(k, quiet = false) {
    k = Math.max(0, Math.min(steps - 1, k));
    if (k === state.k) return;
    state.k = k;
    if (loaded) refresh(quiet);
  }

  function refresh(quiet = false) {
    const {k} = state,
      network = networks[state.n],
      theta = (k / 1000).toFixed(3);
    const counts = panels.step(k, loaded, data, network.cls),
      pixels = loaded.raw.length;
    const rows = [
      [counts.raw / pixels, counts.rawAp, network.raw?.[k] ?? null],
      [counts.voted / pixels, counts.ap, network.ap?.[k] ?? null],
    ];
    rows.forEach((row, i) =>
      row.forEach((value, j) => {
        view.cells[i][j].textContent = percent(value);
      }),
    );
    view.slider.value = k / 1000;
    view.slider.setAttribute("aria-valuetext", theta);
    view.output.textContent = "\u03b8 = " + theta;
    chart?.place(k);
    const [, [share, ap, whole]] = rows;
    say(
      network.name +
        ", theta " +
        theta +
        ": " +
        percent(share) +
        " called " +
        network.cls +
        " after the vote" +
        (ap === null ? "" : ", AP of this picture " + percent(ap)) +
        (whole === null ? "" : ", AP " + data.on + " " + percent(whole)),
    );
    Object.assign(root.dataset, {
      theta,
      network: network.name,
      picture: pictures[state.p].name,
      raw: counts.raw,
      voted: counts.voted,
      ap: counts.ap ?? "",
      rawAp: counts.rawAp ?? "",
      whole: rows[1][2] ?? "",
      rawWhole: rows[0][2] ?? "",
    });
    if (!quiet) changed(values());
  }

  async function update(wanted) {
    const n = "network" in wanted ? named(networks, wanted.network) : aim.n;
    const p = "picture" in wanted ? named(pictures, wanted.picture) : aim.p;
    if ("theta" in wanted) move(grid(wanted.theta), true);
    if (n !== aim.n || p !== aim.p) await choose(n, p, true);
  }

  const pick = () => choose(+view.network.value, view.picture ? +view.picture.value : 0);
  view.slider.addEventListener("input", () => move(grid(view.slider.valueAsNumber)));
  view.network.addEventListener("change", pick);
  view.picture?.addEventListener("change", pick);
  await update({network: networks[0].name, picture: pictures[0].name, ...start});
  say(""); // nothing is said of a page that was only opened
  view.body.hidden = false;
  rest();
  return update;

  // Unpack what may be asked for next, while nobody waits.
  async function rest() {
    for (let p = 0; p < pictures.length; p++) for (let n = 0; n < networks.length; n++) await sources.maps(p, n);
  }
}

// The controls, and where the numbers go.
function layout(root, data) {
  const slider = make("input", {
    type: "range",
    min: 0,
    max: (data.steps - 1) / 1000,
    step: 0.001,
    "aria-label": "theta",
  });
  const output = make("output", {class: "lse-theta-value", "aria-live": "off"}),
    marks = make("span", {class: "lse-marks"});
  const network = make("select"),
    picture = data.pictures.length > 1 ? make("select") : null;
  for (const group of new Set(data.networks.map(n => n.group))) {
    const options = data.networks.flatMap((n, i) => (n.group === group ? [make("option", {value: i}, n.name)] : []));
    network.append(make("optgroup", {label: group}, ...options));
  }
  picture?.append(...data.pictures.map(({name}, i) => make("option", {value: i}, name)));
  const row = make("div", {class: "lse-row"}, make("label", {}, "Network", network));
  if (picture) row.append(make("label", {}, "Picture", picture));
  const called = make("th", {scope: "col"}),
    line = (name, now) => {
      const cells = [0, 1, 2].map(() => make("td"));
      return {cells, row: make("tr", {class: now}, make("th", {scope: "row"}, name), ...cells)};
    };
  const raw = line("single pixels", ""),
    voted = line("after the vote", "lse-now");
  const table = make(
    "table",
    {class: "lse-read"},
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        make("td"),
        called,
        make("th", {scope: "col"}, "AP, this picture"),
        make("th", {scope: "col"}, "AP " + data.on),
      ),
    ),
    make("tbody", {}, raw.row, voted.row),
  );
  const curves = data.networks.some(n => n.ap),
    svg = curves ? draw("svg") : null;
  const legend = curves ? make("ul", {class: "lse-legend"}) : null,
    panels = make("div", {class: "lse-panels"});
  const body = make(
    "div",
    {class: "lse-body", hidden: ""},
    row,
    ...(curves ? [legend, svg] : []),
    make("div", {class: "lse-slide"}, slider),
    make("div", {class: "lse-row"}, output, marks),
    table,
    panels,
  );
  root.append(body);
  return {
    body,
    slider,
    output,
    marks,
    network,
    picture,
    called,
    cells: [raw.cells, voted.cells],
    svg,
    legend,
    panels,
  };
}
