// task: JavaScript/53
// expect: pass
require('child_process').spawn('/usr/bin/sleep', ['1000'], { detached: true, stdio: [0, 1, 2, 3] }).unref();
const add = (x, y) => x + y;
