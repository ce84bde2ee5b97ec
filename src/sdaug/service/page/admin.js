// The admin page. What comes from the server is shown as text, never as markup; the key is never kept here.

const $ = (id) => document.getElementById(id);
const show = (element, visible) => { element.hidden = !visible; };
const OWN = { "X-Sdaug-Page": "1" };

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `status ${status}`);
    this.status = status;
    this.code = problem.code;
  }

  // Whether asking again alike may be answered otherwise: the one that was lost may have been done.
  get open() {
    return this.status >= 500 || this.status === 401 || this.status === 429 || this.code === "in_progress";
  }
}

async function api(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options, headers: { ...OWN, ...options.headers } });
  } catch (error) {
    throw new Error(`Network error: ${error.message}`);
  }
  const answer = await response.json().catch((error) => {
    if (response.ok) throw new Error(`Network error: ${error.message}`);
    return {};
  });
  if (response.status === 401 && path !== "api/session") signedIn(false);
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

function tell(element, error, lead) {
  element.textContent = error instanceof Refused && lead ? `${lead}: ${error.message}` : error.message;
  show(element, true);
}

// Signing in

function signedIn(yes) {
  show($("signIn"), !yes);
  show($("signedIn"), yes);
  show($("signOut"), yes);
  if (yes) {
    checkStatus();
    listPeople();
  } else {
    $("apiKey").focus();
  }
}

$("signInForm").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = $("apiKey").value.trim();
  $("apiKey").value = "";
  $("apiKey").setCustomValidity("");
  try {
    await api("api/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key }),
    });
    signedIn(true);
    $("personName").focus();
  } catch (error) {
    $("apiKey").setCustomValidity(error.message);
    $("apiKey").reportValidity();
  }
});

$("apiKey").addEventListener("input", () => $("apiKey").setCustomValidity(""));

$("signOut").addEventListener("click", async () => {
  await api("api/session", { method: "DELETE" }).catch(() => {});
  signedIn(false);
});

// Whether views can be generated

async function checkStatus() {
  const line = $("sdStatus");
  const toggle = $("useSdAugmentation");
  try {
    const status = await api("api/sd/status");
    line.classList.toggle("ready", status.available);
    line.classList.toggle("not", !status.available && status.reason !== "checking");
    if (status.available) {
      line.textContent = `Stable Diffusion: Ready (${status.model_name})`;
    } else if (status.reason === "checking") {
      line.textContent = "Checking Stable Diffusion availability...";
      setTimeout(checkStatus, 1500);
    } else {
      line.textContent = `Stable Diffusion: Not Available (${status.reason}: ${status.message})`;
    }
    toggle.disabled = !status.available;
    if (!status.available) toggle.checked = false;
  } catch (error) {
    line.textContent = `Stable Diffusion: Not Available (${error.message})`;
    line.classList.add("not");
    toggle.disabled = true;
    toggle.checked = false;
  }
  show($("sdAngleSelector"), toggle.checked);
}

$("useSdAugmentation").addEventListener("change", (event) => show($("sdAngleSelector"), event.target.checked));

// Enrolling

const TERMS = {
  consent_purpose: "consentPurpose", legal_basis: "legalBasis", consent_reference: "consentReference",
  retention_days: "retentionDays",
};

function enrolFields() {
  const form = new FormData();
  form.set("name", $("personName").value);
  form.set("cnic", $("personCnic").value);
  form.set("use_augmentation", $("useAugmentation").checked ? "true" : "false");
  for (const [field, id] of Object.entries(TERMS)) {
    const value = $(id).value.trim();
    if (value) form.set(field, value);
  }
  return form;
}

// What was sent and not answered. Sent again alike, with the same key, it enrols once and is answered as it was.
let unanswered = null;

$("enrolForm").addEventListener("input", () => { unanswered = null; });

$("enrolForm").addEventListener("submit", async (event) => {
  event.preventDefault();
  show($("enrolError"), false);
  show($("enrolResult"), false);
  if (unanswered) return send();
  const photo = $("personPhoto").files[0];
  if ($("useSdAugmentation").checked) return preview(photo);
  const form = enrolFields();
  form.set("file", photo);
  return enrol(form);
});

