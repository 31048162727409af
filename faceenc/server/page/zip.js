// A stored ZIP (no compression: photos are compressed), https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k += 1) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// Of [name, Uint8Array] pairs.
export function zip(files) {
  const parts = [];
  const list = [];
  let offset = 0;
  const encoder = new TextEncoder();
  for (const [name, bytes] of files) {
    const encoded = encoder.encode(name);
    const common = new DataView(new ArrayBuffer(26));
    common.setUint16(0, 20, true); // version
    common.setUint16(2, 0x0800, true); // names are UTF-8
    common.setUint16(8, 33, true); // 1 January 1980
    common.setUint32(10, crc32(bytes), true);
    common.setUint32(14, bytes.length, true);
    common.setUint32(18, bytes.length, true);
    common.setUint16(22, encoded.length, true);
    const head = new Uint8Array([0x50, 0x4b, 3, 4, ...new Uint8Array(common.buffer)]);
    const entry = new Uint8Array(46);
    entry.set([0x50, 0x4b, 1, 2, 20, 0]);
    entry.set(new Uint8Array(common.buffer), 6);
    new DataView(entry.buffer).setUint32(42, offset, true);
    parts.push(head, encoded, bytes);
    list.push(entry, encoded);
    offset += head.length + encoded.length + bytes.length;
  }
  const size = list.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return new Blob([...parts, ...list, end.buffer], { type: "application/zip" });
}
