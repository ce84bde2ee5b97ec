// Runs admin.js on stand-ins for the page's elements. Input: elements, canned answers, actions; output: what can be seen.

import { readFileSync } from "node:fs";
import vm from "node:vm";

const input = JSON.parse(readFileSync(0, "utf8"));
const requests = [];
let keys = 0;
const progress = [];

class Fake {
  constructor(tag, facts = {}) {
    Object.assign(this, { tagName: tag, hidden: false, disabled: false, checked: false, value: "", children: [], files: [] }, facts);
    this.listeners = {};
    this.attributes = {};
    this.text = facts.text ?? "";
    this.classes = new Set();
    this.classList = {
      add: (name) => this.classes.add(name),
      toggle: (name, on) => (on ? this.classes.add(name) : this.classes.delete(name)),
    };
  }
  get textContent() { return this.text + this.children.map((c) => (typeof c === "string" ? c : c.textContent)).join(" "); }
  set textContent(text) {
    this.text = String(text);
    this.children = [];
    if (this.id === "sdProgressText" && progress.at(-1) !== this.text) progress.push(this.text);
  }
  addEventListener(kind, listener) { (this.listeners[kind] ??= []).push(listener); }
  async fire(kind) {
    for (const listener of this.listeners[kind] ?? []) await listener({ target: this, preventDefault() {} });
  }
  append(...parts) { this.children.push(...parts); }
  replaceChildren(...parts) { this.text = ""; this.children = parts; }
  setAttribute(name, value) { this.attributes[name] = value; }
  removeAttribute(name) { delete this.attributes[name]; }
  setCustomValidity(text) { this.validity = text; }
  reportValidity() {}
  focus() {}
  reset() { for (const [id, facts] of Object.entries(input.elements)) elements[id].checked = facts.checked ?? false; }
  showModal() { this.open = true; }
  close() { this.open = false; }
  querySelectorAll() {
    const all = (element) => element.children.flatMap((c) => (c instanceof Fake ? [c, ...all(c)] : []));
    return all(this).filter((element) => element.type === "checkbox" && element.checked);
  }
}

const elements = {};
for (const [id, facts] of Object.entries(input.elements)) elements[id] = new Fake(facts.tag, { id, ...facts });

async function fetch(path, options = {}) {
  const method = options.method ?? "GET";
  const form = options.body instanceof FormData
    ? Object.fromEntries([...options.body].map(([k, v]) => [k, typeof v === "string" ? v : "(file)"]))
    : null;
  requests.push({ method, path, form, headers: options.headers });
  const given = input.answers[`${method} ${path.split("?")[0]}`];
  // One answer, or a list of them for one request after the other.
  const answer = Array.isArray(given) && typeof given[0] !== "number" ? given.shift() : given;
  if (answer === undefined || answer === "down") throw new TypeError(`no answer to ${method} ${path}`);
  const [status, body] = answer;
  return { ok: status < 400, status, json: async () => body ?? JSON.parse("") };
}

class EventSource {
  static CLOSED = 2;
  constructor() {
    this.listeners = {};
    queueMicrotask(() => {
      for (const [kind, data] of input.events ?? []) {
        for (const listener of this.listeners[kind] ?? []) listener({ data: JSON.stringify(data) });
      }
    });
  }
  addEventListener(kind, listener) { (this.listeners[kind] ??= []).push(listener); }
  close() {}
}

const context = vm.createContext({
  document: { getElementById: (id) => elements[id], createElement: (tag) => new Fake(tag) },
  fetch, EventSource, FormData, crypto: { randomUUID: () => `attempt-${++keys}` }, confirm: () => true, queueMicrotask,
  setTimeout: () => {}, Option: class extends Fake { constructor(text, value) { super("option", { text, value }); } },
});
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

vm.runInContext(readFileSync(input.script, "utf8"), context);
await settle();
for (const [what, id, value] of input.actions) {
  if (what === "set") Object.assign(elements[id], value);
  else elements[id].fire(what);
  await settle();
}
const seen = Object.fromEntries(Object.entries(elements).map(([id, e]) => [id, {
  text: e.textContent, hidden: e.hidden, disabled: e.disabled, checked: e.checked, open: e.open ?? false,
  classes: [...e.classes], validity: e.validity ?? "",
}]));
console.log(JSON.stringify({ seen, requests, progress }));
