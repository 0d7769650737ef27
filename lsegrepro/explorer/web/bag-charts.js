// The gradient's shares, and the way from the mean to the maximum.

const fixed = (value, digits = 2) => value.toFixed(digits).replace("-", "\u2212");
const temper = r => String(+r.toPrecision(3));
const ENDS = 3; // r from 10^-3 to 10^3

// A bar for each patch, under its score.
function shareBars(svg, width, {weights, winner}) {
  const height = 150,
    top = 24,
    bottom = 18,
    each = width / weights.length,
    y = w => height - bottom - (height - bottom - top) * w;
  const middle = i => (i + 0.5) * each,
    wide = Math.min(each / 2, 32);
  svg.replaceChildren(
    draw("path", {class: "lse-axis", d: "M0 " + y(0) + "H" + width + "M0 " + y(1) + "H" + width}),
    ...weights.map((w, i) =>
      draw("rect", {class: "lse-bar", x: middle(i) - wide / 2, y: y(w), width: wide, height: y(0) - y(w)}),
    ),
    draw("path", {class: "lse-level", d: "M0 " + y(1 / weights.length) + "H" + width}),
    draw("text", {class: "lse-over", x: 0, y: y(1) - 4}, "1"),
    draw("path", {class: "lse-peak", d: "M" + middle(winner) + " " + (y(1) - 6) + "l6 6l-6 6l-6 -6z"}),
    ...weights.map((w, i) =>
      draw("text", {class: "lse-over", x: middle(i), y: height - 3, "text-anchor": "middle"}, w.toFixed(2)),
    ),
  );
}

// The aggregated score against r, and the point on it.
function wayChart(svg, move) {
  const left = 30,
    right = 14,
    top = 14,
    bottom = 20,
    height = 190;
  let width = 0;
  const x = power => left + ((width - left - right) * (power + ENDS)) / (2 * ENDS),
    y = v => top + ((height - top - bottom) * (1 - v)) / 2;
  const text = (attributes, said) => draw("text", attributes, said);
  const point = event => {
    if (event.type === "pointermove" && !event.buttons) return;
    if (event.type === "pointerdown" && event.isPrimary) svg.setPointerCapture(event.pointerId);
    const power =
      (((event.clientX - svg.getBoundingClientRect().left - left) / (width - left - right)) * 2 - 1) * ENDS;
    move(Math.max(-ENDS, Math.min(ENDS, Math.round(50 * power) / 50)));
  };
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointermove", point);
  return {
    left,
    right,
    draw(wide, scores, power) {
      width = wide || width;
      if (!width) return;
      const {mean, max, tempered} = aggregate(scores, 10 ** power),
        paper = aggregate(scores, 1).tempered,
        nodes = [];
      for (const v of [-1, 0, 1])
        nodes.push(
          draw("path", {class: "lse-axis", d: "M" + left + " " + y(v) + "H" + (width - right)}),
          text({x: left - 6, y: y(v) + 4, "text-anchor": "end"}, fixed(v, 0)),
        );
      for (let p = -ENDS; p <= ENDS; p++)
        nodes.push(text({x: x(p), y: height - 4, "text-anchor": "middle"}, String(+(10 ** p).toPrecision(1))));
      let path = "";
      for (let i = 0; i <= 120; i++) {
        const p = ENDS * (i / 60 - 1);
        path += (i ? "L" : "M") + x(p).toFixed(1) + " " + y(aggregate(scores, 10 ** p).tempered).toFixed(1);
      }
      const high = x(power) > width - 70;
      nodes.push(
        draw("path", {class: "lse-level", d: "M" + left + " " + y(mean) + "H" + (width - right)}),
        draw("path", {class: "lse-level", d: "M" + left + " " + y(max) + "H" + (width - right)}),
        draw("path", {class: "lse-line", d: path}),
        text({class: "lse-over", x: width - right, y: y(mean) + 14, "text-anchor": "end"}, "mean"),
        text({class: "lse-over", x: left + 4, y: Math.max(10, y(max) - 5)}, "max"),
        draw("circle", {class: "lse-mark", cx: x(0), cy: y(paper), r: 5}),
        text({class: "lse-over", x: x(0), y: y(paper) + 19, "text-anchor": "middle"}, "LSE"),
        draw("path", {class: "lse-here", d: "M" + x(power) + " " + top + "V" + (height - bottom)}),
        draw("circle", {class: "lse-here", cx: x(power), cy: y(tempered), r: 6}),
        text(
          {
            class: "lse-value",
            x: x(power) + (high ? -10 : 10),
            y: y(tempered) - 9,
            "text-anchor": high ? "end" : "start",
          },
          fixed(tempered),
        ),
      );
      svg.replaceChildren(...nodes);
    },
  };
}
