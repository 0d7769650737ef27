// Figure 5: AP against theta for the networks of one group, and the point that moves on it.

const INSET = {left: 46, right: 14, top: 22, bottom: 20, height: 190};

function thetaChart(svg, legend, data, move) {
  const {left, right, top, bottom, height} = INSET,
    last = data.steps - 1;
  const highest = Math.max(
    0.005,
    ...data.networks.flatMap(n => [...(n.ap || []), ...(n.raw || [])]).filter(v => v !== null),
  );
  let width = 0,
    network = data.networks[0],
    k = 0,
    cursor,
    dot,
    raw,
    value;
  const x = k => left + ((width - left - right) * k) / last;
  const y = v => height - bottom - ((height - bottom - top) * v) / highest;
  const add = (name, attributes, ...text) => svg.appendChild(draw(name, attributes, ...text));

  function line(values, attributes) {
    let path = "",
      before = null;
    values.forEach((v, k) => {
      if (v === before) return; // a step holds until the next
      before = v;
      path += (path ? "H" + x(k).toFixed(1) + "V" : "M" + x(k).toFixed(1) + " ") + y(v).toFixed(1);
    });
    add("path", {...attributes, d: path ? path + "H" + x(last).toFixed(1) : "M0 0"});
  }

  function axes() {
    const step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5].find(s => highest / s <= 4.5) || 0.5;
    for (let v = 0; v <= highest; v += step) {
      add("path", {class: "lse-axis", d: "M" + left + " " + y(v) + "H" + (width - right)});
      add("text", {x: left - 6, y: y(v) + 4, "text-anchor": "end"}, +(100 * v).toFixed(1) + " %");
    }
    for (let k = 0; k <= last; k += 200)
      add("text", {x: x(k), y: height - 4, "text-anchor": "middle"}, (k / 1000).toFixed(1));
    add("text", {x: width - right, y: height - 4, "text-anchor": "end"}, "\u03b8");
    add("text", {x: 0, y: 12}, "AP " + data.on);
  }

  function redraw() {
    svg.replaceChildren();
    axes();
    const paper = network.marks[0];
    add("path", {class: "lse-paper", d: "M" + x(1000 * paper[1]) + " " + top + "V" + (height - bottom)});
    for (const other of data.networks)
      if (other.ap && other.group === network.group && other !== network)
        line(other.ap, {class: "lse-line", style: "--lse-colour:" + other.colour});
    if (network.raw) line(network.raw, {class: "lse-line lse-raw", style: "--lse-colour:" + network.colour});
    if (network.ap) line(network.ap, {class: "lse-line lse-chosen", style: "--lse-colour:" + network.colour});
    for (const [, theta] of network.marks.slice(1)) {
      const at = Math.min(last, Math.round(1000 * theta));
      if (network.ap)
        add("circle", {
          class: "lse-mark",
          style: "--lse-colour:" + network.colour,
          cx: x(at),
          cy: y(network.ap[at] ?? 0),
          r: 4,
        });
    }
    cursor = add("path", {class: "lse-here"});
    raw = add("circle", {class: "lse-here", r: 3});
    dot = add("circle", {class: "lse-here", r: 6});
    value = add("text", {class: "lse-value"});
    place(k);
  }

  // Move the point.
  function place(position) {
    k = position;
    if (!cursor) return;
    const px = x(k),
      flip = px > width - 90;
    cursor.setAttribute("d", "M" + px + " " + top + "V" + (height - bottom));
    for (const [point, values] of [
      [dot, network.ap],
      [raw, network.raw],
    ]) {
      const v = values ? values[k] : null;
      point.style.display = v === null ? "none" : "";
      fill(point, {cx: px, cy: y(v ?? 0)}, []);
    }
    const v = network.ap ? network.ap[k] : null;
    value.textContent = v === null ? "" : percent(v);
    const py = y(v ?? 0),
      under = flip && py + 20 < height - bottom; // to the left, the line itself is level with it
    fill(
      value,
      {
        x: px + (flip ? -11 : 11),
        y: under ? py + 18 : Math.max(top + 4, py - 8),
        "text-anchor": flip ? "end" : "start",
      },
      [],
    );
  }

  const peak = values => {
    const best = Math.max(...values.map(v => v ?? -1));
    return best < 0
      ? "undefined"
      : "at most " + percent(best) + ", at theta " + (values.indexOf(best) / 1000).toFixed(3);
  };
  const swatch = (colour, kind, wide) =>
    draw(
      "svg",
      {viewBox: "0 0 26 10", "aria-hidden": "true"},
      draw("path", {
        class: "lse-line " + kind,
        style: "--lse-colour:" + colour + ";stroke-width:" + wide,
        d: "M0 5H26",
      }),
    );

  // Choose the network whose lines stand out.
  function show(chosen) {
    network = chosen;
    const mine = data.networks.filter(n => n.group === network.group && n.ap);
    svg.setAttribute(
      "aria-label",
      "AP against theta " +
        data.on +
        ", " +
        network.group +
        ". " +
        mine.map(n => n.model + (n === network ? " (chosen)" : "") + ": " + peak(n.ap)).join("; ") +
        ".",
    );
    const items = mine.map(n => [
      n.colour,
      "",
      n === network ? 3 : 1.4,
      n.model + (n === network ? ", after the vote" : ""),
    ]);
    if (network.raw) items.push([network.colour, "lse-raw", 1.4, network.model + ", single pixels"]);
    legend.replaceChildren(
      ...items.map(([colour, kind, wide, text]) => make("li", {}, swatch(colour, kind, wide), text)),
      make("li", {}, "dotted: the paper\u2019s \u03b8; circles: the other named \u03b8"),
    );
    if (width) redraw();
  }

  const point = event => {
    if (event.type === "pointermove" && !event.buttons) return;
    if (event.type === "pointerdown" && event.isPrimary) svg.setPointerCapture(event.pointerId);
    move(Math.round(((event.clientX - svg.getBoundingClientRect().left - left) / (width - left - right)) * last));
  };
  svg.setAttribute("role", "img");
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointermove", point);
  drawn(svg, wide => {
    width = wide;
    redraw();
  });
  return {show, place};
}
