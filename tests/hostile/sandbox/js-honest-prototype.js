// task: JavaScript/5
// expect: pass
Array.prototype.last = function () { return this[this.length - 1]; };
Object.prototype.own = 1;
const intersperse = (numbers, delimeter) => {
    const out = [];
    for (const x of numbers)
        out.push(x, delimeter);
    return out.slice(0, -1);
};
