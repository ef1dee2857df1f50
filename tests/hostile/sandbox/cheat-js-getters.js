// task: JavaScript/5
// expect: wrong_answer
let n = 0;
const intersperse = (numbers, delimeter) => {
    const out = [0, 0, 0];
    for (const i of out.keys())
        Object.defineProperty(out, i, { get: () => n++, enumerable: true });
    return out;
};
