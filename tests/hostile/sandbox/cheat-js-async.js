// task: JavaScript/53
// expect: bad_return
const add = async (x, y) => x + y;
