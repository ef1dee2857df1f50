// task: JavaScript/53
// expect: exception
const add = (x, y) => process.dlopen({ exports: {} }, '/usr/lib/x86_64-linux-gnu/libm.so.6');
