const $ = (id) => document.getElementById(id);
let facts, state, at = -1, picked = [], busy = false;
const heard = new Map();  // question → promise of its sound's HTML

// The answer, or one of status 0 where the server has ended, which is said.
const ask = async (route, sent) => {
  try {
    const answer = await fetch(route, sent === undefined ? {} : { method: 'POST', body: JSON.stringify(sent) });
    const text = await answer.text();
    return { status: answer.status, text, body: answer.headers.get('Content-Type')?.startsWith('application/json') ? JSON.parse(text) : {} };
  } catch {
    say('The server does not answer: it has ended. What was decided is saved; start earmark review again.', true);
    return { status: 0, text: '', body: {} };
  }
};
const say = (text, trouble = false) => { $('said').textContent = text; $('said').classList.toggle('trouble', trouble); };
const node = (kind, text, attributes = {}) => {
  const made = document.createElement(kind);
  if (text) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};
const named = (labels) => labels.length ? labels.join(', ') : 'no label';
const isOpen = (number) => ['', 'skip'].includes(state.questions[number].decision);
const isShown = (number) => {
  const question = facts.questions[number], shown = $('shown').value;
  return (shown === '' || (shown === 'open') === isOpen(number))
    && (!$('kind').value || question.kind === $('kind').value)
    && (!$('label').value || question.label === $('label').value);
};
const all = () => [...facts.questions.keys()];
const next = (from, step = 1, fits = isShown) => {
  const n = facts.questions.length;
  for (let ahead = 1; ahead <= n; ahead++) {
    const number = (((from + step * ahead) % n) + n) % n;
    if (fits(number)) return number;
  }
  return -1;
};

const words = {
  keep: (labels) => `kept: ${named(labels)}`, relabel: (labels) => `relabelled: ${named(labels)}`, label: (labels) => `labelled: ${named(labels)}`,
  unsure: () => 'nobody can tell', drop: () => 'the clip is left out', skip: () => 'put off',
};
const kinds = { given: 'given, but probably wrong', missing: 'missing, but probably there', copy: 'the same sound has other labels elsewhere', label: 'to be labelled' };

const soundOf = (number) => {
  if (number < 0) return Promise.resolve('');
  if (!heard.has(number)) {
    if (heard.size > 40) heard.delete(heard.keys().next().value);
    heard.set(number, ask(`sound/${number}`).then((answer) => answer.text));
  }
  return heard.get(number);
};

const show = (number, focus = true) => {
  const moved = number !== at;
  at = number;
  const decided = all().filter((each) => !isOpen(each)).length, n = facts.questions.length;
  $('progress').max = Math.max(n, 1);
  $('progress').value = decided;
  $('count').textContent = `${decided} of ${n} decided`;
  $('question').hidden = at < 0;
  $('finished').hidden = at >= 0;
  if (at < 0) return finish(focus);
  const question = facts.questions[at], now = state.questions[at];
  if (moved) { picked = [...now.labels]; $('why').value = ''; }
  const rank = all().filter(isShown), place = rank.indexOf(at);
  $('position').textContent = `${place < 0 ? '–' : place + 1} of ${rank.length} shown · ${kinds[question.kind]}`;
  asked(question);
  $('where').textContent = question.name;
  $('stands').hidden = !now.decision;
  if (now.decision) $('stands').textContent = `Decided: ${words[now.decision](now.labels)}.`;
  scores(question);
  choices(question);
  actions(question);
  if (moved) listen(number);
  if (focus) $('asked').focus({ preventScroll: !moved });
  if (focus && moved) scrollTo({ top: 0 });
};

const asked = (question) => {
  const label = node('b'), name = node('bdi', question.label);
  label.append(name);
  const parts = {
    given: [facts.several ? 'Is there ' : 'Is it ', label, '?'], missing: ['Is there ', label, ' too?'], label: ['What is this?'],
  };
  const kind = question.kind !== 'copy' ? question.kind : question.given.includes(question.label) ? 'given' : 'missing';
  $('asked').replaceChildren(...parts[kind]);
};

const scores = (question) => {
  $('scores').hidden = !question.scores.length;
  $('scores').tBodies[0].replaceChildren(...question.scores.map(([label, score]) => {
    const row = node('tr'), bar = node('div', '', { class: 'bar' }), fill = node('i');
    const name = node('th', '', { scope: 'row' });
    name.append(node('bdi', label));
    if (question.given.includes(label)) name.append(' ', node('span', 'given', { class: 'mark' }));
    if (label === question.label) row.className = 'asked';
    fill.style.width = `${100 * score}%`;
    bar.append(fill);
    const cell = node('td');
    cell.append(bar);
    row.append(name, cell, node('td', score.toFixed(2), { class: 'n' }));
    return row;
  }));
};

