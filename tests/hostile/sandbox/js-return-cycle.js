// task: JavaScript/5
// expect: bad_return
const intersperse = (numbers, delimeter) => {
    const a = [];
    a.push(a);
    return a;
};
