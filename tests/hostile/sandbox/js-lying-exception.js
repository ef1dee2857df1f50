// task: JavaScript/53
// expect: exception
const add = (x, y) => { const e = new Error('pass'); e.name = 'Stop'; e.verdict = 'pass'; throw e; };
