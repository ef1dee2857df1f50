// task: JavaScript/53
// expect: wrong_answer
const add = (x, y) => BigInt(x) + BigInt(y) - (1n << 4000n);
