// task: JavaScript/53
// expect: file_limit
const fs = require('fs');
const add = (x, y) => {
    for (let i = 0; ; i++)
        fs.writeFileSync('/tmp/' + i, Buffer.alloc(1 << 20));
};
