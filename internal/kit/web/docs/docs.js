// Shows /v1/openapi.json: operations by tag, what they take and answer, the
// schemas, and a form that sends a request. Text is only ever set as text.
'use strict';

const methods = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options'];

// make builds an element; properties are set on it, children appended.
function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const schemaName = (schema) => (schema && schema.$ref ? schema.$ref.split('/').pop() : '');

// typeText names the type of a schema in a few words.
function typeText(schema) {
  if (!schema) return '';
  if (schema.$ref) return schemaName(schema);
  if (schema.oneOf) return schema.oneOf.map(typeText).join(' or ');
  const types = [].concat(schema.type || 'any');
  const text = types.map((type) => (type === 'array' ? `list of ${typeText(schema.items)}` : type)).join(' or ');
  return schema.format ? `${text} (${schema.format})` : text;
}

// bounds says what else must hold for a value.
function bounds(schema) {
  const words = [];
  if (schema.enum) words.push('one of ' + schema.enum.join(', '));
  if (schema.default !== undefined) words.push(`default ${JSON.stringify(schema.default)}`);
  for (const [field, word] of [['minimum', 'at least'], ['maximum', 'at most'], ['minLength', 'length at least'], ['maxLength', 'length at most'], ['pattern', 'matches']]) {
    if (schema[field] !== undefined) words.push(`${word} ${schema[field]}`);
  }
  return words.join('; ');
}

function typeCell(schema) {
  if (schema && schema.oneOf) return make('td', {}, ...typeCell(schema.oneOf[0]).childNodes, ' or null');
  const inner = schema && (schema.$ref ? schema : schema.items && schema.items.$ref ? schema.items : null);
  if (!inner) return make('td', {}, typeText(schema));
  const name = schemaName(inner);
  const link = make('a', { href: '#schema-' + name }, name);
  return schema.$ref ? make('td', {}, link) : make('td', {}, 'list of ', link);
}

// rows is a table of fields or parameters.
function rows(caption, list) {
  const head = make('tr', {}, ...['Name', 'Type', 'Meaning'].map((text) => make('th', { scope: 'col' }, text)));
  const body = list.map(({ name, where, required, schema, description }) => make('tr', {},
    make('td', {}, make('code', {}, name), where || required ? make('div', { className: 'note' }, [where, required ? 'required' : ''].filter(Boolean).join(', ')) : null),
    typeCell(schema),
    make('td', {}, description || schema.description || '', make('div', { className: 'note' }, bounds(schema)))));
  const table = make('table', {}, make('thead', {}, head), make('tbody', {}, ...body));
  table.setAttribute('aria-label', caption);
  return make('div', { className: 'scroll' }, table);
}

function fieldsOf(schema) {
  const required = new Set(schema.required || []);
  return Object.entries(schema.properties || {}).map(([name, field]) => ({ name, schema: field, required: required.has(name) }));
}

// example is a value that fits the schema, to begin with.
function example(schema, all, depth = 0) {
  if (!schema || depth > 4) return null;
  if (schema.$ref) return example(all[schemaName(schema)], all, depth + 1);
  if (schema.examples) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const type = [].concat(schema.type || '')[0];
  if (type === 'object') {
    const required = schema.required || [];
    return Object.fromEntries(required.filter((name) => (schema.properties || {})[name]).map((name) => [name, example(schema.properties[name], all, depth + 1)]));
  }
  if (type === 'array') return [];
  if (type === 'integer' || type === 'number') return schema.minimum || 0;
  if (type === 'boolean') return false;
  return '';
}

function contentOf(part) {
  const [type, media] = Object.entries((part && part.content) || {})[0] || [];
  return { type, schema: media && media.schema };
}

// operation shows one method of one path.
function operation(path, method, op, all) {
  const inside = make('div', { className: 'inside' });
  const box = make('details', { id: op.operationId }, make('summary', {},
    make('span', { className: 'method ' + method }, method.toUpperCase()),
    make('h3', { className: 'path' }, path), make('span', { className: 'words' }, op.summary || '')), inside);
  box.addEventListener('toggle', () => { if (box.open && !inside.hasChildNodes()) fill(inside, path, method, op, all); });
  return box;
}

function fill(inside, path, method, op, all) {
  if (op.description) inside.append(make('p', {}, op.description));
  const scopes = op.security && op.security[0] && op.security[0].key;
  inside.append(make('p', { className: 'note' }, !scopes ? 'Needs no key.' : scopes.length ? 'Needs the scope ' + scopes.join(', ') + '.' : 'Needs a key.'));
  const parameters = (op.parameters || []).map((p) => ({ name: p.name, where: p.in, required: p.required, schema: p.schema || {}, description: p.description }));
  if (parameters.length) inside.append(make('h4', {}, 'Parameters'), rows('Parameters', parameters));
  const body = contentOf(op.requestBody);
  if (body.type) inside.append(make('h4', {}, 'Body ', make('code', {}, body.type)), shape(body.schema, all));
  for (const [status, answer] of Object.entries(op.responses || {})) {
    if (status === 'default') continue;
    const content = contentOf(answer);
    inside.append(make('h4', {}, `Answer ${status} `, make('code', {}, content.type || 'without a body')));
    if (content.schema) inside.append(shape(content.schema, all));
  }
  inside.append(make('h4', {}, 'Try it'), tryIt(path, method, parameters, body, all));
}

// shape shows the fields of a schema, or its type when it has none.
function shape(schema, all) {
  if (!schema) return make('p', {}, '');
  const target = schema.$ref ? all[schemaName(schema)] || {} : schema;
  const fields = fieldsOf(target);
  if (!fields.length) return make('p', { className: 'note' }, typeText(schema));
  return rows('Fields', fields);
}

