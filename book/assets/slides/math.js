// Settings of MathJax for a deck: read before it is loaded.  The macros are the book's.
window.MathJax = {
  tex: window.deckMath,
  chtml: { matchFontHeight: false }, // slides are typeset while hidden, where nothing can be measured
  options: { enableMenu: false, skipHtmlTags: ["script", "style", "aside", "pre", "code"] },
  startup: { typeset: false },
};
