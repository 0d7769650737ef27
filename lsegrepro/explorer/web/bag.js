// A bag of scores and its aggregations, as lsegrepro.model computes them.

// Mean, tempered LSE with 1/N, LSE (r = 1, without) and maximum, and the derivative of the tempered
// one by each score. About the largest score, and in expm1 and log1p, so that every r keeps its digits.
function aggregate(scores, r) {
  const n = scores.length, top = Math.max(...scores), sum = values => values.reduce((a, b) => a + b, 0);
  const powers = scores.map(s => Math.exp((s - top) * r)), total = sum(powers);
  return {
    mean: sum(scores) / n,
    tempered: top + Math.log1p(sum(scores.map(s => Math.expm1((s - top) * r))) / n) / r,
    lse: top + Math.log(sum(scores.map(s => Math.exp(s - top)))),
    max: top,
    weights: powers.map(p => p / total),
    winner: scores.indexOf(top),
  };
}

const fixed = (value, digits = 2) => value.toFixed(digits).replace("-", "\u2212");
const temper = r => String(+r.toPrecision(3));
const ENDS = 3;  // r from 10^-3 to 10^3

function bagExplorer(root, data) {
  const count = data.bags[0][1].length, say = announcer(root);
  let scores = [...data.bags[0][1]], power = Math.log10(data.r), found;
  const title = text => make("p", {class: "lse-title"}, text);
  const columns = make("div", {class: "lse-columns", style: "--lse-count:" + count});
  const bars = scores.map((_, i) => {
    const input = make("input", {type: "range", min: -1, max: 1, step: .01, "aria-label": "score of patch " + (i + 1)});
    const output = make("output", {"aria-live": "off"});
    columns.append(make("label", {}, String(i + 1), input, output));
    input.addEventListener("input", () => { scores[i] = input.valueAsNumber; refresh(); });
    return {input, output};
  });
  const presets = make("div", {class: "lse-marks"}, ...data.bags.map(([name, values]) =>
    button(name, () => { scores = [...values]; refresh(); })));
  const shares = draw("svg", {class: "lse-shares", role: "img"}), shareTitle = title("");
  const way = draw("svg", {class: "lse-way", role: "img"});
  const slider = make("input", {type: "range", min: -ENDS, max: ENDS, step: .02, "aria-label": "temperature r, on a logarithmic scale"});
  const output = make("output", {class: "lse-r", "aria-live": "off"}), list = make("tbody"), far = make("p", {class: "lse-far"});
  const marks = make("div", {class: "lse-marks"}, ...[["to the mean", -ENDS], ["LSE, r = 1", 0], ["to the max", ENDS]].map(
    ([name, to]) => button(name, () => { power = to; refresh(); })));
  const chart = wayChart(way, to => { power = to; refresh(); });
  root.style.setProperty("--lse-left", chart.left + "px");
  root.style.setProperty("--lse-right", chart.right + "px");
  root.append(make("div", {class: "lse-body"}, presets, title("Score of each patch: drag it between \u22121 and 1"), columns,
    shareTitle, shares, title("From the mean to the maximum: the aggregated score against r"), way,
    make("div", {class: "lse-slide"}, slider), make("div", {class: "lse-row"}, output, marks), make("table", {class: "lse-read"}, list), far));
  slider.addEventListener("input", () => { power = slider.valueAsNumber; refresh(); });
  let width = 0;
  refresh();
  drawn(shares, wide => { width = wide; shareBars(shares, width, found); });
  drawn(way, wide => chart.draw(wide, scores, power));
  say("");

  function button(name, press) {
    const made = make("button", {type: "button"}, name);
    made.addEventListener("click", press);
    return made;
  }

  function refresh() {
    const r = 10 ** power;
    found = aggregate(scores, r);
    bars.forEach(({input, output}, i) => {
      input.value = scores[i];
      input.style.setProperty("--lse-part", (scores[i] + 1) / 2);
      output.textContent = fixed(scores[i]);
      input.setAttribute("aria-valuetext", scores[i].toFixed(2) + ", gets " + found.weights[i].toFixed(3) + " of the gradient");
    });
    slider.value = power;
    slider.setAttribute("aria-valuetext", temper(r));
    output.textContent = "r = " + temper(r);
    shareTitle.textContent = "Share of the gradient under LSE with r = " + temper(r) + "; dashed: under the mean; diamond: under the max";
    shares.setAttribute("aria-label", "Shares of the gradient: " + found.weights.map((w, i) => "patch " + (i + 1) + " " + w.toFixed(3)).join(", "));
    way.setAttribute("aria-label", "The aggregated score goes from the mean, " + found.mean.toFixed(3) + ", to the maximum, "
      + found.max.toFixed(3) + ", as r grows; at r = " + temper(r) + " it is " + found.tempered.toFixed(3));
    const rows = [["mean (r \u2192 0)", found.mean], ["LSE with 1/N, r = " + temper(r), found.tempered], ["max (r \u2192 \u221e)", found.max],
      ["the paper\u2019s LSE: r = 1, without 1/N", found.lse]];
    list.replaceChildren(...rows.map(([name, value], i) => make("tr", {class: i === 1 ? "lse-now" : ""},
      make("th", {scope: "row"}, name), make("td", {}, fixed(value, 3)))));
    const toMean = found.weights.reduce((sum, w) => sum + Math.abs(w - 1 / count), 0) / 2, toMax = 1 - found.weights[found.winner];
    far.textContent = "Of this gradient, " + percent(toMean) + " would have to move to make it the mean\u2019s, and " + percent(toMax)
      + " to make it the max\u2019s.";
    if (width) shareBars(shares, width, found);
    chart.draw(0, scores, power);
    say("Aggregated score " + found.tempered.toFixed(2) + ", mean " + found.mean.toFixed(2) + ", maximum " + found.max.toFixed(2)
      + "; the largest share of the gradient is " + Math.max(...found.weights).toFixed(3));
    const {weights, ...numbers} = found;
    Object.assign(root.dataset, numbers, {r, scores: JSON.stringify(scores), weights: JSON.stringify(weights)});
  }
}