// tryIt is a form that sends the request from here.
function tryIt(path, method, parameters, body, all) {
  const form = make('form');
  const inputs = parameters.map((p) => {
    const input = make('input', { name: p.name, required: p.where === 'path', autocomplete: 'off' });
    form.append(make('label', {}, make('code', {}, p.name), ' ', input));
    return { p, input };
  });
  let text = null;
  let file = null;
  if (body.type && body.type.endsWith('json')) {
    text = make('textarea', { spellcheck: false, value: JSON.stringify(example(body.schema, all), null, 2) });
    form.append(make('label', {}, 'Body', text));
  } else if (body.type) {
    file = make('input', { type: 'file' });
    form.append(make('label', {}, make('code', {}, 'body'), ' ', file));
  }
  const result = make('div', { role: 'status' });
  form.append(make('button', { type: 'submit' }, 'Send'), result);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    send(path, method, inputs, text ? text.value : file && file.files[0], body.type, result);
  });
  return form;
}

// limit bounds how much of an answer is shown; streams of events never end.
const limit = 100000;

async function send(path, method, inputs, body, type, result) {
  const headers = new Headers({ 'X-Liuyun': '1' });
  const query = new URLSearchParams();
  let target = path;
  for (const { p, input } of inputs) {
    if (!input.value) continue;
    if (p.where === 'path') target = target.replace(`{${p.name}}`, encodeURIComponent(input.value));
    if (p.where === 'query') query.set(p.name, input.value);
    if (p.where === 'header') headers.set(p.name, input.value);
  }
  const key = document.getElementById('key').value.trim();
  if (key) headers.set('Authorization', 'Bearer ' + key);
  if (body) headers.set('Content-Type', type);
  const url = target + (query.size ? '?' + query : '');
  result.replaceChildren(make('p', { className: 'note' }, 'Waiting for the answer …'));
  const stop = new AbortController();
  try {
    const answer = await fetch(url, { method: method.toUpperCase(), headers, body: body || undefined, signal: stop.signal });
    const pre = make('pre', { tabIndex: 0 });
    result.replaceChildren(make('p', { className: answer.ok ? 'note' : 'error' }, `${answer.status} ${answer.statusText}`), pre);
    if (!answer.body) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let shown = '';
    for (let next = await reader.read(); !next.done && shown.length < limit; next = await reader.read()) {
      shown += next.value;
      pre.textContent = shown;
    }
    stop.abort();
    try { pre.textContent = JSON.stringify(JSON.parse(shown), null, 2); } catch { /* it is not JSON: shown as it is */ }
  } catch (problem) {
    result.append(make('p', { className: 'error' }, String(problem)));
  }
}

// show puts the document on the page.
function show(api) {
  const all = (api.components && api.components.schemas) || {};
  document.title = `${api.info.title} ${api.info.version}`;
  document.getElementById('title').textContent = document.title;
  const main = document.getElementById('operations');
  const contents = document.getElementById('contents');
  main.replaceChildren();
  const entries = [];
  const byTag = new Map((api.tags || []).map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of methods.filter((name) => item[name])) {
      const tag = (item[method].tags || ['Others'])[0];
      if (!byTag.has(tag)) byTag.set(tag, []);
      byTag.get(tag).push([path, method, item[method]]);
    }
  }
  const group = (title, list) => {
    const section = make('section', {}, make('h2', {}, title));
    const links = make('ul');
    for (const { element, words, label } of list) {
      const link = make('li', {}, make('a', { href: '#' + element.id }, label));
      section.append(element);
      links.append(link);
      entries.push({ element, link, words: words.toLowerCase(), section });
    }
    main.append(section);
    const heading = make('li', {}, make('span', { className: 'tag' }, title), links);
    contents.append(heading);
    return { section, heading };
  };
  const groups = [...byTag].filter(([, list]) => list.length).map(([tag, list]) => group(tag, list.map(([path, method, op]) => ({
    element: operation(path, method, op, all), label: op.summary || `${method.toUpperCase()} ${path}`, words: JSON.stringify([tag, method, path, op]),
  }))));
  groups.push(group('Schemas', Object.entries(all).map(([name, schema]) => ({
    element: make('details', { id: 'schema-' + name }, make('summary', {}, make('h3', {}, name)),
      make('div', { className: 'inside' }, schema.description ? make('p', {}, schema.description) : null, shape(schema, all))),
    label: name, words: JSON.stringify([name, schema]),
  }))));
  const search = document.getElementById('search');
  search.addEventListener('input', () => filter(search.value, entries, groups));
  window.addEventListener('hashchange', openTarget);
  openTarget();
}

// filter hides what lacks one of the words.
function filter(text, entries, groups) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const entry of entries) {
    const hit = words.every((word) => entry.words.includes(word));
    entry.element.hidden = entry.link.hidden = !hit;
    found += hit ? 1 : 0;
  }
  for (const { section, heading } of groups) {
    section.hidden = heading.hidden = !entries.some((entry) => entry.section === section && !entry.element.hidden);
  }
  document.getElementById('found').textContent = words.length ? `${found} found` : '';
}

// openTarget opens what the address names.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

fetch('/v1/openapi.json')
  .then((answer) => { if (!answer.ok) throw new Error(`the document was answered with ${answer.status}`); return answer.json(); })
  .then(show)
  .catch((problem) => document.getElementById('operations').replaceChildren(make('p', { className: 'error', role: 'alert' }, String(problem))));
