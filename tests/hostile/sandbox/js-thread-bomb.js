// task: JavaScript/53
// expect: process_limit memory crash timeout_cpu timeout_wall exception
const { Worker } = require('worker_threads');
const add = (x, y) => {
    for (;;)
        new Worker('for (;;);', { eval: true });
};
