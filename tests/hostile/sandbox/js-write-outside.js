// task: JavaScript/53
// expect: exception
const fs = require('fs');
const add = (x, y) => {
    for (const p of ['/usr/x', '/sandbox/x', '/sandbox/codec.js', '/dev/x', '/x', '/etc/x'])
        try {
            fs.writeFileSync(p, 'x');
            return 0;
        } catch {
        }
    throw new Error('nothing was written');
};