// Up to nine labels keep their digits from clip to clip; of more the likeliest come first.
const offered = () => {
  const likely = state.labels.length > 9 ? facts.questions[at].scores.map(([label]) => label) : [];
  return [...new Set([...likely, ...state.labels])].slice(0, 9);
};
const choices = (question) => {
  $('choices').hidden = question.kind !== 'label';
  if (question.kind !== 'label') return;
  $('choices').replaceChildren(...offered().map((label, number) => {
    const button = node('button', '', { type: 'button', 'aria-keyshortcuts': number + 1 });
    if (facts.several) button.setAttribute('aria-pressed', picked.includes(label));
    button.append(node('span', label), node('kbd', number + 1));
    button.addEventListener('click', () => choose(label));
    return button;
  }));
};
const choose = (label) => {
  if (!facts.several) return decide('label', [label]);
  picked = picked.includes(label) ? picked.filter((each) => each !== label) : [...picked, label];
  choices(facts.questions[at]);
};

const actions = (question) => {
  const button = (name) => document.querySelector(`.actions [data-do=${name}]`);
  const labels = question.kind === 'label', given = question.given.includes(question.label);
  button('accept').hidden = button('keep').hidden = labels;
  button('save').hidden = !labels || !facts.several;
  const suggestion = !facts.several ? `No, it is ${named(question.suggested)}` : given ? `No, not ${question.label}` : `Yes, ${question.label} too`;
  button('accept').firstChild.textContent = suggestion;
  button('keep').firstChild.textContent = given ? `Yes, ${question.label}` : `No, not ${question.label}`;
  button('relabel').firstChild.textContent = labels && facts.grows ? 'Another label…' : 'Other labels…';
};

const listen = async (number) => {
  $('sounds').replaceChildren();
  const html = await soundOf(number);
  if (number !== at) return;
  $('sounds').innerHTML = html;
  wireSounds();
  if ($('autoplay').checked) play();
  soundOf(next(at, 1, (each) => isShown(each) && isOpen(each)));
};
const play = () => {
  const players = [...document.querySelectorAll('#sounds audio')];
  const playing = players.findIndex((each) => !each.paused);
  if (playing >= 0) players[playing].pause();
  const wanted = playing < 0 ? players[0] : players[playing + 1];  // of two, one after the other
  if (wanted) { if (wanted.ended || wanted.currentTime === wanted.duration) wanted.currentTime = 0; wanted.play().catch(() => {}); }
};

const finish = (focus) => {
  const n = facts.questions.length, open = all().filter(isOpen).length, tally = {};
  for (const each of state.questions) if (each.decision) tally[each.decision] = (tally[each.decision] ?? 0) + 1;
  $('nothing').textContent = open ? 'Nothing more to show here.' : n ? 'All is decided.' : 'There is nothing to decide.';
  const told = { keep: 'kept', relabel: 'relabelled', label: 'labelled', unsure: 'unsure', drop: 'dropped', skip: 'put off' };
  $('tally').textContent = Object.entries(tally).map(([decision, count]) => `${count} ${told[decision]}`).join(' · ');
  if (focus) $('nothing').focus();
};

const taken = (body) => { state = body; fillLabels(); };
const decide = async (decision, labels = []) => {
  if (busy || at < 0) return;
  busy = true;
  const number = at, why = $('why').value;
  const { status, body } = await ask('decide', { number, version: state.questions[number].version, decision, labels, why });
  if (status === 409) {
    taken(body);
    at = -2;  // whatever was seen is drawn anew
    show(number);
    say('Something else was decided on this clip meanwhile. This is how it stands now.', true);
  } else if (status === 200) {
    taken(body);
    say(`${facts.questions[number].name.split('/').pop()}: ${words[decision](state.questions[number].labels)}`);
    const other = (each) => each !== number && isShown(each);
    const fresh = next(number, 1, (each) => other(each) && state.questions[each].decision !== 'skip');
    show(fresh >= 0 ? fresh : next(number));
  } else refused(status, body);
  busy = false;
};
const refused = (status, body) => { if (status) say(body.refused ?? 'That was not understood.', true); };
const undo = async () => {
  if (busy || !state) return;
  busy = true;
  const { status, body } = await ask('undo', { revision: state.revision });
  if (status === 409) {
    taken(body);
    show(at);
    say('Something was decided elsewhere meanwhile. Look, then undo again.', true);
  } else if (status === 200) {
    taken(body);
    if (!isShown(body.at)) for (const each of ['shown', 'kind', 'label']) $(each).value = '';
    at = -2;
    show(body.at);
    say('Taken back.');
  } else refused(status, body);
  busy = false;
};
const refresh = async () => {
  if (!state || busy) return;
  const { status, body } = await ask('state');
  if (status !== 200 || busy || body.revision === state.revision) return;
  taken(body);
  show(at >= 0 ? at : next(-1), false);
};

