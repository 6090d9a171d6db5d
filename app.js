// What the page does by itself. Gradio hands in: element (this component), trigger (start a Python event), server (call a Python
// function), upload (transfer a file), props and watch (what Python sends). Markup comes from Python, escaped; all that is made
// here is made of text. Buttons name what they do in data-do.

const $ = (selector, within = element) => within.querySelector(selector);
const thread = $('.thread');
const box = $('.composer textarea');
const panel = $('.panel');
const wide = matchMedia('(min-width: 64rem)');
const limits = props.limits;
box.maxLength = limits.question;

const make = (tag, values = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), values);
  made.append(...children);
  return made;
};
const action = (name, text, label) => {
  const made = make('button', {type: 'button', textContent: text});
  made.dataset.do = name;
  if (label) made.setAttribute('aria-label', label);
  return made;
};
const problem = (text) => make('p', {className: 'notice problem', textContent: text});
const number = () => Date.now().toString(36) + Math.random().toString(36).slice(2, 10);
const call = async (name, data = {}) => {
  try {
    return await server[name](data);
  } catch {
    return {problem: 'Folio does not answer. The terminal that runs it says why; start it again and reload this page.'};
  }
};

// --- conversations, kept by the browser ---

const KEPT = 50;
const fresh = () => ({id: number(), title: '', created: new Date().toISOString(), turns: []});
let conversation = fresh();

const kept = () => {
  try {
    const list = JSON.parse(localStorage.getItem('folio.conversations'));
    return Array.isArray(list) ? list : [];
  } catch {
    return [];
  }
};
const keep = (list) => {
  for (let most = KEPT; most >= 0; most--) {
    try {
      return localStorage.setItem('folio.conversations', JSON.stringify(list.slice(0, most)));
    } catch { /* no room: without the oldest */ }
  }
};
const remember = (changed) => {
  keep([changed, ...kept().filter(({id}) => id !== changed.id)]);
  if (changed === conversation) sessionStorage.setItem('folio.current', changed.id);
};

const greet = async () => {
  const said = await call('welcome');
  if (thread.querySelector('.turn')) return;
  if (said.problem) thread.replaceChildren(problem(said.problem));
  else thread.innerHTML = said.html;
};
const start = () => {
  conversation = fresh();
  sessionStorage.removeItem('folio.current');
  thread.replaceChildren();
  box.focus();
  return greet();
};
const open = async (id) => {
  const found = kept().find((one) => one.id === id);
  if (!found) return start();
  const said = await call('open_conversation', found);
  if (said.problem) return thread.replaceChildren(problem(said.problem));
  conversation = found;
  sessionStorage.setItem('folio.current', id);
  thread.replaceChildren(...said.turns.map(({html, answer}) => fill(turnFor(answer.question), html, answer)));
  thread.lastElementChild?.scrollIntoView({block: 'start'});
};
const listConversations = () => {
  const list = $('.conversations');
  list.replaceChildren(...kept().map(({id, title, created, turns}) => {
    const day = new Date(created).toLocaleDateString(undefined, {day: 'numeric', month: 'long', year: 'numeric'});
    const count = turns?.length === 1 ? '1 question' : `${turns?.length ?? 0} questions`;
    const row = make('li', {className: 'conversation'},
      action('open', title),
      make('span', {className: 'facts', textContent: `${day} · ${count}`}),
      make('span', {className: 'actions'},
        'Export as ',
        action('markdown', 'Markdown', `Export “${title}” as Markdown`),
        action('json', 'JSON', `Export “${title}” as JSON`),
        action('forget', 'Delete', `Delete “${title}”`)));
    row.dataset.id = id;
    if (id === conversation.id) row.setAttribute('aria-current', 'true');
    return row;
  }));
  if (!list.children.length) list.append(make('li', {className: 'none', textContent: 'No conversation yet.'}));
};
const save = async (id, form) => {
  const found = kept().find((one) => one.id === id);
  const said = await call('export', found);
  if (said.problem) return $('[data-part=history] header').append(problem(said.problem));
  const name = found.title.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 60) || 'conversation';
  const url = URL.createObjectURL(new Blob([said[form]], {type: form === 'json' ? 'application/json' : 'text/markdown'}));
  make('a', {href: url, download: `${name}.${form === 'json' ? 'json' : 'md'}`}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
};

