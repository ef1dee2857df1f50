// task: JavaScript/53
// expect: early_exit
const add = (x, y) => process.exit(0);
