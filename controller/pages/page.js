// Dots show the row they stand for; rows unfold; a live page renews itself without losing either.
const live = document.body.classList.contains("live");
const hint = document.querySelector(".hint");
const figure = document.querySelector("figure");
const bodies = new Map();
async function fill(row) {
  const body = row.querySelector(".body"), number = row.id.slice(1);
  if (!live || body.childNodes.length) return;
  if (!bodies.has(number)) {
    const reply = await fetch("experiments/" + number);
    if (!reply.ok) return;
    const text = await reply.text();
    if (row.classList.contains("open")) { body.innerHTML = text; return; }
    bodies.set(number, text);
  }
  body.innerHTML = bodies.get(number);
}
function unfold() {
  const row = document.querySelector(location.hash || "#none");
  if (row && row.tagName === "DETAILS") { row.open = true; row.scrollIntoView({ block: "center" }); }
}
async function show(event) {
  const dot = event.target.closest(".dot");
  if (!dot) return;
  const row = document.getElementById("e" + dot.dataset.number);
  if (!row) return;
  await fill(row);
  const title = document.createElement("strong");
  title.textContent = dot.getAttribute("aria-label") + "  " + row.querySelector(".score").textContent;
  const patch = row.querySelector("pre.diff");
  hint.replaceChildren(title, ...(patch ? [patch.cloneNode(true)] : []));
  const frame = figure.getBoundingClientRect(), box = dot.getBoundingClientRect();
  hint.hidden = false;
  hint.style.left = Math.max(0, Math.min(box.left - frame.left + 12, frame.width - hint.offsetWidth)) + "px";
  hint.style.top = box.bottom - frame.top + 8 + "px";
}
const hide = () => { hint.hidden = true; };
async function renew() {
  try {
    const reply = await fetch(location.pathname);
    const next = new DOMParser().parseFromString(await reply.text(), "text/html");
    const open = new Set([...document.querySelectorAll("details[open]")].map((row) => row.id));
    const focused = document.activeElement?.closest?.("details, .dot");
    for (const part of ["header", ".chart", "section"]) {
      document.querySelector(part).replaceWith(next.querySelector(part));
    }
    for (const id of open) { const row = document.getElementById(id); if (row) row.open = true; }
    if (focused?.id) document.getElementById(focused.id)?.querySelector("summary")?.focus();
    document.body.classList.remove("stale");
  } catch { document.body.classList.add("stale"); }
  setTimeout(renew, 3000);
}
for (const name of ["pointerover", "focusin"]) figure.addEventListener(name, show);
for (const name of ["pointerout", "focusout"]) figure.addEventListener(name, hide);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
document.addEventListener("toggle", (event) => { if (event.target.open) fill(event.target); }, true);
addEventListener("hashchange", unfold);
unfold();
if (live) setTimeout(renew, 3000);
