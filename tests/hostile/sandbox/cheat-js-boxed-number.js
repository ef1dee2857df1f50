// task: JavaScript/53
// expect: bad_return
const add = (x, y) => Object.assign(new Number(x + y), { valueOf: () => 0 });
