// task: JavaScript/53
// expect: memory
const add = (x, y) => {
    const a = [];
    for (let i = 0; ; i++)
        a.push(new Array(1000).fill(i));
};
