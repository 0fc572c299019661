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
  const idle = () => new Promise((done) => ("requestIdleCallback" in window ? requestIdleCallback(done, { timeout: 500 }) : setTimeout(done, 20)));

  // An explorer is drawn when the reader comes near it, one at a time; the rest a few seconds later, so that the page
  // answers at once and is whole when it is printed.  The event "vi-draw" asks for all of them now.
  const all = new Promise((done) => {
    addEventListener("vi-draw", done);
    addEventListener("load", () => setTimeout(done, 6000));
  });
  const waiting = new Map();
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) waiting.get(target)();
  }, { rootMargin: "600px 0px" });
  const drawn = [];
  let last = Promise.resolve();

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
    const close = new Promise((come) => waiting.set(el, come));
    near.observe(el);
    drawn.push(Promise.race([all, close]).then(() => (last = last.then(async () => {
      near.unobserve(el);
      await idle();
      const { default: widget } = await load(state._esm);
      await widget.initialize?.({ model });
      await widget.render({ model, el });
    }))));
  }
  await Promise.all(drawn);
  document.documentElement.dataset.explorers = "ready";
})();
