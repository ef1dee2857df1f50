// task: JavaScript/53
// expect: timeout_cpu
const add = (x, y) => /^(a+)+$/.test('a'.repeat(60) + 'b') ? x : y;
