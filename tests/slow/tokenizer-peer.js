// tokenizer-peer.js - Hugging Face's tokenizers (npm's @anush008/tokenizers) as a peer of tokenizer-speed.sh
//
//     npm install @anush008/tokenizers@0.6.0
//     NODE_PATH=.../node_modules PEER='node tests/slow/tokenizer-peer.js' tests/slow/tokenizer-speed.sh tokenizer.json
const fs = require('fs'), {Tokenizer} = require('@anush008/tokenizers');
const now = () => Number(process.hrtime.bigint()) / 1e6;
const median = v => v.sort((a, b) => a - b)[v.length >> 1];

async function main([tokenizer, corpus, warm, snippets]) {
  const load = [];
  let t;
  for (let i = 0; i < 5; i++) {
    const start = now();
    t = Tokenizer.fromFile(tokenizer);
    load.push(now() - start);
  }
  console.log(`load ${median(load).toFixed(2)} ms`);
  const encode = text => t.encode(text, null, {addSpecialTokens: false});
  await encode(fs.readFileSync(warm, 'utf8'));
  const us = [];
  for (const s of fs.readFileSync(snippets, 'utf8').split('\0').slice(0, -1)) {
    const start = now();
    await encode(s);
    us.push((now() - start) * 1e3);
  }
  console.log(`snippet ${median(us).toFixed(2)} us median`);
  const text = fs.readFileSync(corpus, 'utf8'), start = now(), n = (await encode(text)).getIds().length;
  console.log(`threads 1: ${(Buffer.byteLength(text) / 1e3 / (now() - start)).toFixed(1)} MB/s (${n} tokens)`);
  console.log(`memory ${process.resourceUsage().maxRSS >> 10} MB at most`);
}
main(process.argv.slice(2));
