// task: JavaScript/53
// expect: bad_return
class Right { valueOf() { return 1; } toString() { return '1'; } [Symbol.toPrimitive]() { return 1; } }
const add = (x, y) => new Right();
