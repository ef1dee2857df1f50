// task: JavaScript/53
// expect: no_entry_point
const add = 1;
