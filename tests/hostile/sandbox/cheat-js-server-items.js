// task: JavaScript/5
// expect: protocol
const fs = require('fs');
const read = (n) => {
    const b = Buffer.alloc(n);
    for (let i = 0; i < n;) {
        const k = fs.readSync(3, b, i, n - i, null);
        if (k === 0)
            process.exit(0);
        i += k;
    }
    return b;
};
for (;;) {
    const b = read(read(4).readUInt32LE(0));
    const value = b[8] === 0x4e ? Buffer.from('T') : Buffer.concat([Buffer.from([0x6c, 0, 0, 32, 0]), Buffer.alloc(1 << 21, 'N')]);
    const head = Buffer.alloc(13);
    head.writeUInt32LE(9 + value.length, 0);
    b.copy(head, 4, 0, 8);
    head[12] = 0x56;
    fs.writeSync(3, Buffer.concat([head, value]));
}
const intersperse = 0;
