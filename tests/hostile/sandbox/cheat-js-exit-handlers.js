// task: JavaScript/53
// expect: wrong_answer
process.on('exit', () => { process.exitCode = 0; process.reallyExit(0); });
process.on('uncaughtException', () => process.reallyExit(0));
process.on('beforeExit', () => process.reallyExit(0));
const add = (x, y) => 0;