// --- asking: one question is answered at a time, others wait their turn ---

const CONTEXT = 8; // earlier answers that a follow-up is understood from
const waiting = [];
let asked = null;

const turnFor = (question) => make('section', {className: 'turn'},
  make('h2', {className: 'question', dir: 'auto', textContent: question.replace(/\s+/g, ' ').trim()}));
const fill = (turn, html, answer) => {
  turn.querySelectorAll('.pending, .draft').forEach((part) => part.remove());
  turn.insertAdjacentHTML('beforeend', html);
  turn.answer = answer;
  return turn;
};
const ask = (question, alone = false) => {
  if (!question.trim()) return;
  const turn = turnFor(question);
  turn.append(make('p', {className: 'notice pending'}, make('span', {textContent: 'Searching your files …'}), action('stop', 'Stop')));
  $('.welcome')?.remove();
  if (!conversation.turns.length && !thread.querySelector('.turn')) thread.replaceChildren();
  thread.append(turn);
  reveal(turn);
  waiting.push({id: number(), question, turn, alone, files: [...chosen], conversation});
  next();
};
const next = () => {
  if (asked || !waiting.length) return;
  asked = waiting.shift();
  const history = asked.alone ? [] : asked.conversation.turns.slice(-CONTEXT);
  trigger('ask', {ask: asked.id, question: asked.question, files: asked.files, history});
};
const settle = (html, answer) => {
  fill(asked.turn, html, answer);
  if (answer) {
    asked.conversation.turns.push(answer);
    asked.conversation.title ||= answer.question.replace(/\s+/g, ' ').slice(0, 120);
    remember(asked.conversation);
  }
  asked = null;
  next();
};
watch('value', () => {
  const said = props.value;
  if (!asked || said?.ask !== asked.id) return;
  if (said.html) settle(said.html, said.answer);
  else {
    const pending = $('.pending', asked.turn);
    $('span', pending).textContent = said.stages;
    if (said.draft) {
      asked.turn.querySelector('.draft')?.remove();
      pending.insertAdjacentHTML('beforebegin', said.draft);
    }
  }
});
document.addEventListener('folio:ask-failed', () => {
  if (asked) settle(problem('That went wrong; the terminal that runs Folio says why. Ask again, or restart it.').outerHTML);
});
const stop = (turn) => {
  const at = waiting.findIndex((one) => one.turn === turn);
  if (at >= 0) {
    waiting.splice(at, 1);
    fill(turn, problem('Stopped.').outerHTML);
  } else if (asked?.turn === turn) {
    $('.pending span', turn).textContent = 'Stopping …';
    call('stop', asked.id);
  }
};
// What is new stands at the top; where there is a keyboard one can type on, and on a phone the answer is not covered by one.
const reveal = (turn) => {
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  turn.scrollIntoView({block: 'start', behavior: calm ? 'auto' : 'smooth'});
  if (matchMedia('(pointer: fine)').matches) box.focus({preventScroll: true}); else box.blur();
};
const send = () => {
  ask(box.value);
  box.value = '';
  grow();
};
const grow = () => {
  box.style.height = 'auto';
  box.style.height = `${Math.min(box.scrollHeight, 160)}px`;
};
const edit = (line) => {
  const field = make('textarea', {value: $('q', line).textContent, rows: 2, maxLength: limits.question});
  field.setAttribute('aria-label', 'The question as it should be understood');
  const form = make('form', {className: 'edit'}, field, make('button', {type: 'submit', textContent: 'Ask again'}), action('unedit', 'Cancel'));
  line.hidden = true;
  line.after(form);
  field.focus();
};
const unedit = (form) => {
  const line = form.previousElementSibling;
  form.remove();
  line.hidden = false;
  $('button', line).focus();
};

