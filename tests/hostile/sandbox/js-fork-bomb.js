// task: JavaScript/53
// expect: timeout_cpu timeout_wall process_limit memory exception
const { spawn } = require('child_process');
const add = (x, y) => {
    for (;;)
        spawn(process.execPath, ['-e', 'for (;;) require("child_process").spawn(process.execPath, process.execArgv)']);
};
