// task: JavaScript/53
// expect: crash
const add = (x, y) => process.abort();
