// task: JavaScript/53
// expect: no_entry_point
const sum = (x, y) => x + y;
