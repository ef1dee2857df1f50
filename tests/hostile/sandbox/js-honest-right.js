// task: JavaScript/53
// expect: pass
const add = (x, y) => x + y;
