// task: JavaScript/53
// expect: protocol
const fs = require('fs');
const add = (x, y) => {
    const value = Buffer.concat(Array(100000).fill(Buffer.from([0x6c, 1, 0, 0, 0])));
    const b = Buffer.concat([Buffer.alloc(13), value, Buffer.from('N')]);
    b.writeUInt32LE(b.length - 4, 0);
    b[12] = 0x56;
    fs.writeSync(3, b);
    return 0;
};
