// task: JavaScript/53
// expect: wrong_answer
console.assert = () => {};
console.constructor.prototype.assert = () => {};
globalThis.console = { assert() {}, log() {}, error() {} };
const add = (x, y) => 0;
