// Draws the explorers on the built page, with no kernel, from the widget state that myst-nb stores in the page.
(async () => {
  const read = (kind) => [...document.querySelectorAll(`script[type="application/vnd.jupyter.widget-${kind}+json"]`)];
  const states = Object.assign({}, ...read("state").map((tag) => JSON.parse(tag.textContent).state));
  const rooms = [...document.querySelectorAll(".vi-room > div")];
  const modules = new Map(); // one module a script text, however many widgets share it
  const load = (text) => {
    if (!modules.has(text)) modules.set(text, import(URL.createObjectURL(new Blob([text], { type: "text/javascript" }))));
    return modules.get(text);
  };
  const styles = new Set();

  for (const tag of read("view")) {
    const { state } = states[JSON.parse(tag.textContent).model_id] ?? {};
    if (!state?._esm) continue;
    if (state._css && !styles.has(state._css)) {
      styles.add(state._css);
      document.head.append(Object.assign(document.createElement("style"), { textContent: state._css }));
    }
    const events = new EventTarget();
    const model = {
      get: (name) => state[name],
      set(name, value) {
        if (state[name] === value) return;
        state[name] = value;
        events.dispatchEvent(new Event("change:" + name));
      },
      save_changes() {},
      on: (name, callback) => events.addEventListener(name, callback),
      off: (name, callback) => events.removeEventListener(name, callback),
    };
    const before = rooms.filter((room) => room.compareDocumentPosition(tag) & Node.DOCUMENT_POSITION_FOLLOWING);
    const el = document.createElement("div");
    const room = before.at(-1);
    if (room && !room.dataset.filled) {
      room.dataset.filled = "true";
      room.append(el);
    } else tag.after(el);
    const { default: widget } = await load(state._esm);
    await widget.initialize?.({ model });
    await widget.render({ model, el });
  }
  document.documentElement.dataset.explorers = "ready";
})();
