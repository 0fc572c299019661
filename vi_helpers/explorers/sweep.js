// Sweep: a range input over frames drawn beforehand.
function render({ model, el }) {
  const frames = model.get("frames"), labels = model.get("labels"), alts = model.get("alts");
  const root = document.createElement("div");
  root.className = "vi-explorer";
  root.dataset.kind = "Sweep";
  root.viModel = model; // tests and scripts read and set the traits here
  const row = document.createElement("label");
  row.className = "vi-control";
  const name = document.createElement("span");
  name.textContent = model.get("name");
  const range = document.createElement("input");
  Object.assign(range, { type: "range", min: 0, max: frames.length - 1, step: 1, value: model.get("index") });
  range.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys
  const output = document.createElement("output");
  row.append(name, range, output);
  const image = document.createElement("img");
  image.loading = "lazy";
  image.width = model.get("width");
  image.height = model.get("height");
  image.style.aspectRatio = `${model.get("width")} / ${model.get("height")}`;
  root.append(row, image);
  el.append(root);

  const show = () => {
    const i = model.get("index");
    range.value = i;
    range.setAttribute("aria-valuetext", labels[i]);
    output.textContent = labels[i];
    image.src = frames[i];
    image.alt = alts[i];
  };
  // The frames are fetched when the reader comes near, and then held, so that each step is there at once.
  const held = [];
  const near = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    near.disconnect();
    for (const source of frames) held.push(Object.assign(new Image(), { src: source }));
    Promise.allSettled(held.map((frame) => frame.decode())).then(() => root.removeAttribute("aria-busy"));
  }, { rootMargin: "800px 0px" });
  root.setAttribute("aria-busy", "true");
  near.observe(root);
  range.addEventListener("input", () => {
    model.set("index", Number(range.value));
    model.save_changes();
  });
  model.on("change:index", show);
  show();
  return () => {
    near.disconnect();
    model.off("change:index", show);
  };
}
export default { render };
