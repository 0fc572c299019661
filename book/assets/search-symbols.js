// The search page looks a query up among the book's names (search_names.js) and puts what it finds first.
// A name and a query are the same when they spell the same: "KL(q‖p)" and "kl(q||p)", "σ²" and "sigma^2",
// "k̂", "k-hat" and "\hat k".
(() => {
  const GREEK = Object.fromEntries(
    ("alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi psi " +
      "omega").split(" ").map((name, i) => ["αβγδεζηθικλμνξοπρστυφχψω"[i], name]),
  );
  const SAME = {"ϵ": "epsilon", "ϕ": "phi", "ς": "sigma", "∇": "nabla", "ℓ": "ell", "∞": "infinity"};
  const ACCENTS = {"\u0302": " hat", "\u0304": " bar", "\u0303": " tilde"};

  // Words for letters and accents, so that Sphinx's own search, which has read "\lambda", finds them too.
  const worded = (text) =>
    text
      .replace(/\\(hat|bar|tilde)\s*\{?\\?(\w+)\}?/g, "$2 $1")
      .replace(/\\(?:mathrm|mathcal|operatorname)|\\[{}]/g, "")
      .normalize("NFKD")
      .replace(/\u2113/g, "ell")
      .replace(/[\u0302-\u0304]/g, (accent) => ACCENTS[accent] ?? "")
      .replace(/varepsilon/g, "epsilon")
      .replace(/[Α-ωϵϕ∇ℓ∞]/g, (letter) => ` ${GREEK[letter.toLowerCase()] ?? SAME[letter] ?? letter} `);
  const spelt = (text) => worded(text).toLowerCase().replace(/[^\p{Letter}\p{Number}*]+/gu, "");

  const rank = (name, text, key) => {
    const own = spelt(name);
    if (name.normalize("NFC") === text.normalize("NFC")) return 4;
    if (own === key) return 3;
    if (text.length < 3) return 0; // of a letter or two, nothing but itself
    if (own.startsWith(key)) return 1 + key.length / own.length;
    return own.includes(key) && key.length >= own.length / 3 ? key.length / own.length : 0;
  };
  const escaped = (text) => text.replace(/[&<>]/g, (c) => ({"&": "&amp;", "<": "&lt;", ">": "&gt;"})[c]);

  const parse = Search._parseQuery;
  let asked = "";
  Search._parseQuery = (query) => {
    asked = query.trim();
    return parse(/[^\x00-\x7f]|\\/.test(query) ? worded(query).trim() : query);
  };
  const perform = Search._performSearch;
  Search._performSearch = (...query) => {
    const {docnames, filenames, titles} = Search._index;
    const key = spelt(asked);
    const named = key
      ? window.bookNames
          .map(([name, doc, anchor, about]) => ({name, doc, anchor, about, rank: rank(name, asked, key)}))
          .filter((found) => found.rank > 0 && docnames.includes(found.doc))
          .sort((a, b) => b.rank - a.rank || (a.about === "term") - (b.about === "term"))
      : [];
    const seen = new Set();
    const first = named.filter(({doc, anchor}) => !seen.has(doc + anchor) && seen.add(doc + anchor)).slice(0, 8);
    const others = perform(...query).filter(([doc, , anchor]) => !seen.has(doc + anchor.replace("#", "")));
    const shown = first.map(({name, doc, anchor, about, rank}) => {
      const file = docnames.indexOf(doc);
      return [doc, escaped(name), `#${anchor}`, escaped(`${about}, in ${titles[file].replace(/<[^>]*>/g, "")}`), 1000 * rank, filenames[file]];
    });
    return [...others, ...shown.reverse()]; // Sphinx shows the last one first
  };
  // Opened from a folder, a page cannot read its neighbours for the summaries.
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
})();