const listed = () => {
  const typed = $('typed').value.trim().toLowerCase();
  const rank = (label) => label.toLowerCase() === typed ? 0 : label.toLowerCase().startsWith(typed) ? 1 : 2;
  const fitting = state.labels.concat(picked.filter((each) => !state.labels.includes(each))).filter((label) => label.toLowerCase().includes(typed));
  fitting.sort((a, b) => typed ? rank(a) - rank(b) : picked.includes(b) - picked.includes(a));
  const isNew = facts.grows && typed && !fitting.some((label) => label.toLowerCase() === typed);
  return isNew ? [...fitting, $('typed').value.trim()] : fitting;
};
const list = () => {
  const kind = facts.several ? 'checkbox' : 'radio';
  $('found').replaceChildren(...listed().map((label, number) => {
    const row = node('li', '', number || !$('typed').value ? {} : { class: 'best' }), line = node('label');
    const box = node('input', '', { type: kind, name: 'label' });
    box.checked = picked.includes(label);
    box.addEventListener('change', () => pick(label, box.checked));
    line.append(box, node('bdi', label));
    if (!state.labels.includes(label)) line.append(node('span', 'new', { class: 'mark' }));
    row.append(line);
    return row;
  }));
};
const pick = (label, on) => {
  const rest = picked.filter((each) => each !== label);
  picked = !facts.several ? [label] : on ? [...rest, label] : rest;
};
const chooser = () => {
  if (at < 0) return;
  if (facts.questions[at].kind !== 'label') picked = [...state.questions[at].labels];
  $('typed').value = '';
  $('how').textContent = facts.several ? 'Type to find one: Enter ticks the first. Enter with nothing typed saves.' : 'Type to find it: Enter takes the first.';
  list();
  $('chooser').showModal();
  $('typed').focus();
};
const saved = () => {
  $('chooser').close();
  decide(facts.questions[at].kind === 'label' ? 'label' : 'relabel', picked);
};

const fillLabels = () => {
  const used = [...new Set(facts.questions.map((each) => each.label))].filter(Boolean).sort();
  if ($('label').options.length - 1 === used.length) return;
  $('label').append(...used.map((label) => node('option', label, { value: label })));
};

const doing = {
  keep: () => decide('keep'), accept: () => decide('relabel', accepted()), unsure: () => decide('unsure'), drop: () => decide('drop'),
  skip: () => decide('skip'), save: () => decide('label', picked), relabel: chooser, saved, undo, play,
  back: () => show(next(at, -1)), next: () => show(next(at, 1)),
};
// What the clip has by now, with the label in question toggled: other decisions on the clip stay.
const accepted = () => {
  const question = facts.questions[at], now = state.questions[at].labels;
  if (!facts.several) return question.suggested;
  return question.given.includes(question.label) ? now.filter((each) => each !== question.label) : [...new Set([...now, question.label])];
};
const keys = {
  k: 'keep', a: 'accept', r: 'relabel', u: 'unsure', d: 'drop', s: 'skip', z: 'undo', p: 'play', ' ': 'play',
  ArrowLeft: 'back', ArrowRight: 'next', Enter: 'save',
};

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (button) doing[button.dataset.do]();
});
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || $('chooser').open) return;
  const inside = event.target.closest('input, select, audio, textarea');
  if (inside) {
    if (event.key === 'Escape' || (event.key === 'Enter' && inside === $('why'))) { $('asked').focus(); event.preventDefault(); }
    return;
  }
  if (event.target.closest('button, a') && [' ', 'Enter'].includes(event.key)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === 'w' && at >= 0) { $('why').focus(); event.preventDefault(); return; }
  if (at >= 0 && /^[1-9]$/.test(key) && facts.questions[at].kind === 'label' && offered()[key - 1]) { choose(offered()[key - 1]); return; }
  const name = keys[key], button = name && document.querySelector(`[data-do=${name}]`);
  if (!name || (button.closest('article') && at < 0) || button.hidden) return;
  event.preventDefault();
  doing[name]();
});
$('chooser').addEventListener('close', () => { if (at >= 0) choices(facts.questions[at]); });
$('typed').addEventListener('input', list);
$('typed').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter') return;
  event.preventDefault();
  const best = listed()[0];
  if (!$('typed').value.trim()) { if (facts.several || picked.length) saved(); return; }
  if (!best) return;
  pick(best, !picked.includes(best));
  if (!facts.several) return saved();
  $('typed').value = '';
  list();
});
for (const each of ['shown', 'kind', 'label']) $(each).addEventListener('change', () => show(at >= 0 && isShown(at) ? at : next(-1), false));
addEventListener('focus', refresh);
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });

(async () => {
  const [first, then] = [await ask('facts'), await ask('state')];
  if (first.status !== 200 || then.status !== 200) return;
  facts = first.body;
  taken(then.body);
  show(next(-1));
})();
