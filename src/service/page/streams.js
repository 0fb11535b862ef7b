"use strict";
// The streams and alarms below the form. Uses what page.js defines; everything that came from outside goes in as text.
const EVERY = 10000;
const SHOWN = 20;
const KINDS = { template_flood: "near-duplicates of one another", campaign: "different texts of one kind", broad_rise: "machine-like texts that have nothing else in common" };

function percent(value) {
  return `${Math.round(100 * value)}%`;
}

function name(key) {
  return key === "*" ? "all documents" : key;
}

function streamRow(s) {
  const row = element("tr"), head = element("th", name(s.key)), state = element("td");
  state.append(element("span", s.state === "flood" ? "Flood" : "Quiet", `state ${s.state}`));
  if (s.calibration_mismatch) state.append(element("br"), element("span", "people here write unlike the calibration's", "quiet small"));
  const share = element("td", percent(s.share.estimate), "number");
  share.append(element("span", ` ${percent(s.share.low)} to ${percent(s.share.high)}`, "quiet small"));
  row.append(head, state, element("td", number(s.documents, 9), "number"), share);
  return row;
}

function alarmItem(a) {
  const item = element("li"), when = new Date(a.at);
  const what = a.event === "raised" ? "Flood" : "Over";
  item.append(element("span", what, `state ${a.event === "raised" ? "flood" : "quiet"}`), " ", element("strong", name(a.key)));
  const text = a.event === "raised"
    ? ` after ${number(a.documents, 9)} documents: about ${percent(a.severity.share)} machine text, ${KINDS[a.kind] || a.kind}${a.found_by ? `; found by the score for ${a.found_by}` : ""}. `
    : ` after ${number(a.documents, 9)} documents. `;
  const time = element("time", when.toLocaleString(), "quiet small");
  time.dateTime = a.at;
  item.append(text, time);
  if (a.event === "raised" && a.examples.length) item.append(element("br"), element("span", `For example ${a.examples.join(", ")}`, "quiet small"));
  return item;
}

async function ask(path) {
  const key = $("key").value;
  const response = await fetch(path, { headers: key ? { authorization: `Bearer ${key}` } : {} });
  return response.ok ? response.json() : null;
}

async function refresh() {
  if (document.hidden) return;
  try {
    const lists = ["state=flood&", "flood=true&", ""].map((which) => ask(`/v1/streams?${which}limit=${SHOWN}`));
    const [inAlarm, standingOut, all, list] = await Promise.all([...lists, ask("/v1/alarms?limit=1")]);
    if (!inAlarm || !standingOut || !all || !list) return;
    const newest = await ask(`/v1/alarms?after=${Math.max(0, list.newest - SHOWN)}`);
    const byKey = new Map([inAlarm, standingOut, all].flatMap((page) => page.streams).map((s) => [s.key, s]));
    const rows = [...byKey.values()].slice(0, SHOWN);
    $("streams").hidden = !rows.some((s) => s.documents);
    $("streamrows").replaceChildren(...rows.map(streamRow));
    $("morestreams").hidden = !all.next;
    const alarms = newest ? newest.alarms.reverse() : [];
    $("noalarms").hidden = alarms.length > 0;
    $("alarms").replaceChildren(...alarms.map(alarmItem));
  } catch {
    // The service has gone; what was shown stays, and the next time it may be back.
  }
}

refresh();
setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);
