// task: JavaScript/5
// expect: wrong_answer
Array.prototype.every = () => true;
Array.prototype.join = Array.prototype.toString = () => 'same';
JSON.stringify = () => 'same';
String.prototype.valueOf = () => 'same';
Object.is = () => true;
const intersperse = (numbers, delimeter) => [];
