// task: JavaScript/53
// expect: timeout_cpu
for (const s of ['SIGXCPU', 'SIGTERM', 'SIGALRM', 'SIGINT'])
    process.on(s, () => {});
const add = (x, y) => { for (;;) try { for (;;); } catch {} };
