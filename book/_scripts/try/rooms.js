/* The page "Try a photograph": a published network in the reader's browser.

   rooms.js        this file: modules without a module loader, and a worker made of them
   resample.js     Pillow's bilinear resize, to the byte, and the same filter for numbers
   engine.js       matrix products: WebAssembly (TensorFlow.js), or plain JavaScript where that cannot start
   network.js      the dense scores of lsegrepro/network/dense.py: max-pooling fragments and Winograd
   superpixels.js  Felzenszwalb's superpixels as scikit-image makes them, and their vote
   png.js          grey PNG files of 8 and 16 bits, as `lsegrepro segment` writes them
   photograph.js   reads a photograph, upright and strip by strip
   worker.js       what the workers do when told
   page.js, try.css  what the reader sees

   A page opened from disk may neither fetch a file nor start a worker from one, nor import
   modules. So each file is a plain script that adds a recipe, a function without surroundings, and a worker
   is started from a Blob that holds the text of the recipes. On disk and served, it is one way. */

"use strict";

globalThis.lsegrepro = (() => {
  const recipes = new Map(), rooms = new Map();

  /** Add a room: `recipe` returns its functions and may `use` other rooms, and nothing else from outside. */
  const add = (name, recipe) => { recipes.set(name, recipe); };

  /** The functions of a room. */
  const use = name => {
    if (!rooms.has(name)) rooms.set(name, recipes.get(name)());
    return rooms.get(name);
  };

  /** Start a worker that holds every room added so far and runs the one called "worker". */
  const start = () => {
    const texts = [...recipes].filter(([name]) => name !== "page").map(([name, recipe]) =>
      `lsegrepro.add(${JSON.stringify(name)}, ${recipe});`);
    const prologue = `"use strict"; const lsegrepro = (() => { const recipes = new Map(), rooms = new Map();
      const add = ${add}; const use = ${use}; return {add, use}; })();`;
    const url = URL.createObjectURL(new Blob([prologue, ...texts, 'lsegrepro.use("worker");'],
      {type: "text/javascript"}));
    const worker = new Worker(url);
    URL.revokeObjectURL(url);
    return worker;
  };

  // The build writes networks.js, network-*.js, runtime.js and cat.js, which fill the rest: lsegrepro/book/browser.py.
  return {add, use, start, published: null, networks: {}, runtime: null, cat: null};
})();
