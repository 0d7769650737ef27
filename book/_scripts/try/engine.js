"use strict";

lsegrepro.add("engine", () => {
  /* An engine has a name and fixed(b, k, n): given a matrix b of k rows and n columns that stays, it returns
     times(a, m, out), which writes a b into out for a matrix a of m rows. All are Float32Array, row by row. */

  const plain = {
    name: "JavaScript",
    fixed(b, k, n) {
      // Four columns lie beside each other, so that one pass over a row of b fills sixteen sums.
      const blocks = Math.ceil(n / 4), packed = new Float32Array(blocks * k * 4);
      for (let j = 0; j < n; j++)
        for (let i = 0; i < k; i++) packed[((j >> 2) * k + i) * 4 + (j & 3)] = b[i * n + j];
      return (a, m, out) => {
        const store = (row, j, p, q, r, s) => {
          const at = row * n + j;
          out[at] = p;
          if (j + 1 < n) out[at + 1] = q;
          if (j + 2 < n) out[at + 2] = r;
          if (j + 3 < n) out[at + 3] = s;
        };
        for (let row = 0; row < m; row += 4) {
          const rows = Math.min(4, m - row);
          const a0 = row * k, a1 = a0 + (rows > 1 ? k : 0), a2 = a1 + (rows > 2 ? k : 0), a3 = a2 + (rows > 3 ? k : 0);
          for (let block = 0, at = 0; block < blocks; block++) {
            let c00 = 0, c01 = 0, c02 = 0, c03 = 0, c10 = 0, c11 = 0, c12 = 0, c13 = 0;
            let c20 = 0, c21 = 0, c22 = 0, c23 = 0, c30 = 0, c31 = 0, c32 = 0, c33 = 0;
            for (let i = 0; i < k; i++, at += 4) {
              const b0 = packed[at], b1 = packed[at + 1], b2 = packed[at + 2], b3 = packed[at + 3];
              const x0 = a[a0 + i], x1 = a[a1 + i], x2 = a[a2 + i], x3 = a[a3 + i];
              c00 += x0 * b0; c01 += x0 * b1; c02 += x0 * b2; c03 += x0 * b3;
              c10 += x1 * b0; c11 += x1 * b1; c12 += x1 * b2; c13 += x1 * b3;
              c20 += x2 * b0; c21 += x2 * b1; c22 += x2 * b2; c23 += x2 * b3;
              c30 += x3 * b0; c31 += x3 * b1; c32 += x3 * b2; c33 += x3 * b3;
            }
            const j = block * 4;
            store(row, j, c00, c01, c02, c03);
            if (rows > 1) store(row + 1, j, c10, c11, c12, c13);
            if (rows > 2) store(row + 2, j, c20, c21, c22, c23);
            if (rows > 3) store(row + 3, j, c30, c31, c32, c33);
          }
        }
      };
    },
  };

  // TensorFlow.js on WebAssembly, from the texts of its scripts and the bytes of its binary; or an error.
  const assembled = async ({scripts, binary}) => {
    const shown = console.warn;
    // It warns where it falls back by itself; a page that works has nothing to warn of.
    console.warn = () => {};
    try {
      // They are UMD bundles: without `exports` they put their functions into the global `tf`.
      for (const text of scripts) (0, eval)(text);
      const tf = globalThis.tf;
      // On a binary that does not compile, or for which memory is short, its start never ends.
      if (!WebAssembly.validate(await (await fetch(binary)).arrayBuffer())) throw new Error("the binary is damaged");
      if (!await tf.env().getAsync("WASM_HAS_SIMD_SUPPORT")) throw new Error("no vector instructions");
      tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);  // each worker is one thread
      const names = ["", "-simd", "-threaded-simd"].map(kind => `tfjs-backend-wasm${kind}.wasm`);
      tf.wasm.setWasmPaths(Object.fromEntries(names.map(name => [name, binary])), true);
      const late = new Promise(resolve => setTimeout(resolve, 60_000, false));
      if (!await Promise.race([tf.setBackend("wasm"), late])) throw new Error("WebAssembly did not start");
      return {
        name: "WebAssembly",
        fixed(b, k, n) {
          const right = tf.tensor2d(b, [k, n]);
          return (a, m, out) => {
            const left = tf.tensor2d(a, [m, k]), product = tf.matMul(left, right);
            out.set(product.dataSync());
            left.dispose();
            product.dispose();
          };
        },
      };
    } finally {
      console.warn = shown;
    }
  };

  /** The fastest engine that starts here and multiplies right. */
  const open = async runtime => {
    if (runtime) try {
      const engine = await assembled(runtime);
      const a = Float32Array.from({length: 15}, (_, i) => i - 7), b = Float32Array.from({length: 20}, (_, i) => i % 7);
      const [one, other] = [engine, plain].map(each => {
        const out = new Float32Array(12);
        each.fixed(b, 5, 4)(a, 3, out);
        return out;
      });
      if (one.every((value, i) => Math.abs(value - other[i]) < 1e-3)) return engine;
    } catch { /* no WebAssembly with vectors here */ }
    return plain;
  };

  return {plain, open};
});
