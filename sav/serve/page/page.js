// The page: one photo at a time, asked of the server that this file comes from.

import { canvasSize, drawParts, maskPixels, topParts } from "./masks.js";
import { checkBox, describePart, listNeighbours, listParts, percent, words } from "./lists.js";

const TRIES = 5; // when the server is busy
const at = (id) => document.getElementById(id);

let model; // what /model says
let file; // the photo
let answer; // {parts, visible, size, top} once there is one
let lit = null, pinned = null; // the part under the pointer, and the one that was clicked
let asking = new AbortController();

async function start() {
  model = await (await ask("model", {})).json();
  at("model").textContent = `${model.name}, version ${model.version}`;
  at("origin").textContent = location.origin;
  for (const { name } of model.vocabularies) at("vocabulary").add(new Option(name, name));
  at("vocabulary").value = model.vocabulary;
  at("score").value = model.score_threshold;
  at("vocabulary").onchange = () => file && predict();
  at("score").oninput = refresh;
  at("file").onchange = () => take(at("file").files);
  for (const button of document.querySelectorAll("#downloads button")) button.onclick = () => download(button);
  listenForPhotos();
  listenForPointer();
  if (at("file").files.length) take(at("file").files); // chosen before this was ready
  else at("stage").classList.remove("busy");
}

function listenForPhotos() {
  const stage = at("stage");
  document.ondragover = (event) => { event.preventDefault(); stage.classList.add("over"); };
  document.ondragleave = (event) => event.relatedTarget || stage.classList.remove("over");
  document.ondrop = (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    take(event.dataTransfer.files);
  };
  document.onpaste = (event) => event.clipboardData.files.length && take(event.clipboardData.files);
}

function take(files) {
  if (!files.length) return;
  if (files[0].size > model.limits.bytes) {
    const most = (model.limits.bytes / 2 ** 20).toFixed(0);
    return say(`${files[0].name} is larger than ${most} MiB, which this server takes.`, true);
  }
  file = files[0];
  at("file").value = ""; // so that the same one can be chosen again
  predict();
}

// A request to the server, again when it is busy. Errors are the server's own line.
async function ask(path, options, tries = TRIES) {
  const response = await fetch(path, options).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("The server does not answer. Is it running?");
  });
  if (response.ok) return response;
  const wait = Number(response.headers.get("Retry-After"));
  if (response.status === 503 && wait && tries > 1) {
    say("The server is busy, waiting ...");
    await new Promise((done) => setTimeout(done, 1000 * wait));
    return ask(path, options, tries - 1);
  }
  throw new Error((await response.json().catch(() => ({}))).error || `Error ${response.status}`);
}

function askPhoto(parameters, signal) {
  const body = new FormData();
  body.append("photo", file);
  const query = new URLSearchParams({ vocabulary: at("vocabulary").value, ...parameters });
  return ask(`predict?${query}`, { method: "POST", body, signal });
}

function say(text, isError = false) {
  at("message").textContent = text;
  at("message").hidden = !text;
  at("message").classList.toggle("error", isError);
}

async function predict() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking, photo = file;
  say(`Looking at ${photo.name} ...`);
  at("stage").classList.add("busy");
  try {
    const neighbours = model.gallery.vehicles ? model.gallery.neighbours : 0;
    const more = { score_threshold: 0, neighbours, pictures: neighbours > 0 };
    const [contents, picture] = await Promise.all([
      askPhoto(more, signal).then((response) => response.json()),
      createImageBitmap(photo, { imageOrientation: "from-image" }).catch(() => null),
    ]);
    if (signal.aborted) return;
    show(contents, picture);
    say(picture ? "" : "This browser cannot show such a photo: its parts are drawn on grey.");
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  } finally {
    if (!signal.aborted) at("stage").classList.remove("busy");
  }
}

function show(contents, picture) {
  const size = canvasSize(contents.width, contents.height);
  const vocabulary = model.vocabularies.find(({ name }) => name === contents.ontology);
  const parts = contents.parts.map((part) => ({
    ...part,
    shown: true,
    color: vocabulary.classes[part.class_id].color,
    pixels: maskPixels(part.mask, size),
  }));
  answer = { parts, size, vocabulary };
  lit = pinned = null;
  at("tip").hidden = true;
  for (const id of ["photo", "parts"]) Object.assign(at(id), { width: size.width, height: size.height });
  const context = at("photo").getContext("2d");
  context.fillStyle = "#bbb";
  context.fillRect(0, 0, size.width, size.height);
  if (picture) context.drawImage(picture, 0, 0, size.width, size.height);
  at("stage").classList.remove("empty");
  at("stage").style.width = `min(100%, ${(72 * size.width) / size.height}vh)`;
  at("side").hidden = at("about").hidden = false;
  at("neighbours").hidden = !model.gallery.neighbours;
  at("neighbours").replaceChildren(...listNeighbours(contents.neighbours || [], model.gallery));
  refresh();
}

// After a change of the score, or of what is shown.
function refresh() {
  const score = Number(at("score").value);
  at("score-shown").textContent = percent(score);
  if (!answer) return;
  const above = answer.parts.filter((part) => part.score >= score);
  if (!above.includes(pinned)) pinned = null;
  const toggle = (parts, shown) => { for (const part of parts) part.shown = shown; refresh(); };
  at("vehicles").replaceChildren(...listParts(above, { toggle, light }));
  at("count").textContent = `${above.length} ${above.length === 1 ? "part" : "parts"}`;
  checkBox(above, toggle, at("all"));
  answer.above = above;
  answer.visible = above.filter((part) => part.shown);
  answer.top = topParts(answer.visible, answer.size);
  light(null);
}

// Show one part before the others, and what is known of it; null for the pinned one, if any.
function light(part) {
  lit = part ?? pinned;
  for (const one of answer.above) one.row.classList.toggle("lit", one === lit);
  drawParts(at("parts"), answer.visible, answer.top, answer.size, lit);
  const hint = answer.above.length ? "Point at a part; click to keep it." : "No part scores as high.";
  at("about").replaceChildren(...(lit ? describePart(lit, answer.vocabulary, answer.above) : [hint]));
}

function listenForPointer() {
  const canvas = at("parts");
  canvas.onmousemove = (event) => {
    const part = partAt(event);
    if ((part ?? pinned) !== lit) light(part);
    const { width } = canvas.getBoundingClientRect(), tip = at("tip");
    tip.hidden = !part;
    if (!part) return;
    tip.textContent = `${words(part.name)} · ${percent(part.score)} · vehicle ${part.vehicle_id}`;
    const half = tip.offsetWidth / 2;
    tip.style.left = `${Math.max(half, Math.min(width - half, event.offsetX))}px`;
    tip.style.top = `${event.offsetY}px`;
    tip.classList.toggle("below", event.offsetY < 50);
  };
  canvas.onmouseleave = () => { at("tip").hidden = true; light(null); };
  canvas.onclick = (event) => { const part = partAt(event); pinned = part === pinned ? null : part; light(part); };
}

function partAt({ offsetX, offsetY }) {
  const { width, height } = at("parts").getBoundingClientRect();
  const x = Math.floor((offsetX / width) * answer.size.width), y = Math.floor((offsetY / height) * answer.size.height);
  return answer.visible[answer.top[y * answer.size.width + x] - 1] ?? null;
}

async function download(button) {
  const { format, suffix } = button.dataset, stem = file.name.replace(/\.[^.]*$/, "");
  button.disabled = true;
  try {
    const response = await askPhoto({ format, score_threshold: at("score").value });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = stem + suffix;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say("");
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

start().catch((error) => say(error.message, true));
