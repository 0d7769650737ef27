/* What the pages need beside the theme: search that marks words and ranks the chapters first, white paper, and repairs
   of what axe-core reports in Sphinx's HTML. */

"use strict";

// Sphinx marks words in styles and in inline drawings too, and stops at the first of those that has no box.
SphinxHighlight.highlightSearchWords = () => {
  const asked = localStorage.getItem("sphinx_highlight_terms")
    || new URLSearchParams(location.search).get("highlight") || "";
  localStorage.removeItem("sphinx_highlight_terms");
  const words = asked.toLowerCase().split(/\s+/).filter(Boolean);
  const article = document.querySelector("article");
  if (!words.length || !article) return;
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT, node =>
    node.parentElement.closest("svg, style, script, mjx-container, button, select, textarea")
      ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  const places = new RegExp(words.map(word => word.replace(/[^\p{L}\p{N}]/gu, "\\$&")).join("|"), "giu");
  for (const text of texts) {
    for (const {index, 0: word} of [...text.data.matchAll(places)].reverse()) {
      const mark = document.createElement("span");
      mark.className = "highlighted";
      text.splitText(index).splitText(word.length);
      text.nextSibling.replaceWith(mark);
      mark.textContent = word;
    }
  }
};

// Searching ranks a page by its title and by how often it has the word: the list of the library has every word.
var Scorer = {
  score: ([page, , , , score]) => score + 10 * page.includes("/executed/") - 50 * (page === "book/library"),
  objNameMatch: 11, objPartialMatch: 6, objPrio: {0: 15, 1: 5, 2: -5}, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
};

// Paper is white whatever the theme of the screen is.
{
  const root = document.documentElement;
  let theme = null;
  const onPaper = () => {
    theme ??= root.dataset.theme;
    root.dataset.theme = "light";
  };
  const onScreen = () => {
    if (theme) root.dataset.theme = theme;
    theme = null;
  };
  addEventListener("beforeprint", onPaper);
  addEventListener("afterprint", onScreen);
  matchMedia("print").addEventListener("change", ({matches}) => matches ? onPaper() : onScreen());
}

// The box of an equation scrolls on a narrow screen, so the keyboard must reach it. A bibliography is a list of elements
// that a list may not hold, with a role that DPUB-ARIA 1.1 deprecates.
addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll("div.math")) box.tabIndex = 0;
  for (const e of document.querySelectorAll(".citation-list, [role=doc-biblioentry]")) e.removeAttribute("role");
});