// --- one panel beside the chat, or over it on a phone: a source, the documents, the history ---

let opener = null;
const show = (part) => {
  for (const one of panel.querySelectorAll('[data-part]')) one.hidden = one.dataset.part !== part;
  panel.setAttribute('aria-label', $(`[data-part=${part}]`).dataset.label);
  opener = document.activeElement;
  if (!panel.open) wide.matches ? panel.show() : panel.showModal();
  element.classList.add('with-panel');
};
const hide = () => {
  if (!element.classList.contains('with-panel')) return;
  element.classList.remove('with-panel');
  $('[aria-current=location]')?.removeAttribute('aria-current');
  panel.close();
  (opener?.isConnected ? opener : box).focus({preventScroll: true});
};
panel.addEventListener('close', hide); // a phone's back gesture
panel.addEventListener('click', (event) => {
  if (event.target === panel && panel.matches(':modal')) hide(); // beside the sheet
});

const quoteOf = (button) => {
  const {quotes, nearest} = button.closest('.turn').answer;
  return (quotes.length ? quotes : nearest)[Number(button.dataset.quote)];
};
let shown = null;
const showSource = async (button) => {
  const part = $('[data-part=source]');
  part.replaceChildren(make('p', {className: 'notice pending', textContent: 'Opening …'}));
  show('source');
  opener = button;
  $('[aria-current=location]')?.removeAttribute('aria-current');
  $(`.quote:has([data-quote="${button.dataset.quote}"])`, button.closest('.turn'))?.setAttribute('aria-current', 'location');
  shown = quoteOf(button);
  const said = await call('show_source', {quote: shown});
  if (said.problem) return part.replaceChildren(problem(said.problem));
  part.innerHTML = said.html;
  const text = $('.document', part);
  text.focus({preventScroll: true});
  const mark = $('mark', text);
  if (mark) text.scrollTop += mark.getBoundingClientRect().top - text.getBoundingClientRect().top - text.clientHeight / 3;
};
const showMore = async (button) => {
  const [text, place] = [button.closest('.document'), button.closest('li')];
  const below = text.scrollHeight - text.scrollTop;
  const earlier = button.dataset.do === 'earlier';
  const said = await call('show_source', {quote: shown, at: Number(button.dataset.at), earlier});
  if (said.problem) return place.append(problem(said.problem));
  place.insertAdjacentHTML('afterend', said.html);
  place.remove();
  if (earlier) text.scrollTop = text.scrollHeight - below;
  text.focus({preventScroll: true});
};

// --- documents ---

const chosen = new Set(); // asked only in these; in all when empty
let sources = []; // of the listed entries
let job = null;
const entryOf = (inside) => sources[Number(inside.closest('.entry').dataset.entry)];

