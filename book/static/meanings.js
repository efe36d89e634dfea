// Shows the meaning of a term while it is pointed at or has the focus.
document.addEventListener("DOMContentLoaded", () => {
  const box = document.createElement("div");
  box.id = "meaning";
  box.hidden = true;
  document.body.append(box);

  const show = (term) => {
    box.textContent = term.dataset.meaning;
    box.hidden = false;
    const at = term.getBoundingClientRect();
    const below = at.bottom + 4 + box.offsetHeight < window.innerHeight;
    box.style.left = `${Math.max(8, Math.min(at.left, window.innerWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${below ? at.bottom + 4 : at.top - 4 - box.offsetHeight}px`;
  };
  const hide = () => (box.hidden = true);

  for (const term of document.querySelectorAll("a.term")) {
    term.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && show(term));
    term.addEventListener("pointerleave", hide);
    term.addEventListener("focus", () => term.matches(":focus-visible") && show(term));
    term.addEventListener("blur", hide);
  }
  document.addEventListener("scroll", hide, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
});
