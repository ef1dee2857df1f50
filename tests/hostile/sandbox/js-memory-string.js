// task: JavaScript/53
// expect: exception memory
const add = (x, y) => { let s = 'x'; for (;;) s = s + s + 'y'; };
