// task: JavaScript/5
// expect: wrong_answer
const intersperse = (numbers, delimeter) => new Array(2 * numbers.length || 7);
