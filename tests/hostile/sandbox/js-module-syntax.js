// task: JavaScript/53
// expect: syntax_error
import fs from 'fs';
const add = (x, y) => x + y;
