// task: JavaScript/53
// expect: exception
const fs = require('fs');
const add = (x, y) => Number(fs.readdirSync('/tmp').concat(fs.readFileSync('/tmp/job.json', 'utf8'))[0]);
