// task: JavaScript/5
// expect: exception
const intersperse = (numbers, delimeter) => ({ get x() { throw new Error('no'); } });
