// task: JavaScript/5
// expect: bad_return
const intersperse = (numbers, delimeter) => ({ toJSON: () => undefined });
