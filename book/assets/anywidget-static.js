// Draws the explorers on the built page, with no kernel, from the widget state that myst-nb stores in the page.
(async () => {
  const here = document.currentScript.src;
  const read = (kind) => [...document.querySelectorAll(`script[type="application/vnd.jupyter.widget-${kind}+json"]`)];
  const states = Object.assign({}, ...read("state").map((tag) => JSON.parse(tag.textContent).state));
  const rooms = [...document.querySelectorAll(".vi-room > div")];
  const modules = new Map(); // one module a script text, however many widgets share it
  const load = (text) => {
    if (!modules.has(text)) modules.set(text, import(URL.createObjectURL(new Blob([text], { type: "text/javascript" }))));
    return modules.get(text);
  };
  const styles = new Set();
  // One explorer at a time, each when the page has nothing better to do: no long wait before the page answers.
  const idle = () => new Promise((done) => ("requestIdleCallback" in window ? requestIdleCallback(done, { timeout: 500 }) : setTimeout(done, 20)));

  for (const tag of read("view")) {
    const { state } = states[JSON.parse(tag.textContent).model_id] ?? {};
    if (!state?._esm) continue;
    if (state._css && !styles.has(state._css)) {
      styles.add(state._css);
      document.head.append(Object.assign(document.createElement("style"), { textContent: state._css }));
    }
    const listeners = new Map();
    const tell = (name, ...what) => listeners.get(name)?.forEach((callback) => callback(...what));
    const model = {
      get: (name) => state[name],
      set(name, value) {
        if (state[name] === value) return;
        state[name] = value;
        tell("change:" + name);
      },
      save_changes() {},
      on: (name, callback) => listeners.set(name, (listeners.get(name) ?? new Set()).add(callback)),
      off: (name, callback) => listeners.get(name)?.delete(callback),
      // A file that an explorer asks its kernel for lies beside this script; no bytes say that it did not come.
      async send({ file }) {
        const bytes = await fetch(new URL(file, here)).then((answer) => (answer.ok ? answer.arrayBuffer() : null)).catch(() => null);
        tell("msg:custom", { file }, bytes ? [new DataView(bytes)] : []);
      },
    };
    const before = rooms.filter((room) => room.compareDocumentPosition(tag) & Node.DOCUMENT_POSITION_FOLLOWING);
    const el = document.createElement("div");
    const room = before.at(-1);
    if (room && !room.dataset.filled) {
      room.dataset.filled = "true";
      room.append(el);
    } else tag.after(el);
    await idle();
    const { default: widget } = await load(state._esm);
    await widget.initialize?.({ model });
    await widget.render({ model, el });
  }
  document.documentElement.dataset.explorers = "ready";
})();
