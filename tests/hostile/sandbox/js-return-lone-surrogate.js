// task: JavaScript/53
// expect: wrong_answer
const add = (x, y) => '\ud800\0\u001b[31m\n"';
