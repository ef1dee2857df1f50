// task: JavaScript/53
// expect: timeout_wall
const add = (x, y) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
