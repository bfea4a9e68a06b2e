// One key for a decision and the next image. FiftyOne loads this file beside the plugin's Python.
(() => {
  "use strict";
  const PLUGIN = "@tailwatch/review";
  const WHO = "tailwatch.reviewer"; // of this tab: two people may share one App
  const KEYS = {
    A: { operator: "accept" },
    R: { operator: "reject", asks: true },
    C: { operator: "correct" },
    U: { operator: "undo" },
    N: { operator: "next" },
  };

  const { Operator, OperatorConfig, executeOperator, registerOperator } = window.__foo__;

  class RememberReviewer extends Operator {
    get config() {
      return new OperatorConfig({ name: "remember_reviewer", label: "Remember the reviewer", unlisted: true });
    }
    async execute({ params }) {
      if (params.reviewer) sessionStorage.setItem(WHO, params.reviewer);
      else sessionStorage.removeItem(WHO);
    }
  }
  registerOperator(RememberReviewer, PLUGIN);

  // A form or a text field takes its letters for itself.
  const busy = (target) =>
    target instanceof Element &&
    target.closest("input, textarea, select, [contenteditable], [role=textbox], [role=dialog]") !== null;
  const asking = () => document.querySelector(".MuiDialog-root, [data-cy=operators-prompt]") !== null;

  document.addEventListener(
    "keydown",
    (event) => {
      const key = KEYS[event.key];
      const plain = event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey;
      if (!key || !plain || event.repeat || busy(event.target) || busy(document.activeElement) || asking()) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const reviewer = sessionStorage.getItem(WHO);
      const params = { next: key.operator !== "undo", ...(reviewer ? { reviewer } : {}) };
      const operator_uri = `${PLUGIN}/${key.operator}`;
      if (key.asks) executeOperator("prompt_user_for_operation", { operator_uri, params });
      else executeOperator(operator_uri, params);
    },
    { capture: true },
  );
})();