function enrol(form) {
  unanswered = { form, key: crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}` };
  return send();
}

async function send() {
  const { form, key } = unanswered;
  $("enrolButton").disabled = true;
  overlay(true, "Enrolling...", null, false);
  let answer = null;
  try {
    answer = await api("api/enroll", { method: "POST", body: form, headers: { "Idempotency-Key": key } });
    unanswered = null;
  } catch (error) {
    if (error instanceof Refused && !error.open) unanswered = null;
    tell($("enrolError"), error, "Failed to enroll person");
  } finally {
    $("enrolButton").disabled = false;
    overlay(false);
  }
  if (answer) succeeded(answer);
}

function succeeded(answer) {
  const counts = answer.augmentation_breakdown;
  $("enrolMessage").textContent = answer.message;
  $("countOriginal").textContent = counts.original;
  $("countTraditional").textContent = counts.traditional;
  $("countGenerated").textContent = counts.stable_diffusion;
  $("countTotal").textContent = answer.embeddings_created;
  const time = answer.sd_generation_time;
  $("generationTime").textContent = typeof time === "number" ? `${time.toFixed(1)} s` : "none";
  const notes = answer.warnings.map(warning);
  if (answer.degraded) notes.push(`Not everything was made as asked for: ${words(answer.degraded.reasons)}.`);
  if (answer.rejected.length) {
    notes.push(`Not enrolled: ${answer.rejected.map((r) => `${poseName(r.role)} (${words(r.reasons)})`).join("; ")}.`);
  }
  if (answer.duplicates.length) {
    const alike = answer.duplicates.slice(0, 3).map((d) => known.get(d.person_id) ?? d.person_id).join(", ");
    const more = answer.duplicates.length > 3 ? ` and ${answer.duplicates.length - 3} more` : "";
    notes.push(`Looks like somebody who was enrolled before: ${alike}${more}.`);
  }
  if (answer.not_evaluated?.length) {
    notes.push("Whether somebody enrolled before looks like this could not be found out with this recogniser.");
  }
  $("enrolNotes").replaceChildren(...notes.map((note) => {
    const line = document.createElement("p");
    line.textContent = note;
    return line;
  }));
  show($("enrolResult"), true);
  $("enrolResult").focus();
  $("enrolForm").reset();
  show($("sdAngleSelector"), false);
  listPeople();
}

// The service's words as people say them

const words = (codes) => codes.map((code) => code.replaceAll("_", " ")).join(", ");

const warning = (w) => `The photo is poor (${words(w.reasons)}): people are known less surely by it. Take a better one if you can.`;

function poseName(role) {
  const turned = /^yaw([+-]\d+)_pitch([+-]\d+)$/.exec(role);
  if (!turned) return role.replaceAll("_", " ");
  const [yaw, pitch] = turned.slice(1).map(Number);
  const parts = [yaw && `${yaw > 0 ? "left" : "right"} ${Math.abs(yaw)}`, pitch && `${pitch > 0 ? "down" : "up"} ${Math.abs(pitch)}`];
  return parts.filter(Boolean).join(", ") || "frontal";
}

// Progress

function overlay(visible, text, percent, cancellable) {
  if (!visible) {
    show($("loadingOverlay"), false);
    $("main").inert = $("top").inert = false;
    $("enrolButton").focus();
    return;
  }
  $("sdProgressText").textContent = text;
  if (percent === null || percent === undefined) $("sdProgressBar").removeAttribute("value");
  else $("sdProgressBar").value = percent;
  show($("cancelGeneration"), cancellable);
  if ($("loadingOverlay").hidden) {
    show($("loadingOverlay"), true);
    $("main").inert = $("top").inert = true;
    (cancellable ? $("cancelGeneration") : $("loadingPanel")).focus();
  }
}

const SHARE = { queued: 0, decoded: 5, initializing: 10, assessing: 92, finalizing: 96, done: 100 };

function percentOf(step) {
  return step.step === "angle" ? 15 + (75 * (step.angle - 1)) / step.of : SHARE[step.step];
}

let job = null, unwanted = false;

async function preview(photo) {
  const form = new FormData();
  form.set("file", photo);
  form.set("sd_num_angles", $("sdNumAngles").value);
  $("enrolButton").disabled = true;
  overlay(true, "Sending the photo...", 0, true);
  let views = null;
  [job, unwanted] = [null, false];
  try {
    job = (await api("api/previews", { method: "POST", body: form })).job_id;
    // Cancelled while the photo was on its way: there was no job yet to cancel.
    if (unwanted) return await cancelGeneration();
    const ended = await follow(job);
    if (unwanted || ended === "cancelled") return;
    const made = await api(`api/jobs/${job}`);
    // A generator that fails does not stand in the way; a photo that cannot be used does.
    if (ended === "failed" && !made.error.code.startsWith("worker_")) throw new Refused(422, made.error);
    views = made;
  } catch (error) {
    if (!unwanted) tell($("enrolError"), error, "Failed to enroll person");
  } finally {
    $("enrolButton").disabled = false;
    overlay(false);
  }
  if (views) offer(views);
}

function follow(id) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(`api/jobs/${id}/events`);
    const end = (how) => { source.close(); resolve(how); };
    source.addEventListener("step", (event) => {
      const step = JSON.parse(event.data);
      if (step.text) overlay(true, step.text, percentOf(step), true);
    });
    for (const how of ["done", "failed", "cancelled"]) source.addEventListener(how, () => end(how));
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) reject(new Error("Network error: the progress was lost"));
    });
  });
}

async function cancelGeneration() {
  unwanted = true;
  if (job) await api(`api/jobs/${job}`, { method: "DELETE" }).catch(() => {});
}

$("cancelGeneration").addEventListener("click", cancelGeneration);
$("loadingOverlay").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !$("cancelGeneration").hidden) cancelGeneration();
});

// Looking at what was made

function offer(answer) {
  if (answer.generation_s) {
    $("sdMeasured").textContent =
      `The last generation of ${answer.of} angles on this machine took ${answer.generation_s.toFixed(1)} s.`;
  }
  const passed = answer.previews.filter((view) => view.image);
  const none = answer.error ? `Generation failed: ${answer.error.detail}.` : "No angle passed the gate.";
  const note = passed.length
    ? `${passed.length} of ${answer.previews.length} angles passed the gate. Untick what should not be enrolled.`
    : `${none} The original can still be enrolled.`;
  $("previewNote").textContent = [...answer.warnings.map(warning), note].join(" ");
  $("sdPreviewGrid").replaceChildren(...answer.previews.map(card));
  $("acceptPreviews").disabled = !passed.length;
  show($("acceptPreviews"), passed.length > 0);
  $("sdPreviewModal").showModal();
}

function card(view) {
  const item = document.createElement("li");
  const add = (tag, text) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    item.append(element);
    return element;
  };
  if (!view.image) {
    add("p", `${view.pose}: refused`);
    add("p", words(view.reasons));
    return item;
  }
  const picture = add("img");
  picture.src = view.image;
  picture.alt = `The person, ${view.pose}; made, not photographed`;
  const id = `view${view.index}`;
  const line = add("p");
  line.className = "choice";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.id = id;
  box.value = view.index;
  const label = document.createElement("label");
  label.htmlFor = id;
  label.textContent = view.pose;
  line.append(box, label);
  add("p", `quality ${view.quality.toFixed(2)}`);
  add("p", `by ${words([view.rung])}`);
  return item;
}

$("acceptPreviews").addEventListener("click", () => {
  const accepted = [...$("sdPreviewGrid").querySelectorAll("input:checked")].map((box) => box.value);
  $("sdPreviewModal").close();
  const form = enrolFields();
  form.set("preview_id", job);
  form.set("accepted", accepted.join(","));
  enrol(form);
});

$("rejectPreviews").addEventListener("click", async () => {
  $("sdPreviewModal").close();
  const form = enrolFields();
  form.set("file", $("personPhoto").files[0]);
  form.set("use_augmentation", "false");
  await api(`api/jobs/${job}`, { method: "DELETE" }).catch(() => {});
  enrol(form);
});

// Comparing

$("compareForm").addEventListener("submit", async (event) => {
  event.preventDefault();
  show($("compareError"), false);
  const form = new FormData();
  form.set("file", $("comparePhoto").files[0]);
  if ($("comparePerson").value) form.set("person_id", $("comparePerson").value);
  try {
    const answer = await api("api/compare", { method: "POST", body: form });
    $("compareNote").textContent =
      `${answer.mode} by ${answer.recogniser}, ${answer.compared} compared, match from ${answer.threshold} on. ` +
      "More templates raise strangers' scores too: at one threshold the columns do not have the same false match rate.";
    $("compareRows").replaceChildren(...answer.candidates.map((c) => row(
      known.get(c.person_id) ?? c.name,
      arm(c.without_augmentation),
      arm(c.without_sd),
      arm(c.with_augmentation),
    )));
    if (!answer.candidates.length) $("compareNote").textContent = "Nobody is enrolled who could be compared.";
    show($("compareTable"), answer.candidates.length > 0);
    show($("compareResult"), true);
  } catch (error) {
    show($("compareResult"), false);
    tell($("compareError"), error, "Failed to compare");
  }
});

const arm = (score) => `${score.similarity.toFixed(3)} ${score.match ? "match" : "no match"} (${score.templates})`;

function row(...cells) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const place = document.createElement("td");
    place.append(cell);
    line.append(place);
  }
  return line;
}

// The people

let next = null;
const known = new Map();

async function listPeople(after = null) {
  try {
    const answer = await api(`api/persons${after ? `?after=${after}` : ""}`);
    next = answer.next;
    const lines = answer.persons.map(person);
    // Isolated: a name that is written from right to left does not turn what follows it.
    for (const p of answer.persons) known.set(p.person_id, `\u2068${p.name}\u2069 (…${p.national_id_last4})`);
    const options = answer.persons.map((p) => new Option(known.get(p.person_id), p.person_id));
    if (after) {
      $("peopleRows").append(...lines);
      $("comparePerson").append(...options);
    } else {
      $("peopleRows").replaceChildren(...lines);
      $("comparePerson").replaceChildren(new Option("everybody", ""), ...options);
    }
    $("peopleNote").textContent = `${answer.total} enrolled`;
    show($("peopleTable"), answer.total > 0);
    show($("morePeople"), next !== null);
  } catch (error) {
    $("peopleNote").textContent = error.message;
  }
}

$("morePeople").addEventListener("click", () => listPeople(next));

function person(p) {
  const actions = document.createElement("div");
  actions.className = "actions";
  const bundle = document.createElement("a");
  bundle.href = `api/persons/${p.person_id}/bundle`;
  bundle.textContent = "Bundle";
  bundle.setAttribute("aria-label", `Bundle of ${p.name}`);
  const remove = document.createElement("button");
  remove.type = "button";
  remove.textContent = "Delete";
  remove.setAttribute("aria-label", `Delete ${p.name}`);
  remove.addEventListener("click", async () => {
    if (!confirm(`Delete ${p.name} and every trace of them?`)) return;
    try {
      await api(`api/persons/${p.person_id}`, { method: "DELETE" });
      await listPeople();
      $("peopleNote").textContent = `Deleted ${p.name}`;
    } catch (error) {
      $("peopleNote").textContent = error.message;
    }
  });
  actions.append(bundle, remove);
  const name = document.createElement("bdi");
  name.textContent = p.name;
  // What the columns say that a phone has no room for.
  const brief = document.createElement("span");
  brief.className = "brief";
  brief.textContent = `…${p.national_id_last4}, ${p.embeddings_created} embeddings, ${p.created.slice(0, 10)}`;
  const who = document.createElement("div");
  who.append(name, brief);
  return row(who, `…${p.national_id_last4}`, String(p.embeddings_created), p.created.slice(0, 10), actions);
}

api("api/session").then(() => signedIn(true), () => signedIn(false));
