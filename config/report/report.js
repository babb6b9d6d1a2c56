// One time cursor over video, timeline and plots. Without it the page reads the same, only still.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const times = data.time, last = times[times.length - 1];
const video = document.querySelector("video"), scrub = document.getElementById("scrub"), play = document.getElementById("play");
const axes = [...document.querySelectorAll("svg[data-x0]")].map(svg => ({
  svg, cursor: svg.querySelector(".cursor"), x0: +svg.dataset.x0, x1: +svg.dataset.x1, t0: +svg.dataset.t0, t1: +svg.dataset.t1,
}));
const outputs = [...document.querySelectorAll("output[data-of]")].filter(o => data.curves[o.dataset.of]);
let now = 0;

function frameAt(t) {  // the nearest
  let low = 0, high = times.length - 1;
  while (high - low > 1) { const middle = (low + high) >> 1; if (times[middle] <= t) low = middle; else high = middle; }
  return t - times[low] < times[high] - t ? low : high;
}

function show(t) {  // move every cursor to t, s
  now = Math.min(Math.max(t, 0), last);
  const frame = frameAt(now);
  for (const a of axes) {
    const x = a.x0 + (now - a.t0) / (a.t1 - a.t0) * (a.x1 - a.x0);
    a.cursor.setAttribute("x1", x); a.cursor.setAttribute("x2", x);
  }
  for (const o of outputs) {
    const value = data.curves[o.dataset.of][frame];
    o.textContent = value === null ? "–" : value.toPrecision(3);
  }
  scrub.value = now;
  document.getElementById("now").textContent = `${now.toFixed(2)} s · frame ${frame}`;
}

function seek(t) {  // and the video with them
  if (video && video.readyState) video.currentTime = Math.min(Math.max(t, 0), last);
  show(t);
}

let started = null;  // without a video the cursor runs by itself
function playing() { return video ? !video.paused : started !== null; }
function tick() {
  if (video) show(video.currentTime);
  else if (started !== null) show(((performance.now() - started) / 1000) % last);
  play.textContent = playing() ? "❚❚" : "▶";
  if (playing()) requestAnimationFrame(tick);
}
function toggle() {
  if (video) { if (video.paused) video.play(); else video.pause(); return; }
  started = started === null ? performance.now() - 1000 * now : null;
  tick();
}
play.addEventListener("click", toggle);
scrub.addEventListener("input", () => seek(+scrub.value));
if (video) {
  video.controls = false;  // they would darken the object; ours do the same
  video.addEventListener("click", toggle);
  video.addEventListener("dblclick", () => video.requestFullscreen && video.requestFullscreen());
  video.addEventListener("play", tick);
  video.addEventListener("pause", tick);
  video.addEventListener("seeking", () => { if (Math.abs(video.currentTime - now) > 0.02) show(video.currentTime); });
  video.addEventListener("loadedmetadata", () => seek(now));
}

for (const a of axes) {
  const to = event => {
    const box = a.svg.getBoundingClientRect(), width = a.svg.viewBox.baseVal.width;
    const x = (event.clientX - box.left) / box.width * width;
    seek(a.t0 + (x - a.x0) / (a.x1 - a.x0) * (a.t1 - a.t0));
  };
  a.svg.addEventListener("click", to);
  a.svg.addEventListener("pointermove", event => { if (event.buttons === 1 && event.pointerType === "mouse") to(event); });
}
for (const button of document.querySelectorAll("[data-seek]")) {
  button.addEventListener("click", () => {
    seek(+button.dataset.seek);
    (document.querySelector(".hero") || document.body).scrollIntoView({ behavior: "smooth", block: "start" });
  });
}
document.addEventListener("keydown", event => {
  if (event.target.closest("input, button, video, summary, code, a, .scroll") || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === " ") toggle();
  else if (step) seek(times[Math.min(Math.max(frameAt(now) + step, 0), times.length - 1)]);
  else return;
  event.preventDefault();
});

for (const button of document.querySelectorAll("[data-show]")) {  // side by side, or one of the two large
  button.addEventListener("click", () => {
    const stage = document.querySelector(".stage");
    stage.classList.remove("both", "human", "robot");
    stage.classList.add(button.dataset.show);
    for (const b of document.querySelectorAll("[data-show]")) b.setAttribute("aria-pressed", b === button);
  });
}

async function copy(text) {
  try { await navigator.clipboard.writeText(text); return; } catch (e) { /* file:// in some browsers: the old way */ }
  const area = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
}
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const from = button.classList.contains("all") ? ".commands code" : null;
    const codes = from ? [...document.querySelectorAll(from)] : [button.parentElement.querySelector("code")];
    await copy(codes.map(code => code.textContent).join("\n"));
    const said = button.textContent;
    button.textContent = "copied";
    setTimeout(() => { button.textContent = said; }, 1200);
  });
}

function markScroll() {  // what is wider than its container says so
  for (const box of document.querySelectorAll(".scroll")) box.classList.toggle("wide", box.scrollWidth > box.clientWidth + 1);
}
addEventListener("resize", markScroll);
document.addEventListener("toggle", markScroll, true);
addEventListener("load", markScroll);

const linked = /^#t=([\d.]+)$/.exec(location.hash);
seek(linked ? +linked[1] : +scrub.value);
markScroll();
