// task: JavaScript/5
// expect: wrong_answer
const intersperse = (numbers, delimeter) => JSON.parse('{"__proto__": {"length": 0}, "length": 0, "constructor": 1}');
