// task: JavaScript/53
// expect: protocol
const fs = require('fs');
fs.writeSync(3, Buffer.from([255, 255, 255, 255]));
for (;;)
    fs.writeSync(3, Buffer.alloc(65536));
const add = (x, y) => 0;
