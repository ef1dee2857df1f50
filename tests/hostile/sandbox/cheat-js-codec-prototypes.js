// task: JavaScript/5
// expect: wrong_answer exception protocol early_exit
Buffer.prototype.writeUInt32LE = Buffer.prototype.copy = () => 0;
Object.defineProperty(Object.prototype, 'length', { get: () => 0, set() {}, configurable: true });
const intersperse = (numbers, delimeter) => [];
