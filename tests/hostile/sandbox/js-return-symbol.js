// task: JavaScript/53
// expect: bad_return
const add = (x, y) => Symbol('1');
