// The theta slider: the mask of one photograph at any theta.
async function thetaSlider(root, {theta, cls, width, height, green, smoothed}) {
  const levels = await unpack(smoothed, width, height),
    low = lowest(levels, width, height);
  const panels = root.querySelector(".lse-panels"),
    photograph = panels.querySelector("img");
  const mask = make("canvas", {role: "img", width, height}),
    caption = make("figcaption");
  const input = make("input", {type: "range", min: 0, max: 0.881, step: 0.001, value: theta, "aria-label": "theta"});
  const output = make("output", {"aria-live": "off"});
  panels.append(make("figure", {}, mask, caption));
  root.append(make("label", {class: "lse-slide"}, "\u03b8", input, output));
  const context = mask.getContext("2d"),
    layer = make("canvas", {width, height}),
    region = new ImageData(width, height);
  for (let i = 0; i < levels.length; i++) region.data.set(green, 4 * i);
  await photograph.decode();

  function refresh() {
    const k = Math.round(1000 * input.valueAsNumber);
    let count = 0;
    for (let i = 0; i < levels.length; i++) {
      const on = levels[i] > k;
      count += on;
      region.data[4 * i + 3] = on ? (low[i] > k ? 128 : 255) : 0; // an opaque edge around a half transparent region
    }
    layer.getContext("2d").putImageData(region, 0, 0);
    context.drawImage(photograph, 0, 0, width, height);
    context.drawImage(layer, 0, 0);
    const share = percent(count / levels.length) + " called " + cls;
    output.textContent = (k / 1000).toFixed(3);
    caption.textContent = "Mask: " + share;
    mask.setAttribute("aria-label", caption.textContent);
    input.setAttribute("aria-valuetext", output.textContent + ", " + share);
    Object.assign(root.dataset, {theta: output.textContent, count});
  }
  input.addEventListener("input", refresh);
  refresh();
}
