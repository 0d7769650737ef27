"use strict";

lsegrepro.add("page", () => {
  const root = document.querySelector(".lse-try"), find = name => root.querySelector(name);
  const status = find("[role=status]"), bar = find("progress"), slider = find("[type=range]"), output = find("output");
  const chooser = find("[type=file]"), select = find("select"), read = find(".lse-read");
  const base = new URL(".", document.currentScript.src);
  const percent = part => `${(100 * part).toFixed(1)} %`;
  const published = lsegrepro.published;
  const most = 100_000_000, narrowest = 20;  // pixels, and the longest side in shortest sides

  const state = (name, text = "") => {
    root.dataset.state = name;
    status.textContent = text;
    status.classList.toggle("lse-trouble", name === "failed");
    find(".lse-work").hidden = name !== "working";
    find(".lse-result").hidden = name !== "done";
  };

  // A script beside this one; a page on disk can load data in no other way.
  const scripts = new Map();
  const script = name => {
    if (!scripts.has(name)) scripts.set(name, new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = new URL(name, base);
      tag.onload = resolve;
      tag.onerror = () => {
        scripts.delete(name);
        reject(new Error(`${name} could not be loaded`));
      };
      document.head.append(tag);
    }));
    return scripts.get(name);
  };

  // Workers: one that reads, cuts and counts, and some that score.

  class Cancelled extends Error {}

  const hire = () => {
    const worker = lsegrepro.start(), waiting = new Map();
    const fail = error => {
      for (const {reject} of waiting.values()) reject(error);
      waiting.clear();
    };
    let last = 0;
    worker.onmessage = ({data: {id, error, ...reply}}) => {
      const {resolve, reject} = waiting.get(id);
      waiting.delete(id);
      if (error === undefined) resolve(reply);
      else reject(new Error(error));
    };
    worker.onerror = event => fail(new Error(event.message || "a worker could not start"));
    return {
      ask: (act, given = {}, moved = []) => new Promise((resolve, reject) => {
        waiting.set(++last, {resolve, reject});
        worker.postMessage({id: last, act, ...given}, moved);
      }),
      dismiss: () => {
        worker.terminate();
        fail(new Cancelled());
      },
    };
  };

  let hand = null, scorers = [], ready = "", engine = "";  // `ready`: the network that the scorers hold

  const dismiss = () => {
    for (const worker of [hand, ...scorers]) worker?.dismiss();
    [hand, scorers, ready] = [null, [], ""];
  };

  const prepare = async key => {
    if (ready === key) return;
    for (const worker of scorers) worker.dismiss();
    const {architecture} = published.networks.find(network => network.key === key);
    // A worker takes up to 100 MB; browsers that do not say how many gigabytes there are get half as many.
    const count = Math.min(8, navigator.hardwareConcurrency || 2, Math.max(2, navigator.deviceMemory ?? 4));
    const hired = scorers = Array.from({length: count}, hire);
    ready = "";
    if (!lsegrepro.networks[key]) await script(`network-${key}.js`);
    await script("runtime.js");
    if (hired !== scorers) throw new Cancelled();  // a newer run has its own
    const content = lsegrepro.networks[key];  // the text of a script, or the bytes of a file
    const weights = typeof content === "string"
      ? Uint8Array.from(atob(content), c => c.charCodeAt(0)).buffer : content;
    // `?engine=plain` at the end of the address leaves WebAssembly out.
    const runtime = new URLSearchParams(location.search).get("engine") === "plain" ? null : lsegrepro.runtime;
    const opened = await Promise.all(hired.map(worker => worker.ask("open", {weights, architecture, runtime})));
    engine = opened[0].engine;
    ready = key;
  };

  /** Scores of every pixel (2, height, width), the work shared by the scorers. */
  const score = async (key, {data, height, width}, tell) => {
    const network = lsegrepro.use("network"), {architecture} = published.networks.find(each => each.key === key);
    const plan = network.plan(architecture, height, width, scorers.length), padded = network.pad(data, plan);
    const share = (jobs, work) => {
      let next = 0;
      return Promise.all(scorers.map(async worker => {
        while (next < jobs) await work(worker, next++);
      }));
    };
    const total = plan.fragments * 8 / 7;  // the first layer is about an eighth of the work
    let done = 0;
    const parts = [], line = plan.columns * 3;
    await share(plan.bands.length, async (worker, i) => {
      const {from, to} = plan.bands[i], band = padded.slice(from * line, to * line);
      parts[i] = (await worker.ask("first", {band, columns: plan.columns}, [band.buffer])).pieces;
      tell((done += plan.fragments / 7 / plan.bands.length) / total);
    });
    const scores = new Float32Array(2 * height * width), {p1, inside, outside} = plan;
    await share(plan.fragments, async (worker, f) => {
      const pieces = parts.map(part => part[f]);
      const part = (await worker.ask("rest", {pieces, inside}, pieces.map(piece => piece.buffer))).scores;
      for (let y = Math.floor(f / p1), row = 0; y < height; y += p1, row++)
        for (let x = f % p1, at = row * outside.width * 2; x < width; x += p1, at += 2) {
          scores[y * width + x] = part[at];
          scores[(height + y) * width + x] = part[at + 1];
        }
      tell(++done / total);
    });
    return scores;
  };

  // One photograph from file to pictures.

  const measure = blob => new Promise((resolve, reject) => {
    const image = new Image(), url = URL.createObjectURL(blob);
    image.onload = () => {
      URL.revokeObjectURL(url);
      resolve([image.naturalHeight, image.naturalWidth]);
    };
    image.onerror = () => {
      URL.revokeObjectURL(url);
      reject(new Error("this is not a picture that the browser can read (JPEG, PNG, WebP, GIF, ...)"));
    };
    image.src = url;
  });

  const check = async blob => {
    if (!blob.size) throw new Error("the file is empty");
    const [height, width] = await measure(blob);
    if (height * width > most)
      throw new Error(`${width}x${height} pixels are more than ${most.toLocaleString("en")}; scale it down first`);
    if (Math.max(height, width) > narrowest * Math.min(height, width))
      throw new Error(`${width}x${height} pixels are too narrow; crop it first`);
  };

  let current = null, run = 0;  // the photograph, and a number that a newer run makes old

  const segment = async (blob, name) => {
    const mine = ++run, began = performance.now(), key = select.value;
    if (root.dataset.state === "working") dismiss();
    current = {blob, name};
    const tell = part => {
      if (mine !== run) return;
      bar.value = part;
      const tenth = `${10 * Math.floor(part * 10)} %`;  // said ten times, not at every step
      if (!status.textContent.endsWith(tenth)) status.textContent = `Scoring ${name}: ${tenth}`;
    };
    state("working", `Reading ${name}`);
    bar.value = 0;
    try {
      await check(blob);
      if (mine !== run) return;
      hand ??= hire();
      const [photo] = await Promise.all([hand.ask("read", {blob, side: published.side}), prepare(key)]);
      const cut = hand.ask("cut", {params: published.superpixels});
      const [scores, {count}] = await Promise.all([score(key, photo.seen, tell), cut]);
      const seen = {height: photo.seen.height, width: photo.seen.width};
      const picture = {height: photo.picture.height, width: photo.picture.width};
      const maps = await hand.ask("finish", {scores, seen, picture});
      if (mine !== run) return;
      const seconds = (performance.now() - began) / 1000;
      show({...photo, ...maps, scores, seen, count, seconds, key, name});
    } catch (error) {
      if (error instanceof Cancelled || mine !== run) return;
      dismiss();
      state("failed", `${name}: ${error.message}`);
    }
  };

  const cancel = () => {
    run++;
    dismiss();
    state("idle", "Cancelled.");
    chooser.focus();
  };

  // What was found, at any theta.

  const colour = (r, g, b) => (255 << 24 | b << 16 | g << 8 | r) >>> 0;  // as every machine with a browser has it
  const panels = ["photograph", "probability", "raw", "voted"].map(name => {
    const figure = find(`.lse-${name}`), canvas = figure.querySelector("canvas");
    return {canvas, pen: canvas.getContext("2d"), caption: figure.querySelector("figcaption")};
  });
  let move = null;

  const show = found => {
    const {picture: {data, height, width}, raw, smoothed, above, voted, key} = found, n = height * width;
    const {cls, theta, model} = published.networks.find(network => network.key === key), total = found.height * found.width;
    const sheets = panels.map(({canvas, pen}) => {
      Object.assign(canvas, {height, width});
      const sheet = pen.createImageData(width, height);
      return {sheet, words: new Uint32Array(sheet.data.buffer)};
    });
    const draw = i => panels[i].pen.putImageData(sheets[i].sheet, 0, 0);
    const say = (i, text) => {
      panels[i].caption.textContent = text;
      panels[i].canvas.setAttribute("aria-label", text);
    };
    const {floor, ceiling, colours, green} = published, tinted = new Uint32Array(n), plain = sheets[0].words;
    const heat = Uint32Array.from(colours, ([r, g, b]) => colour(r, g, b));
    for (let i = 0, at = 0; i < n; i++, at += 3) {
      plain[i] = colour(data[at], data[at + 1], data[at + 2]);
      tinted[i] = colour(data[at] + green[0] >> 1, data[at + 1] + green[1] >> 1, data[at + 2] + green[2] >> 1);
      const part = (raw[i] / 65535 - floor) / (ceiling - floor);
      sheets[1].words[i] = heat[Math.max(0, Math.min(255, Math.round(255 * part)))];
    }
    draw(0);
    draw(1);
    say(0, `${found.name}, ${found.width} x ${found.height}`);
    say(1, `Probability of ${cls}: dark ${floor.toFixed(2)}, bright ${ceiling.toFixed(2)}`);
    const black = colour(0, 0, 0), white = colour(255, 255, 255), cells = [...read.children];
    move = value => {
      const k = Math.max(0, Math.min(Number(slider.max) * 1000, Math.round(value * 1000))), shown = (k / 1000).toFixed(3);
      const limit = Math.floor(k / 1000 * 65535), [one, other] = [sheets[2].words, sheets[3].words];
      for (let i = 0; i < n; i++) {
        one[i] = raw[i] > limit ? white : black;
        other[i] = smoothed[i] > limit ? tinted[i] : plain[i];
      }
      draw(2);
      draw(3);
      const parts = [above[limit + 1] / total, voted[limit + 1] / total];
      say(2, `Per pixel, p > ${shown}`);
      say(3, `After the vote of the superpixels, ${cls} in green`);
      slider.value = k / 1000;
      output.textContent = shown;
      cells[0].textContent = `${percent(parts[0])} of the pixels above theta`;
      cells[1].textContent = `${percent(parts[1])} after the vote of ${found.count} superpixels`;
      slider.setAttribute("aria-valuetext", `theta ${shown}, ${cells[0].textContent}, ${cells[1].textContent}`);
      Object.assign(root.dataset, {theta: shown, raw: parts[0] * total, voted: parts[1] * total});
      return parts[1];
    };
    const chosen = find(".lse-chosen");
    chosen.textContent = `chosen on train: ${theta}`;
    chosen.onclick = () => move(theta);
    const part = move(theta);
    Object.assign(root.dataset, {engine, seconds: found.seconds.toFixed(2)});
    root.segmentation = found;  // for whoever looks with the browser's tools, and for the tests
    state("done", `${model} calls ${percent(part)} of ${found.name} ${cls}, at theta ${theta}. `
      + `It took ${found.seconds.toFixed(1)} s with ${engine} in ${scorers.length} workers.`);
  };

  const save = async kind => {
    const {key, name} = root.segmentation, {blob} = await hand.ask("file", {kind, theta: Number(root.dataset.theta)});
    const {cls} = published.networks.find(network => network.key === key), link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name.replace(/\.[^.]*$/, "")}-${cls}-${kind}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };

  // The controls.

  if (!published) {
    state("failed", "This copy of the book was built without its networks; `lsegrepro book` adds them.");
    return {};
  }
  for (const {key, model, cls} of published.networks) select.append(new Option(`${model}, ${cls}`, key));
  const here = () => {
    const network = published.networks.find(each => each.key === select.value);
    return network.shipped || network.key in lsegrepro.networks;
  };
  const describe = () => {
    const {note, file} = published.networks.find(network => network.key === select.value);
    find(".lse-card").textContent = here() ? note
      : `This page does not hold this network: choose or drop its file, ${file} in published/weights of the repository.`;
  };
  /** Take a weights file of the published run as the network of its name. */
  const open = async file => {
    const network = published.networks.find(each => each.file === file.name), bytes = await file.arrayBuffer();
    const digest = network && globalThis.crypto?.subtle && [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))]
      .map(byte => byte.toString(16).padStart(2, "0")).join("");
    if (!network || digest && digest !== network.sha256) {
      run++;
      dismiss();
      state("failed", `${file.name}: this is no network of the published run`);
      return;
    }
    lsegrepro.networks[network.key] = bytes;
    if (ready === network.key) ready = "";
    select.value = network.key;
    change();
  };
  const take = file => {
    if (file?.name?.endsWith(".safetensors")) open(file);
    else if (file && here()) segment(file, file.name || "the picture");
    else if (file) state("failed", find(".lse-card").textContent);
  };
  const change = () => {
    describe();
    if (current && here() && root.dataset.state !== "idle") segment(current.blob, current.name);
  };
  select.addEventListener("change", change);
  chooser.addEventListener("change", () => {
    take(chooser.files[0]);
    chooser.value = "";  // the same file may be taken again
  });
  find(".lse-cat").addEventListener("click", async () => {
    await script("cat.js");
    const bytes = Uint8Array.from(atob(lsegrepro.cat), c => c.charCodeAt(0));
    take(new File([bytes], "chelsea.png", {type: "image/png"}));
  });
  find(".lse-cancel").addEventListener("click", cancel);
  slider.addEventListener("input", () => move(slider.valueAsNumber));
  for (const kind of ["mask", "probability"]) find(`.lse-save-${kind}`).addEventListener("click", () => save(kind));
  // A picture may fall anywhere on the page; elsewhere the browser would leave the page for it.
  document.addEventListener("dragover", event => {
    event.preventDefault();
    root.classList.add("lse-over");
  });
  document.addEventListener("dragleave", event => { if (!event.relatedTarget) root.classList.remove("lse-over"); });
  document.addEventListener("drop", event => {
    event.preventDefault();
    root.classList.remove("lse-over");
    take(event.dataTransfer.files[0]);
  });
  describe();
  find(".lse-body").hidden = false;
  state("idle");
  return {};
});

lsegrepro.use("page");
