// The bag-of-scores explorer.

function bagExplorer(root, data) {
  const count = data.bags[0][1].length,
    say = announcer(root);
  let scores = [...data.bags[0][1]],
    power = Math.log10(data.r),
    result;
  const title = text => make("p", {class: "lse-title"}, text);
  const columns = make("div", {class: "lse-columns", style: "--lse-count:" + count});
  const bars = scores.map((_, i) => {
    const input = make("input", {
      type: "range",
      min: -1,
      max: 1,
      step: 0.01,
      "aria-label": "score of patch " + (i + 1),
    });
    const output = make("output", {"aria-live": "off"});
    columns.append(make("label", {}, String(i + 1), input, output));
    input.addEventListener("input", () => {
      scores[i] = input.valueAsNumber;
      refresh();
    });
    return {input, output};
  });
  const presets = make(
    "div",
    {class: "lse-marks"},
    ...data.bags.map(([name, values]) =>
      button(name, () => {
        scores = [...values];
        refresh();
      }),
    ),
  );
  const shares = draw("svg", {class: "lse-shares", role: "img"}),
    shareTitle = title("");
  const way = draw("svg", {class: "lse-way", role: "img"});
  const slider = make("input", {
    type: "range",
    min: -ENDS,
    max: ENDS,
    step: 0.02,
    "aria-label": "temperature r, on a logarithmic scale",
  });
  const output = make("output", {class: "lse-r", "aria-live": "off"}),
    list = make("tbody"),
    far = make("p", {class: "lse-far"});
  const marks = make(
    "div",
    {class: "lse-marks"},
    ...[
      ["to the mean", -ENDS],
      ["LSE, r = 1", 0],
      ["to the max", ENDS],
    ].map(([name, to]) =>
      button(name, () => {
        power = to;
        refresh();
      }),
    ),
  );
  const chart = wayChart(way, to => {
    power = to;
    refresh();
  });
  root.style.setProperty("--lse-left", chart.left + "px");
  root.style.setProperty("--lse-right", chart.right + "px");
  root.append(
    make(
      "div",
      {class: "lse-body"},
      presets,
      title("Score of each patch: drag it between \u22121 and 1"),
      columns,
      shareTitle,
      shares,
      title("From the mean to the maximum: the aggregated score against r"),
      way,
      make("div", {class: "lse-slide"}, slider),
      make("div", {class: "lse-row"}, output, marks),
      make("table", {class: "lse-read"}, list),
      far,
    ),
  );
  slider.addEventListener("input", () => {
    power = slider.valueAsNumber;
    refresh();
  });
  let width = 0;
  refresh();
  drawn(shares, wide => {
    width = wide;
    shareBars(shares, width, result);
  });
  drawn(way, wide => chart.draw(wide, scores, power));
  say("");

  function button(name, press) {
    const made = make("button", {type: "button"}, name);
    made.addEventListener("click", press);
    return made;
  }

  function refresh() {
    const r = 10 ** power;
    result = aggregate(scores, r);
    bars.forEach(({input, output}, i) => {
      input.value = scores[i];
      input.style.setProperty("--lse-part", (scores[i] + 1) / 2);
      output.textContent = fixed(scores[i]);
      input.setAttribute(
        "aria-valuetext",
        scores[i].toFixed(2) + ", gets " + result.weights[i].toFixed(3) + " of the gradient",
      );
    });
    slider.value = power;
    slider.setAttribute("aria-valuetext", temper(r));
    output.textContent = "r = " + temper(r);
    shareTitle.textContent =
      "Share of the gradient under LSE with r = " + temper(r) + "; dashed: under the mean; diamond: under the max";
    shares.setAttribute(
      "aria-label",
      "Shares of the gradient: " + result.weights.map((w, i) => "patch " + (i + 1) + " " + w.toFixed(3)).join(", "),
    );
    way.setAttribute(
      "aria-label",
      "The aggregated score goes from the mean, " +
        result.mean.toFixed(3) +
        ", to the maximum, " +
        result.max.toFixed(3) +
        ", as r grows; at r = " +
        temper(r) +
        " it is " +
        result.tempered.toFixed(3),
    );
    const rows = [
      ["mean (r \u2192 0)", result.mean],
      ["LSE with 1/N, r = " + temper(r), result.tempered],
      ["max (r \u2192 \u221e)", result.max],
      ["the paper\u2019s LSE: r = 1, without 1/N", result.lse],
    ];
    list.replaceChildren(
      ...rows.map(([name, value], i) =>
        make(
          "tr",
          {class: i === 1 ? "lse-now" : ""},
          make("th", {scope: "row"}, name),
          make("td", {}, fixed(value, 3)),
        ),
      ),
    );
    const toMean = result.weights.reduce((sum, w) => sum + Math.abs(w - 1 / count), 0) / 2,
      toMax = 1 - result.weights[result.winner];
    far.textContent =
      "Of this gradient, " +
      percent(toMean) +
      " would have to move to make it the mean\u2019s, and " +
      percent(toMax) +
      " to make it the max\u2019s.";
    if (width) shareBars(shares, width, result);
    chart.draw(0, scores, power);
    say(
      "Aggregated score " +
        result.tempered.toFixed(2) +
        ", mean " +
        result.mean.toFixed(2) +
        ", maximum " +
        result.max.toFixed(2) +
        "; the largest share of the gradient is " +
        Math.max(...result.weights).toFixed(3),
    );
    const {weights, ...numbers} = result;
    Object.assign(root.dataset, numbers, {r, scores: JSON.stringify(scores), weights: JSON.stringify(weights)});
  }
}
