// One function, typeset(tex, display), from the parts of MathJax beside this file, which need no browser.
const parts = MathJax._;
const adaptor = parts.adaptors.liteAdaptor.liteAdaptor();
parts.a11y["assistive-mml"].AssistiveMmlHandler(parts.handlers.html_ts.RegisterHTMLHandler(adaptor));
const fail = (jax, error) => { throw new Error(error.message); };
const document_ = (macros, fontURL) => {
  const font = new parts.output.chtml.fonts.tex_ts.TeXFont({ fontURL });
  return parts.mathjax.mathjax.document("", {
    InputJax: new parts.input.tex_ts.TeX({ packages: ["base", "ams", "newcommand", "configmacros"], macros, formatError: fail }),
    OutputJax: new parts.output.chtml_ts.CHTML({ adaptiveCSS: false, font }),
  });
};
const book = document_(settings.macros, settings.fonts);
const typeset = (tex, display) => adaptor.outerHTML(book.convert(tex, { display, em: 16, ex: 16 * 0.442, containerWidth: 80 * 16 }));
const stylesheet = () => adaptor.textContent(book.outputJax.styleSheet(book));
