// task: JavaScript/5
// expect: bad_return
const intersperse = (numbers, delimeter) => new Proxy([], {
    get: (t, k) => k === 'toJSON' ? () => undefined : k === 'length' ? 0 : () => true,
});
