"use strict";

lsegrepro.add("png", () => {
  const table = Uint32Array.from({length: 256}, (_, n) => {
    for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ n >>> 1 : n >>> 1;
    return n;
  });

  const chunk = (name, data) => {
    const bytes = new Uint8Array(data.length + 12), view = new DataView(bytes.buffer);
    view.setUint32(0, data.length);
    for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
    bytes.set(data, 8);
    let sum = 0xffffffff;
    for (let i = 4; i < data.length + 8; i++) sum = table[(sum ^ bytes[i]) & 255] ^ sum >>> 8;
    view.setUint32(data.length + 8, ~sum);
    return bytes;
  };

  /** A grey PNG of 8 or 16 bits; value(y, x) is a whole number below 2 ** bits. */
  const grey = async (height, width, bits, value) => {
    const header = new Uint8Array(13), view = new DataView(header.buffer), packer = new CompressionStream("deflate");
    view.setUint32(0, width);
    view.setUint32(4, height);
    header[8] = bits;
    const packed = new Response(packer.readable).arrayBuffer(), writer = packer.writable.getWriter();
    for (let y = 0; y < height; y++) {
      const row = new Uint8Array(1 + width * bits / 8);  // the first byte says: no filter
      for (let x = 0, at = 1; x < width; x++) {
        const v = value(y, x);
        if (bits === 16) row[at++] = v >> 8;
        row[at++] = v & 255;
      }
      await writer.write(row);
    }
    await writer.close();
    const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
    return new Blob([signature, chunk("IHDR", header), chunk("IDAT", new Uint8Array(await packed)),
      chunk("IEND", new Uint8Array())], {type: "image/png"});
  };

  return {grey};
});
