// task: JavaScript/53
// expect: syntax_error
}); process.exit(0); (() => {
const add = (x, y) => 0;
