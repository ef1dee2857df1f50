// task: JavaScript/53
// expect: exception
const add = (x, y) => { process.setuid(0); return x + y; };