// A bar for each patch, under its score.
function shareBars(svg, width, {weights, winner}) {
  const height = 150, top = 24, bottom = 18, each = width / weights.length, y = w => height - bottom - (height - bottom - top) * w;
  const middle = i => (i + .5) * each, wide = Math.min(each / 2, 32);
  svg.replaceChildren(
    draw("path", {class: "lse-axis", d: "M0 " + y(0) + "H" + width + "M0 " + y(1) + "H" + width}),
    ...weights.map((w, i) => draw("rect", {class: "lse-bar", x: middle(i) - wide / 2, y: y(w), width: wide, height: y(0) - y(w)})),
    draw("path", {class: "lse-level", d: "M0 " + y(1 / weights.length) + "H" + width}),
    draw("text", {class: "lse-over", x: 0, y: y(1) - 4}, "1"),
    draw("path", {class: "lse-peak", d: "M" + middle(winner) + " " + (y(1) - 6) + "l6 6l-6 6l-6 -6z"}),
    ...weights.map((w, i) => draw("text", {class: "lse-over", x: middle(i), y: height - 3, "text-anchor": "middle"}, w.toFixed(2))));
}

// The aggregated score against r, and the point on it.
function wayChart(svg, move) {
  const left = 30, right = 14, top = 14, bottom = 20, height = 190;
  let width = 0;
  const x = power => left + (width - left - right) * (power + ENDS) / (2 * ENDS), y = v => top + (height - top - bottom) * (1 - v) / 2;
  const text = (attributes, said) => draw("text", attributes, said);
  const point = event => {
    if (event.type === "pointermove" && !event.buttons) return;
    if (event.type === "pointerdown" && event.isPrimary) svg.setPointerCapture(event.pointerId);
    const power = ((event.clientX - svg.getBoundingClientRect().left - left) / (width - left - right) * 2 - 1) * ENDS;
    move(Math.max(-ENDS, Math.min(ENDS, Math.round(50 * power) / 50)));
  };
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointermove", point);
  return {left, right, draw(wide, scores, power) {
    width = wide || width;
    if (!width) return;
    const {mean, max, tempered} = aggregate(scores, 10 ** power), paper = aggregate(scores, 1).tempered, nodes = [];
    for (const v of [-1, 0, 1]) nodes.push(draw("path", {class: "lse-axis", d: "M" + left + " " + y(v) + "H" + (width - right)}),
      text({x: left - 6, y: y(v) + 4, "text-anchor": "end"}, fixed(v, 0)));
    for (let p = -ENDS; p <= ENDS; p++) nodes.push(text({x: x(p), y: height - 4, "text-anchor": "middle"}, String(+(10 ** p).toPrecision(1))));
    let path = "";
    for (let i = 0; i <= 120; i++) {
      const p = ENDS * (i / 60 - 1);
      path += (i ? "L" : "M") + x(p).toFixed(1) + " " + y(aggregate(scores, 10 ** p).tempered).toFixed(1);
    }
    const high = x(power) > width - 70;
    nodes.push(draw("path", {class: "lse-level", d: "M" + left + " " + y(mean) + "H" + (width - right)}),
      draw("path", {class: "lse-level", d: "M" + left + " " + y(max) + "H" + (width - right)}),
      draw("path", {class: "lse-line", d: path}),
      text({class: "lse-over", x: width - right, y: y(mean) + 14, "text-anchor": "end"}, "mean"),
      text({class: "lse-over", x: left + 4, y: Math.max(10, y(max) - 5)}, "max"),
      draw("circle", {class: "lse-mark", cx: x(0), cy: y(paper), r: 5}),
      text({class: "lse-over", x: x(0), y: y(paper) + 19, "text-anchor": "middle"}, "LSE"),
      draw("path", {class: "lse-here", d: "M" + x(power) + " " + top + "V" + (height - bottom)}),
      draw("circle", {class: "lse-here", cx: x(power), cy: y(tempered), r: 6}),
      text({class: "lse-value", x: x(power) + (high ? -10 : 10), y: y(tempered) - 9, "text-anchor": high ? "end" : "start"}, fixed(tempered)));
    svg.replaceChildren(...nodes);
  }};
}
