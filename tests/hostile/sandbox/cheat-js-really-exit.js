// task: JavaScript/53
// expect: early_exit
const add = (x, y) => process.reallyExit(0);
