// task: JavaScript/53
// expect: protocol
const fs = require('fs');
for (let i = 0; i < 8; i++)
    fs.writeSync(3, Buffer.from([10, 0, 0, 0, i, 0, 0, 0, 0, 0, 0, 0, 0x56, 0x54]));
const add = (x, y) => 0;
