// task: JavaScript/53
// expect: bad_return
const add = (x, y) => 'x'.repeat(1 << 28);