let listed = 0;
const listDocuments = async () => {
  const mine = ++listed;
  const said = await call('list_documents', {search: $('.search').value, chosen: [...chosen]});
  if (mine !== listed) return; // more was typed meanwhile
  if (said.problem) return $('.job').replaceChildren(problem(said.problem));
  sources = said.sources;
  $('.entries').innerHTML = said.html;
  $('.count').textContent = `${said.total.toLocaleString()} in ${said.folder}, with ${said.passages.toLocaleString()} passages`;
  $('.search').hidden = said.total <= 8;
  $('[data-part=documents] .rest').textContent =
    said.found > sources.length ? `and ${(said.found - sources.length).toLocaleString()} more: search to find them` :
    said.total && !said.found ? 'No document has this in its name or title.' : '';
  $('[data-do=update]').classList.toggle('main', said.stale);
};
const drawChips = () => {
  const list = $('.chips');
  const names = [...chosen];
  list.replaceChildren(...names.slice(0, 5).map((name) => {
    const chip = action('unchoose', name, `Do not ask only in ${name}`);
    chip.source = name;
    return make('li', {}, chip);
  }));
  if (names.length > 5) list.append(make('li', {textContent: `and ${names.length - 5} more`}));
  if (names.length) list.prepend(make('li', {textContent: 'in'}));
  list.hidden = !names.length;
};
const choose = (name, on) => {
  if (on) chosen.add(name); else chosen.delete(name);
  drawChips();
};
const confirmRemoval = (button) => {
  const entry = button.closest('.entry');
  const asking = make('p', {className: 'confirm'}, 'Delete this file from the folder? ', action('delete', 'Delete'), action('keep', 'Keep'));
  button.hidden = true;
  entry.append(asking);
  $('[data-do=keep]', asking).focus();
};
const removeDocument = async (button) => {
  const name = entryOf(button);
  button.disabled = true;
  const said = await call('remove', name);
  choose(name, false);
  if (said.problem) $('.job').replaceChildren(problem(said.problem)); else $('.job').innerHTML = said.html;
  await changed();
};
const changed = async () => {
  await listDocuments();
  if ($('.welcome')) await greet();
};

const STAGES = {listing: 'Listing', reading: 'Reading', embedding: 'Taking in passages', publishing: 'Saving'};
const progress = (text, done, total) => {
  let bar = $('.job progress');
  if (!bar) {
    bar = make('progress');
    bar.setAttribute('aria-label', 'Progress');
    $('.job').replaceChildren(make('p'), bar);
  }
  $('.job p').textContent = text;
  bar.max = total || 1;
  if (total) bar.value = done; else bar.removeAttribute('value');
};
const begin = (work, files = [], refused = []) => {
  job = {id: number(), refused};
  for (const button of element.querySelectorAll('.job-button, .drop input')) button.disabled = true;
  progress('Starting …', 0, 0);
  trigger('manage', {job: job.id, work, files});
};
const finish = (html) => {
  $('.job').innerHTML = html;
  $('.job').append(...job.refused.map(problem));
  job = null;
  for (const button of element.querySelectorAll('.job-button, .drop input')) button.disabled = false;
  return changed();
};
document.addEventListener('folio:job', ({detail: said}) => {
  if (!job || said?.job !== job.id) return;
  if (said.html) return finish(said.html);
  const count = said.total > 1 ? ` · ${said.done.toLocaleString()} of ${said.total.toLocaleString()}` : '';
  progress(`${STAGES[said.stage]} ${said.source}`.trim() + count, said.done, said.total);
});
document.addEventListener('folio:job-failed', () => {
  if (job) finish(problem('That went wrong; the terminal that runs Folio says why. The index as it was still answers.').outerHTML);
});

const add = async (files) => {
  if (!files.length || job) return;
  const size = files.reduce((sum, file) => sum + file.size, 0) / 2 ** 20;
  const refuse = (text) => $('.job').replaceChildren(problem(text));
  if (files.length > limits.files) return refuse(`These are ${files.length} files; add at most ${limits.files} at once (RAG_UPLOAD_FILES).`);
  if (size > limits.megabytes) return refuse(`These are ${Math.ceil(size)} MB; add at most ${limits.megabytes} MB at once (RAG_UPLOAD_MB).`);
  job = {id: number(), refused: []};
  const [sent, refused] = [[], []];
  for (const [at, file] of files.entries()) {
    progress(`Copying ${file.name} · ${at + 1} of ${files.length}`, at, files.length);
    if (file.size > limits.file_megabytes * 2 ** 20) {
      refused.push(`${file.name} is larger than ${limits.file_megabytes} MB (RAG_MAX_FILE_MB).`);
      continue;
    }
    try {
      sent.push({name: file.name, path: (await upload(file)).path});
    } catch {
      refused.push(`${file.name} could not be transferred; is it a file that can be read?`);
    }
  }
  if (sent.length) return begin('add', sent, refused);
  job = null;
  $('.job').replaceChildren(...refused.map(problem));
};

