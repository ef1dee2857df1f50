// task: JavaScript/53
// expect: exception
const add = (x, y) => require('fs').readFileSync('/etc/passwd', 'utf8').length * 0 + x + y;
