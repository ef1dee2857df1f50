// task: JavaScript/53
// expect: no_entry_point
return;
const add = (x, y) => 0;
