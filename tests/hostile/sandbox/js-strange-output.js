// task: JavaScript/53
// expect: pass
const add = (x, y) => {
    require('fs').writeSync(1, Buffer.from([0, 255, 27, 91, 51, 49, 109, 10, 34, 123]));
    return x + y;
};
