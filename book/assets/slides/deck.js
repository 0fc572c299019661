// A lecture deck: fit every slide to its page, then hand over to reveal.js.
(async () => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const printing = /print-pdf/.test(location.search);
  const light = (on) => (root.dataset.theme = on ? "light" : "dark");
  light(!dark || printing);

  await document.fonts.ready;

  // Wide equations are made narrower, then full slides smaller.  data-fit says how much: the tests read it.
  const slides = [...document.querySelectorAll(".slides section")].filter((slide) => !slide.querySelector("section"));
  for (const slide of slides) {
    const body = slide.querySelector(".slide-body");
    const narrow = () => {
      for (const box of body.querySelectorAll("mjx-container[display]")) {
        box.style.fontSize = "";
        const inner = box.querySelector("mjx-math");
        const wanted = inner.getBoundingClientRect().width, room = box.parentElement.clientWidth - (box.parentElement.querySelector(".eqno")?.offsetWidth ?? 0) - 24;
        if (wanted > room) {
          box.style.fontSize = `${(100 * room) / wanted}%`;
          slide.dataset.narrowed = Math.min(Number(slide.dataset.narrowed ?? 1), room / wanted).toFixed(2);
        }
      }
    };
    let fit = 1;
    narrow();
    const fixed = slide.matches(".of-explorer"); // an explorer is not drawn yet, and text would not make it smaller
    while (!fixed && fit > 0.5 && (body.scrollHeight > body.clientHeight + 1 || body.scrollWidth > body.clientWidth + 1)) {
      fit -= 0.04;
      body.style.fontSize = `${fit}em`;
      narrow();
    }
    slide.dataset.fit = fit.toFixed(2);
  }

  // An explorer is as wide as lets it fit in height; it is measured when it is drawn and its slide shown.
  const narrower = (room) => {
    const box = room.closest(".cell_output");
    if (!box.clientHeight || !room.querySelector(".vi-explorer")) return;
    const height = () => room.getBoundingClientRect().height / (box.getBoundingClientRect().height / box.offsetHeight);
    for (let share = 100; share >= 50; share -= 2) {
      room.style.width = `${share}%`;
      if (height() <= box.clientHeight) break;
    }
  };
  // Its box shrinks without it when the words above take another line, so both are watched.
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) narrower(target.closest(".cell_output").querySelector(".vi-room"));
  });
  for (const room of document.querySelectorAll(".of-explorer .vi-room")) {
    watch.observe(room);
    watch.observe(room.closest(".cell_output"));
  }

  // A focused control keeps its own keys, but a clicker's PageDown and the space bar go on to the next slide.
  const control = (target) => target.closest?.("input, select, textarea, button");
  document.addEventListener("keydown", (event) => {
    const focused = control(event.target);
    if (!focused || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") focused.blur();
    else if (event.key === "PageDown" || (event.key === " " && focused.type === "range")) focused.blur(), Reveal.next();
    else if (event.key === "PageUp") focused.blur(), Reveal.prev();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);

  await Reveal.initialize({
    width: 1280,
    height: 720,
    margin: 0,
    center: false,
    display: "flex",
    hash: true,
    history: true,
    navigationMode: "linear",
    transition: "none",
    backgroundTransition: "none",
    slideNumber: "c/t",
    pdfSeparateFragments: false,
    pdfMaxPagesPerSlide: 1,
    keyboardCondition: (event) => !control(event.target),
    plugins: [RevealNotes],
  });
  Reveal.addKeyBinding({ keyCode: 68, key: "D", description: "Dark or light" }, () => light(root.dataset.theme === "dark"));
  if (printing) dispatchEvent(new Event("vi-draw"));
  root.classList.remove("preparing");
  root.dataset.deck = "ready";
})();
