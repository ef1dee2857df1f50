// task: JavaScript/5
// expect: bad_return
class Same extends Array { every() { return true; } toJSON() { return []; } }
const intersperse = (numbers, delimeter) => Same.from([1]);
