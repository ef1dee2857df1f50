// task: JavaScript/5
// expect: bad_return
const intersperse = (numbers, delimeter) => { const a = []; a.length = 4294967295; return a; };
