// task: JavaScript/53
// expect: syntax_error
const add = (x, y) => 0;
const swallow = `
