// task: JavaScript/53
// expect: wrong_answer
const add = (x, y) => x - y;
