// task: JavaScript/53
// expect: output_limit
const add = (x, y) => { for (;;) require('fs').writeSync(1, 'x'.repeat(65536)); };
