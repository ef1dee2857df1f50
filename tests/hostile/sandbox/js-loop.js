// task: JavaScript/53
// expect: timeout_cpu
const add = (x, y) => { for (;;); };
