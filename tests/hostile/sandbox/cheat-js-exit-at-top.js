// task: JavaScript/53
// expect: early_exit
process.exit(0);
const add = (x, y) => 0;
