// Hovering or focusing a dot shows the row it stands for; following it unfolds that row.
const hint = document.querySelector(".hint");
const figure = document.querySelector("figure");
function unfold() {
  const row = document.querySelector(location.hash || "#none");
  if (row && row.tagName === "DETAILS") { row.open = true; row.scrollIntoView({ block: "center" }); }
}
function show(event) {
  const dot = event.target.closest(".dot");
  if (!dot) return;
  const row = document.getElementById("e" + dot.dataset.number);
  if (!row) return;
  const title = document.createElement("strong");
  title.textContent = dot.getAttribute("aria-label") + "  " + row.querySelector(".score").textContent;
  hint.replaceChildren(title, row.querySelector("pre").cloneNode(true));
  const frame = figure.getBoundingClientRect(), box = dot.getBoundingClientRect();
  hint.hidden = false;
  hint.style.left = Math.max(0, Math.min(box.left - frame.left + 12, frame.width - hint.offsetWidth)) + "px";
  hint.style.top = box.bottom - frame.top + 8 + "px";
}
const hide = () => { hint.hidden = true; };
for (const name of ["pointerover", "focusin"]) figure.addEventListener(name, show);
for (const name of ["pointerout", "focusout"]) figure.addEventListener(name, hide);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
addEventListener("hashchange", unfold);
unfold();