// --- what is clicked, typed and dropped ---

const copy = async (button) => {
  const figure = button.closest('figure');
  const place = `${$('.source', figure).textContent}, ${$('.line', figure).textContent}`;
  const text = `“${$('blockquote', figure).textContent}” — ${place}`;
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else { // over plain HTTP from another machine
    const field = make('textarea', {value: text});
    figure.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
    button.focus();
  }
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 1600);
};
const rate = async (button, good) => {
  const [group, {answer}] = [button.closest('.rate'), button.closest('.turn')];
  const said = await call('rate', {answer, good});
  if (!said.problem) for (const one of group.querySelectorAll('button')) one.setAttribute('aria-pressed', one === button);
  $('.thanks', group).textContent = said.text ?? said.problem;
};
const actions = {
  new: start,
  history: () => { listConversations(); show('history'); },
  documents: () => { show('documents'); return listDocuments(); },
  close: hide,
  example: (button) => ask(button.textContent),
  source: showSource,
  earlier: showMore,
  later: showMore,
  copy,
  good: (button) => rate(button, true),
  bad: (button) => rate(button, false),
  stop: (button) => stop(button.closest('.turn')),
  edit: (button) => edit(button.closest('.understood')),
  unedit: (button) => unedit(button.closest('form')),
  open: (button) => { const {id} = button.closest('li').dataset; hide(); return open(id); },
  markdown: (button) => save(button.closest('li').dataset.id, 'markdown'),
  json: (button) => save(button.closest('li').dataset.id, 'json'),
  forget: (button) => {
    const {id} = button.closest('li').dataset;
    keep(kept().filter((one) => one.id !== id));
    listConversations();
    $('.close').focus();
    if (id === conversation.id) { thread.replaceChildren(); conversation = fresh(); return greet(); }
  },
  unchoose: (button) => { choose(button.source, false); box.focus(); return listDocuments(); },
  remove: confirmRemoval,
  keep: (button) => { const entry = button.closest('.entry'); $('.confirm', entry).remove(); $('.remove', entry).hidden = false; $('.remove', entry).focus(); },
  delete: removeDocument,
  update: () => begin('update'),
  rebuild: () => begin('rebuild'),
};
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (button) actions[button.dataset.do](button);
});
element.addEventListener('submit', (event) => {
  event.preventDefault();
  const form = event.target;
  if (form.classList.contains('edit')) {
    const question = $('textarea', form).value;
    unedit(form);
    ask(question, true);
  } else send();
});
element.addEventListener('change', ({target}) => {
  if (target.name === 'file') choose(entryOf(target), target.checked);
  if (target.type === 'file') { add([...target.files]); target.value = ''; }
});
element.addEventListener('input', ({target}) => {
  if (target === box) grow();
  if (target.matches('.search')) listDocuments();
});
element.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.target.matches('textarea')) {
    event.preventDefault();
    event.target.form.requestSubmit();
  }
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  if (event.target.closest?.('.edit')) unedit(event.target.closest('.edit'));
  else if (panel.open) { event.preventDefault(); hide(); }
  else if (asked) stop(asked.turn);
});
document.addEventListener('dragover', (event) => {
  if (!event.dataTransfer.types.includes('Files')) return;
  event.preventDefault();
  element.classList.add('dropping');
});
document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) element.classList.remove('dropping'); });
document.addEventListener('drop', (event) => {
  element.classList.remove('dropping');
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  if (!panel.open || $('[data-part=documents]').hidden) actions.documents();
  add([...event.dataTransfer.files]);
});

const last = sessionStorage.getItem('folio.current');
if (last) open(last); else greet();
box.focus({preventScroll: true});
