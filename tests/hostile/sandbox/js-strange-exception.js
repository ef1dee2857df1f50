// task: JavaScript/53
// expect: exception
const add = (x, y) => { throw { toString() { throw 1; }, get message() { throw 2; } }; };
