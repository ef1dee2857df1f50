// report.js - what apr-report's pages do beyond showing: theme, sorted tables, filter and details of tasks
// All text is set as text, never as markup.
(function () {
    'use strict';
    const $ = (id) => document.getElementById(id);
    const root = document.documentElement;
    root.classList.add('js');

    function el(name, attrs, ...children) {
        const e = document.createElement(name);
        for (const [k, v] of Object.entries(attrs || {}))
            if (k === 'class') e.className = v;
            else if (k === 'click') e.addEventListener('click', v);
            else e.setAttribute(k, v);
        for (const c of children) if (c !== null && c !== undefined) e.append(c);
        return e;
    }

    // ---- theme: as the system says, light, dark
    const themes = ['auto', 'light', 'dark'];
    let theme = 'auto';
    try { theme = localStorage.getItem('apr-theme') || 'auto'; } catch { /* a page without storage */ }
    if (!themes.includes(theme)) theme = 'auto';
    function setTheme() {
        if (theme === 'auto') delete root.dataset.theme;
        else root.dataset.theme = theme;
        $('theme').textContent = 'Theme: ' + theme;
    }
    setTheme();
    $('theme').hidden = false;
    $('theme').addEventListener('click', () => {
        theme = themes[(themes.indexOf(theme) + 1) % 3];
        try { localStorage.setItem('apr-theme', theme); } catch { /* not kept */ }
        setTheme();
    });

    // ---- tables that can be sorted: a cell's value is data-v, or its text
    for (const table of document.querySelectorAll('table.sortable')) {
        const heads = [...table.tHead.rows[0].cells];
        const value = (row, i) => row.cells[i].dataset.v ?? row.cells[i].textContent.trim();
        heads.forEach((th, i) => {
            const button = el('button', { type: 'button' });
            button.append(...th.childNodes);
            th.append(button);
            button.addEventListener('click', () => {
                const down = th.getAttribute('aria-sort') === 'ascending';
                heads.forEach((h) => h.removeAttribute('aria-sort'));
                th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
                const rows = [...table.tBodies[0].rows];
                const number = rows.every((r) => value(r, i) !== '' && !isNaN(value(r, i)));
                rows.sort((a, b) => {
                    const x = value(a, i), y = value(b, i);
                    return (down ? -1 : 1) * (number ? x - y : x < y ? -1 : x > y ? 1 : 0);
                });
                table.tBodies[0].append(...rows);
            });
        });
    }

    // ---- tasks
    const tiles = [...document.querySelectorAll('.tile')];
    if (!tiles.length) return;
    let parsed = null;
    const data = () => parsed || (parsed = JSON.parse($('data').textContent));
    const kindOf = (v) => v < 0 ? { name: 'not judged', letter: '', group: 'none' } : data().kinds[v];
    const badge = (v) => el('i', { class: 'v-' + kindOf(v).group, 'aria-hidden': 'true' }, kindOf(v).letter);
    const dialog = $('task');
    let open = -1;

    function textBlock(of, key, label, expanded) {
        if (of[key] === undefined) return null;
        const pre = el('pre', { tabindex: '0', 'aria-label': label }, el('code', {}, of[key]));
        const left = of[key + '+'];
        return el('details', expanded ? { open: '' } : {}, el('summary', {}, label), pre,
            left ? el('p', { class: 'cut' }, left.toLocaleString('en') + ' more bytes are left out of this page') : null);
    }
    const amount = (v) => v >= 100 ? Math.round(v).toLocaleString('en') : String(v);
    function costs(t) {
        const list = el('ul', { class: 'costs legend' });
        const add = (s) => list.append(el('li', {}, s));
        if (t.tokens !== undefined) add(amount(t.tokens) + ' tokens');
        if (t.prompt_tokens !== undefined) add('prompt ' + amount(t.prompt_tokens));
        if (t.finish && t.finish !== 'stop') add('ended by ' + t.finish);
        if (t.inference_ms !== undefined) add('generated in ' + amount(t.inference_ms) + ' ms');
        if (t.tok_s !== undefined) add(amount(t.tok_s) + ' tokens/s');
        if (t.cpu_ms !== undefined) add('CPU ' + amount(t.cpu_ms) + ' ms');
        if (t.wall_ms !== undefined) add('wall ' + amount(t.wall_ms) + ' ms');
        if (t.rss_kb !== undefined) add(amount(Math.round(t.rss_kb / 1024)) + ' MiB');
        if (t.how && t.how !== 'fence') add('code found: ' + t.how);
        return list.childNodes.length ? list : null;
    }
    function showTry(box, t) {
        const words = [];
        if (t.total) words.push('test ' + t.run + ' of ' + t.total);
        if (t.exit) words.push('exit ' + t.exit);
        if (t.signal) words.push('signal ' + t.signal);
        if (t.attempt) words.push('attempt ' + t.attempt);
        if (t.flaky) words.push('attempts differ');
        box.replaceChildren(...[
            el('p', { class: 'verdict' }, badge(t.v), el('b', {}, kindOf(t.v).name),
                el('span', { class: 'muted' }, words.join(', '))),
            t.detail === undefined ? null : el('p', { class: 'detail', tabindex: '0' }, t.detail),
            t['detail+'] ? el('p', { class: 'cut' }, t['detail+'] + ' more bytes are left out') : null,
            costs(t),
            textBlock(t, 'code', 'Code', true),
            textBlock(t, 'text', 'Answer as generated', t.code === undefined),
            textBlock(t, 'thinking', 'Thinking', false),
        ].filter(Boolean));
    }
    function showRun(name, r, tries) {
        const swatch = document.querySelectorAll('#runs .swatch')[r];
        const box = el('div');
        const head = el('h3', {}, swatch ? swatch.cloneNode(true) : '', ' ' + name);
        const part = el('section', { class: 'try' }, head);
        if (!tries.length) part.append(el('p', { class: 'muted' }, 'no answer to this task'));
        if (tries.length > 1) {
            const row = el('div', { class: 'samples', role: 'group', 'aria-label': 'Samples of ' + name });
            tries.forEach((t, i) => row.append(el('button', {
                type: 'button', 'aria-pressed': String(i === 0),
                'aria-label': 'sample ' + t.n + ': ' + kindOf(t.v).name,
                click: (ev) => {
                    for (const b of row.children) b.setAttribute('aria-pressed', String(b === ev.currentTarget));
                    showTry(box, t);
                },
            }, badge(t.v))));
            part.append(row);
        }
        if (tries.length) showTry(box, tries[0]);
        part.append(box);
        return part;
    }
    function show(i) {
        const d = data(), t = d.tasks[i];
        open = i;
        $('task-name').replaceChildren(el('span', { class: 'muted' }, t.b), ' ' + t.id);
        const prompts = [];
        for (const p of t.p) {
            const whose = (p.r < 0 ? '' : ' for ' + d.runs[p.r]) + (p.n ? ', sample ' + p.n : '');
            prompts.push(textBlock(p, 'system', 'System' + whose, true), textBlock(p, 'earlier', 'Earlier turns' + whose, false),
                textBlock(p, 'prompt', 'Prompt' + whose, t.p.length < 3), textBlock(p, 'prefill', 'Answer begins with' + whose, true));
        }
        $('task-body').replaceChildren(...prompts.filter(Boolean),
            el('div', { class: 'tries' }, ...d.runs.map((name, r) => showRun(name, r, t.r[r]))));
        $('task-body').scrollTop = 0;
        const shown = tiles.filter((x) => !x.hidden), at = shown.indexOf(tiles[i]);
        $('task-prev').disabled = at <= 0;
        $('task-next').disabled = at < 0 || at + 1 >= shown.length;
        if (!dialog.open) dialog.showModal();
        history.replaceState(null, '', '#task-' + i);
    }
    function step(by) {
        const shown = tiles.filter((x) => !x.hidden), at = shown.indexOf(tiles[open]) + by;
        if (at >= 0 && at < shown.length) show(tiles.indexOf(shown[at]));
    }
    $('task-prev').addEventListener('click', () => step(-1));
    $('task-next').addEventListener('click', () => step(1));
    $('task-close').addEventListener('click', () => dialog.close());
    dialog.addEventListener('click', (ev) => { if (ev.target === dialog) dialog.close(); });
    dialog.addEventListener('close', () => {
        history.replaceState(null, '', '#tasks');
        if (open >= 0) focusTile(tiles[open]);
    });
    dialog.addEventListener('keydown', (ev) => {
        if (ev.target.closest('pre, .detail, .samples')) return;
        if (ev.key === 'ArrowLeft') step(-1);
        if (ev.key === 'ArrowRight') step(1);
    });

    // one tab stop a grid; arrows move inside it
    function focusTile(tile) {
        for (const x of tile.parentNode.children) x.tabIndex = -1;
        tile.tabIndex = 0;
        tile.focus();
    }
    for (const grid of document.querySelectorAll('.grid')) {
        [...grid.children].forEach((x, i) => { x.tabIndex = i ? -1 : 0; });
        grid.addEventListener('click', (ev) => {
            const tile = ev.target.closest('.tile');
            if (tile) { focusTile(tile); show(Number(tile.dataset.i)); }
        });
        grid.addEventListener('keydown', (ev) => {
            const tile = ev.target.closest('.tile');
            if (!tile) return;
            const shown = [...grid.children].filter((x) => !x.hidden), at = shown.indexOf(tile);
            const line = (way) => { // the nearest tile of the next line
                const far = shown.filter((x) => way * (x.offsetTop - tile.offsetTop) > 0);
                const next = far.length ? far[way > 0 ? 0 : far.length - 1].offsetTop : null;
                return far.filter((x) => x.offsetTop === next)
                    .sort((a, b) => Math.abs(a.offsetLeft - tile.offsetLeft) - Math.abs(b.offsetLeft - tile.offsetLeft))[0];
            };
            const to = { ArrowRight: () => shown[at + 1], ArrowLeft: () => shown[at - 1], Home: () => shown[0],
                End: () => shown[shown.length - 1], ArrowDown: () => line(1), ArrowUp: () => line(-1) }[ev.key];
            if (!to) return;
            ev.preventDefault();
            if (to()) focusTile(to());
        });
    }

    // ---- filter
    const words = [];
    function haystack(i) {
        if (words[i] === undefined) {
            const t = data().tasks[i], s = [t.id];
            for (const p of t.p) s.push(p.prompt, p.system, p.earlier);
            for (const run of t.r) for (const y of run) s.push(y.detail, y.code, y.text, y.thinking);
            words[i] = s.filter(Boolean).join('\n').toLowerCase();
        }
        return words[i];
    }
    // what a run made of a task: its share of passes
    function outcome(run) {
        const judged = run.filter((y) => y.v >= 0), pass = judged.filter((y) => kindOf(y.v).group === 'pass').length;
        return judged.length ? pass / judged.length : null;
    }
    function differs(t) {
        const seen = new Set(t.r.map(outcome).filter((x) => x !== null));
        return seen.size > 1;
    }
    function filter() {
        const find = $('f-text').value.toLowerCase(), only = $('f-differs').checked;
        const kinds = new Set([...document.querySelectorAll('#filter [name=v]:checked')].map((x) => Number(x.value)));
        let n = 0;
        tiles.forEach((tile, i) => {
            let hit = true;
            if (kinds.size) hit = data().tasks[i].r.some((run) => run.some((y) => kinds.has(y.v)));
            if (hit && only) hit = differs(data().tasks[i]);
            if (hit && find) hit = haystack(i).includes(find);
            tile.hidden = !hit;
            n += hit;
        });
        const all = n === tiles.length;
        $('f-count').textContent = all ? '' : n + ' of ' + tiles.length + ' tasks';
        for (const grid of document.querySelectorAll('.grid')) {
            const first = [...grid.children].find((x) => !x.hidden);
            for (const x of grid.children) x.tabIndex = x === first ? 0 : -1;
        }
    }
    let timer = 0;
    const soon = () => { clearTimeout(timer); timer = setTimeout(filter, 100); };
    $('filter').addEventListener('input', soon);
    $('filter').addEventListener('reset', soon);
    $('filter').addEventListener('submit', (ev) => ev.preventDefault());

    function fromAddress() {
        const m = /^#task-(\d+)$/.exec(location.hash);
        if (m && Number(m[1]) < tiles.length) show(Number(m[1]));
    }
    addEventListener('hashchange', fromAddress);
    fromAddress();
})();
