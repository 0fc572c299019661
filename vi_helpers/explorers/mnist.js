// DecoderExplorer and WalkExplorer: the reader moves z, the decoder answers, from weights that come when the reader does.

// A safetensors file: eight bytes with the length of a JSON header, the header, the tensors; all float16 here.
function layersOf(view) {
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength); // a copy: its numbers are aligned
  const length = view.getUint32(0, true), start = 8 + length;
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
  const tensor = ({ dtype, data_offsets: [from, to] }) => {
    if (dtype !== "F16") throw new TypeError(dtype);
    const stored = new Uint16Array(bytes, start + from, (to - from) / 2), values = new Float32Array(stored.length);
    for (let i = 0; i < values.length; i++) values[i] = half(stored[i]);
    return values;
  };
  const places = Object.keys(header).filter((key) => key.endsWith(".weight")).map((key) => Number(key.split(".")[1]));
  return places.sort((a, b) => a - b).map((k) => ({ weight: tensor(header[`decoder.${k}.weight`]), bias: tensor(header[`decoder.${k}.bias`]) }));
}

// float16: one bit of sign, five of exponent, ten of fraction.
const POWERS = Float64Array.from({ length: 31 }, (_, e) => 2 ** (e - 15));
function half(bits) {
  const sign = bits >> 15 ? -1 : 1, e = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  if (e === 31) return fraction ? NaN : sign * Infinity;
  return sign * (e === 0 ? fraction * POWERS[1] : (1 + fraction) * POWERS[e]);
}

const ACTIVATIONS = { relu: (h) => Math.max(h, 0), softplus: (h) => Math.max(h, 0) + Math.log1p(Math.exp(-Math.abs(h))) };

function logitsAt(layers, activate, z) {
  let input = Float64Array.from(z);
  layers.forEach(({ weight, bias }, number) => {
    const output = new Float64Array(bias.length), last = number === layers.length - 1;
    for (let row = 0, k = 0; row < output.length; row++) {
      let sum = bias[row];
      for (let j = 0; j < input.length; j++, k++) sum += weight[k] * input[j];
      output[row] = last ? sum : activate(sum);
    }
    input = output;
  });
  return input;
}

const greyOf = (logit) => 127.5 * (1 + Math.tanh(0.5 * logit)); // 255 λ
function entropyOf(logit) {
  const size = Math.abs(logit), odds = Math.exp(-size);
  return Math.log1p(odds) + (size * odds) / (1 + odds);
}

// Black on white, as the book prints digits.
function paint(canvas, grey, left = 0, top = 0) {
  const image = new ImageData(28, 28);
  image.data.fill(255);
  for (let i = 0; i < 784; i++) image.data.fill(255 - grey[i], 4 * i, 4 * i + 3);
  canvas.getContext("2d").putImageData(image, left, top);
}

// The point at t of a round trip on great circles through the codes, all of length √L, times scale.
function walk(codes, t, scale) {
  const whole = Math.floor(t), part = t - whole;
  const one = codes[whole % codes.length], two = codes[(whole + 1) % codes.length];
  const angle = Math.acos(one.reduce((sum, v, j) => sum + v * two[j], 0) / one.length);
  const a = (scale * Math.sin((1 - part) * angle)) / Math.sin(angle), b = (scale * Math.sin(part * angle)) / Math.sin(angle);
  return one.map((v, j) => a * v + b * two[j]);
}

// The two explorers: what is moved across and up the pad, and the code that stands there.
const fixed = (v) => v.toFixed(2).replace("-", "−");
const KINDS = {
  DecoderExplorer: () => ({
    across: { trait: "z1", label: "z₁", min: -3, max: 3 },
    up: { trait: "z2", label: "z₂", min: -3, max: 3 },
    code: (z1, z2) => [z1, z2],
    place: (z1, z2) => `z = (${fixed(z1)}, ${fixed(z2)})`,
    extra: [],
  }),
  WalkExplorer: (model) => ({
    across: { trait: "t", label: "t, along the walk", short: "t", min: 0, max: 4 },
    up: { trait: "scale", label: "scale", min: 0, max: 1.5 },
    code: (t, scale) => walk(model.get("codes"), t, scale),
    place: (t, scale, z) => `t = ${fixed(t)}, scale ${fixed(scale)}, |z| = ${fixed(Math.hypot(...z))}`,
    extra: [["norm", "|z|", "ink"]],
  }),
};
const STEP = 0.05, SIDE = 12; // of the sliders; of the sheet behind the point, SIDE × SIDE digits

