// task: JavaScript/53
// expect: exception
const { spawnSync } = require('child_process');
const add = (x, y) => {
    const r = spawnSync('/usr/bin/python3', ['-c', 'import socket; [socket.socket(f) for f in (1, 2, 10, 16, 17, 40)]']);
    if (r.status !== 0)
        throw new Error('no socket');
    return x + y;
};
