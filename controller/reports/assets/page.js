// Dots show the row they stand for; rows unfold; a live page renews what has changed and leaves the rest alone.
const live = document.body.classList.contains("live");
const hint = document.querySelector(".hint"), figure = document.querySelector("figure"), plot = document.querySelector(".plot");
const sources = new Map(), bodies = new Map();
const rowOf = (number) => document.getElementById("e" + number);

// What was last heard of each part, before anybody opened or filled it.
function remember(page) {
  for (const part of ["header", ".chart", ".said-by-you", ".yields"]) sources.set(part, page.querySelector(part).outerHTML);
  for (const row of page.querySelectorAll("details")) sources.set(row.id, row.outerHTML);
}
async function fill(row) {
  const body = row.querySelector(".body"), number = row.id.slice(1);
  if (!live || body.childNodes.length) return;
  if (!bodies.has(number)) {
    const reply = await fetch("experiments/" + number);
    if (!reply.ok) return;
    bodies.set(number, await reply.text());
  }
  if (!body.childNodes.length) body.innerHTML = bodies.get(number);
}
function unfold() {
  const row = rowOf(location.hash.slice(2));
  if (row) { row.open = true; row.scrollIntoView({ block: "center" }); }
}
async function show(event) {
  const dot = event.target.closest(".dot"), row = dot && rowOf(dot.dataset.number);
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

function renewPart(part, page) {
  const fresh = page.querySelector(part), source = fresh.outerHTML;
  if (source === sources.get(part)) return;
  sources.set(part, source);
  const old = document.querySelector(part), focused = old.contains(document.activeElement) && document.activeElement;
  old.replaceWith(fresh);
  if (part !== ".chart") return;
  hide();
  if (focused) fresh.querySelector(`.dot[data-number="${focused.dataset.number}"]`)?.focus();
}
function renewRows(page) {
  let place = document.querySelector(".row.head");
  for (const fresh of page.querySelectorAll("details")) {
    const old = document.getElementById(fresh.id), source = fresh.outerHTML;
    if (old && sources.get(fresh.id) === source) { place = old; continue; }
    sources.set(fresh.id, source);
    bodies.delete(fresh.id.slice(1));
    if (old) {
      const focused = old.contains(document.activeElement);
      fresh.open = old.open;
      old.replaceWith(fresh);
      if (focused) fresh.querySelector("summary").focus({ preventScroll: true });
    } else place.after(fresh);
    place = fresh;
  }
  while (place.nextElementSibling) place.nextElementSibling.remove();
}
async function renew() {
  try {
    const reply = await fetch(location.pathname);
    if (!reply.ok) throw new Error(reply.status);
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    for (const part of ["header", ".chart", ".said-by-you", ".yields"]) renewPart(part, page);
    renewRows(page);
    document.body.classList.remove("stale");
  } catch { document.body.classList.add("stale"); }
  setTimeout(() => document.hidden ? document.addEventListener("visibilitychange", renew, { once: true }) : renew(), 3000);
}
remember(document);
for (const name of ["pointerover", "focusin"]) figure.addEventListener(name, show);
for (const name of ["pointerout", "focusout"]) figure.addEventListener(name, hide);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
document.addEventListener("toggle", (event) => { if (event.target.open) fill(event.target); }, true);
addEventListener("hashchange", unfold);
plot.scrollLeft = plot.scrollWidth;
unfold();
if (live) setTimeout(renew, 3000);