function render({ model, el }) {
  const { across, up, code, place, extra } = KINDS[model.get("kind")](model);
  const { root, dispose } = explorer({ model, el }, [across.trait, up.trait], () => draw());
  const sliders = [across, up].map((axis) => slider(model, root, { ...axis, step: STEP, format: fixed }));
  const sheet = make("canvas", { width: 28 * SIDE, height: 28 * SIDE }), point = make("i");
  const names = [make("span", { style: "right:0;bottom:0" }, `${across.short ?? across.label} →`), make("span", { style: "left:0;top:0" }, `↑ ${up.label}`)];
  const range = ({ label, min, max }) => `${label} from ${min} to ${max}`;
  const pad = make("div", { class: "vi-pad", role: "img", "aria-label": `A sheet of ${SIDE} × ${SIDE} decoded digits: ${range(across)} left to right, ${range(up)} bottom to top. The sliders move the point on it.` }, sheet, ...names, point);
  const digit = make("canvas", { class: "vi-digit", width: 28, height: 28, role: "img", "aria-label": "No digit yet: the decoder is not loaded." });
  const side = make("div", {}, digit), stage = make("div", { class: "vi-stage" }, pad, side), note = make("p", { class: "vi-note", role: "status" });
  root.append(stage, note);
  const show = readout(side, [["ink", "ink", "ink"], ["entropy", "entropy", "q_other"], ["log_prior", "log p(z)", "prior"], ...extra]);
  const file = model.get("file"), activate = ACTIVATIONS[model.get("activation")];
  const weighs = `${(model.get("size") / 1e6).toFixed(2)} MB`;
  let layers = null, over = false;

  function draw() {
    const a = model.get(across.trait), b = model.get(up.trait), z = code(a, b);
    point.style.left = `${(100 * (a - across.min)) / (across.max - across.min)}%`;
    point.style.bottom = `${(100 * (b - up.min)) / (up.max - up.min)}%`;
    if (!layers) return;
    const logits = logitsAt(layers, activate, z), grey = logits.map(greyOf);
    const values = { ink: grey.reduce((sum, v) => sum + v, 0) / grey.length, entropy: logits.reduce((sum, l) => sum + entropyOf(l), 0), log_prior: z.reduce((sum, v) => sum + normalLogDensity(v, 0, 1), 0) };
    root.viPixels = Array.from(grey, Math.round); // tests read the digit here
    paint(digit, root.viPixels);
    digit.setAttribute("aria-label", `Decoded digit at ${place(a, b, z)}: mean grey level ${values.ink.toFixed(1)} of 255, entropy ${values.entropy.toFixed(1)} nats.`);
    show(extra.length ? { ...values, norm: Math.hypot(...z) } : values, 2);
  }

  // The sheet is drawn digit by digit while the page has nothing else to do.
  const whenIdle = window.requestIdleCallback ?? ((work) => setTimeout(work, 16));
  function drawSheet(next) {
    whenIdle((deadline) => {
      do {
        const row = Math.floor(next / SIDE), column = next % SIDE;
        const at = ({ min, max }, share) => min + (max - min) * share;
        const z = code(at(across, (column + 0.5) / SIDE), at(up, 1 - (row + 0.5) / SIDE));
        paint(sheet, logitsAt(layers, activate, z).map(greyOf), 28 * column, 28 * row);
        next += 1;
      } while (next < SIDE * SIDE && deadline?.timeRemaining() > 4);
      if (next < SIDE * SIDE && !over) drawSheet(next);
      else root.dataset.sheet = "drawn";
    });
  }

  // On a page with no kernel the loader fetches the file; in Jupyter the kernel sends it.
  function arrived(content, [bytes]) {
    if (content.file !== file || layers) return;
    try {
      layers = layersOf(bytes);
    } catch {
      return failed(); // no bytes, or not all of them
    } finally {
      root.removeAttribute("aria-busy");
    }
    const count = layers.reduce((sum, { weight, bias }) => sum + weight.length + bias.length, 0);
    note.textContent = `Drag on the sheet or use the sliders: ${count.toLocaleString("en")} weights (${weighs}) answer in this page. Ink is the mean grey level, 0 to 255; entropy is that of all 784 pixels together, in nats.`;
    draw();
    drawSheet(0);
  }
  function failed() {
    note.textContent = `The decoder (${weighs}) could not be loaded: no connection, or no such file. Reload the page to try again.`;
    const still = document.createElement("template");
    still.innerHTML = root.closest(".vi-room")?.querySelector("noscript")?.textContent ?? "";
    const picture = still.content.firstElementChild;
    if (!picture) return;
    Object.assign(picture.style, { height: `${stage.offsetHeight}px`, objectFit: "contain" }); // nothing jumps
    stage.replaceChildren(picture); // drawn when the page was made
    note.textContent += " The picture is the one drawn when the page was made.";
    sliders.forEach((range) => (range.disabled = true));
  }
  root.setAttribute("aria-busy", "true");
  note.textContent = `The decoder (${weighs}) is loaded when you come near.`;
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    note.textContent = `Loading the decoder (${weighs}) …`;
    model.send({ file });
  }, { rootMargin: "500px 0px" });
  model.on("msg:custom", arrived);
  watch.observe(root);

  // The pad: wherever the finger or the mouse is, on the sliders' steps.
  function move(event) {
    const box = pad.getBoundingClientRect();
    const shares = [(event.clientX - box.left) / box.width, (box.bottom - event.clientY) / box.height];
    [across, up].forEach(({ trait, min, max }, k) => {
      const value = min + Math.round(((max - min) * Math.min(1, Math.max(0, shares[k]))) / STEP) * STEP;
      model.set(trait, Number(value.toFixed(2)));
    });
    model.save_changes();
  }
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    pad.setPointerCapture(event.pointerId);
    move(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (pad.hasPointerCapture(event.pointerId)) move(event);
  });

  draw();
  return () => {
    over = true;
    watch.disconnect();
    model.off("msg:custom", arrived);
    dispose();
  };
}
export default { render };
