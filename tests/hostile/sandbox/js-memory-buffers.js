// task: JavaScript/53
// expect: memory timeout_cpu
const add = (x, y) => {
    const a = [];
    for (;;)
        a.push(Buffer.alloc(1 << 24, 1));
};
