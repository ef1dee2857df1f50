// task: JavaScript/53
// expect: exception
const deep = (n) => deep(n + 1) + 1;
const add = (x, y) => deep(0);
