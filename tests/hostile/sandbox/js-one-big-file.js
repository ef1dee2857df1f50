// task: JavaScript/53
// expect: file_limit
const add = (x, y) => require('fs').writeFileSync('/tmp/x', Buffer.alloc(1 << 25));
