"use strict";

lsegrepro.add("photograph", () => {
  const {byRows} = lsegrepro.use("resample");

  let checked = null;

  /** Whether a canvas gives back the pixels that were drawn on it: a protection against fingerprinting alters them. */
  const faithful = async () => {
    const side = 64, known = new ImageData(side, side);
    for (let i = 0; i < known.data.length; i++) known.data[i] = i % 4 === 3 ? 255 : i * 97 + (i >> 6) * 31 & 255;
    const pen = new OffscreenCanvas(side, side).getContext("2d", {willReadFrequently: true});
    pen.drawImage(await createImageBitmap(known, {colorSpaceConversion: "none"}), 0, 0);
    const {data} = pen.getImageData(0, 0, side, side);
    return data.every((value, i) => value === known.data[i]);
  };

  /**
   * Read a photograph as data/images.py does: upright, transparency on white, colours as they are in the file.
   * It is drawn in strips, so that beside the browser's own bitmap no copy of it is made, and each strip goes into
   * all copies that are asked for. sizes(height, width) gives a list of [height, width].
   * Returns height, width and copies, Uint8Array (height, width, 3) each.
   */
  const read = async (blob, sizes) => {
    if (!await (checked ??= faithful()))
      throw new Error("this browser alters the pixels of a picture before a page may read them (a protection against "
        + "fingerprinting), so an answer would be wrong; allow canvas data for this page, or take another browser");
    const bitmap = await createImageBitmap(blob, {colorSpaceConversion: "none"}).catch(() => {
      throw new Error("this picture is damaged, or of a kind that the browser cannot draw");
    });
    const {height, width} = bitmap, strip = Math.max(1, Math.min(height, Math.floor((1 << 20) / width)));
    const copies = sizes(height, width).map(([high, wide]) => byRows(height, width, high, wide));
    const canvas = new OffscreenCanvas(width, strip), pen = canvas.getContext("2d", {willReadFrequently: true});
    if (!pen) throw new Error("no canvas is wide enough");
    for (let top = 0; top < height; top += strip) {
      const count = Math.min(strip, height - top);
      pen.fillStyle = "white";
      pen.fillRect(0, 0, width, count);
      pen.drawImage(bitmap, 0, top, width, count, 0, 0, width, count);
      const {data} = pen.getImageData(0, 0, width, count);
      for (const copy of copies) copy.rows(data, count, 4);
    }
    bitmap.close();
    return {height, width, copies: copies.map(copy => copy.done())};
  };

  return {read};
});
