"use strict";
// Everything that came from outside goes in as text, never as markup.
const $ = (id) => document.getElementById(id);
const BUCKETS = [
  ["b1", "1–10", "top_10"],
  ["b2", "11–100", "top_100"],
  ["b3", "101–1000", "top_1000"],
  ["b4", "above 1000", "rest"],
];
const STATISTICS = [
  ["perplexity", "Perplexity", "how many equally likely words the model hesitated between"],
  ["mean_surprisal_nats", "Mean surprisal (nats)", "−ln of the probability of each token"],
  ["surprisal_std", "Spread of surprisal (nats)", "people vary more"],
  ["mean_log_rank", "Mean log rank", "0 when every token was the model's first guess"],
  ["lrr", "LRR", "surprisal over log rank"],
  ["mean_entropy_nats", "Mean entropy (nats)", "how unsure the model was"],
  ["discrepancy", "Discrepancy", "Fast-DetectGPT's curvature; higher is more machine-like"],
];
const REASONS = {
  empty: "There is no text to judge.",
  too_short: "The text is too short for a verdict. A few sentences more would help.",
  unsupported_language: "The text does not seem to be in a language that the model knows.",
  not_prose: "The text is code, a table, numbers, or the same few words over and over.",
  memorised: "The model knows most of the text by heart.",
  uncalibrated: "This model has no calibration, so there are numbers and no verdict.",
  unscorable: "The model's numbers for this text cannot be used.",
  uncertain: "Both people and machines often write like this. That is an honest answer, not an error.",
};

// White space is tidied up in honest texts too, so it is not told.
const DISGUISES = { homoglyphs: "look-alike letters", zero_width: "invisible characters", control: "control characters", compatibility: "unusual letter forms" };

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function number(value, digits = 3) {
  return value === null || value === undefined ? "—" : Number(value).toLocaleString("en", { maximumSignificantDigits: digits });
}

function seldom(p) {
  const of = [10, 100, 1000, 10000].find((n) => p * n >= 1) || 10000;
  return `about ${Math.max(1, Math.round(p * of))} in ${of.toLocaleString("en")} human texts score this high or higher`;
}

function words(a) {
  const p = a.p_value === null || a.p_value === undefined ? "" : ` (${seldom(a.p_value)})`;
  if (a.verdict === "machine") return ["Looks machine-made", `People seldom write like this${p}. That is evidence, not proof: where few posts are by machines, most of those flagged are by people.`];
  if (a.verdict === "human" && a.machine_probability === null) return ["Reads like a person", `Most texts by people score like this${p}.`];
  if (a.verdict === "human") return ["Reads like a person", `Machine texts seldom score this low${p}.`];
  return ["Cannot tell", REASONS[a.abstain_reason] || `No verdict is given: ${a.abstain_reason}.`];
}

function bucket(rank) {
  return BUCKETS[rank <= 10 ? 0 : rank <= 100 ? 1 : rank <= 1000 ? 2 : 3][0];
}

// Offsets are bytes of the UTF-8 text; tokens of one split character share its range and are shown once, with the worst rank.
function colour(text, tokens) {
  const bytes = new TextEncoder().encode(text), utf8 = new TextDecoder();
  const slice = (from, to) => utf8.decode(bytes.subarray(from, to));
  const out = document.createDocumentFragment();
  let at = 0;
  for (let i = 0; i < tokens.length; ) {
    const { start, end } = tokens[i];
    let worst = tokens[i];
    for (i++; i < tokens.length && tokens[i].start < end; i++) if (tokens[i].rank > worst.rank) worst = tokens[i];
    const last = Math.max(end, tokens[i - 1].end);
    if (last <= at) continue;
    if (start > at) out.append(slice(at, start));
    const span = element("span", slice(Math.max(start, at), last), bucket(worst.rank));
    span.title = `rank ${worst.rank}, surprisal ${number(worst.surprisal_nats)} nats`;
    out.append(span);
    at = last;
  }
  if (at < bytes.length) out.append(slice(at, bytes.length));
  return out;
}

function show(a, text) {
  const [headline, meaning] = words(a);
  $("verdict").className = `verdict ${a.verdict}`;
  $("headline").textContent = headline;
  $("meaning").textContent = meaning;
  const numbers = [["p-value", number(a.p_value)], ["Machine probability", number(a.machine_probability, 2)], ["Score", number(a.score)], ["Tokens", number(a.tokens, 9)], ["Words", number(a.words, 9)]];
  $("numbers").replaceChildren(...numbers.map(([name, value]) => {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  }));
  const changed = Object.entries(DISGUISES).filter(([key]) => a.normalization[key] > 0).map(([key, name]) => `${name} (${a.normalization[key]})`);
  $("changed").hidden = !changed.length;
  $("changed").textContent = `Undone before scoring: ${changed.join(", ")}.`;
  const shares = a.statistics ? a.statistics.rank_fractions : {};
  $("legend").replaceChildren(...BUCKETS.map(([name, ranks, key]) => {
    const item = element("li");
    item.append(element("span", "a", name), `rank ${ranks}`, a.statistics ? ` · ${Math.round(100 * shares[key])}%` : "");
    return item;
  }));
  $("coloured").replaceChildren(colour(text, a.token_scores || []));
  $("statistics").tBodies[0].replaceChildren(...STATISTICS.map(([key, name, meaning]) => {
    const row = element("tr"), head = element("th", name);
    head.append(element("br"), element("span", meaning, "quiet small"));
    row.append(head, element("td", number(a.statistics && a.statistics[key]), "number"));
    return row;
  }));
  $("source").textContent = `Model ${a.model}, calibration ${a.calibration}.`;
  $("result").hidden = false;
}

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

async function assess() {
  const text = $("text").value, key = $("key").value;
  const headers = { "content-type": "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  $("go").disabled = true;
  $("go").textContent = "Reading …";
  problem("");
  try {
    const response = await fetch("/v1/assess?tokens=true", { method: "POST", headers, body: JSON.stringify({ text }) });
    const answer = await response.json();
    if (response.ok) return show(answer, text);
    $("result").hidden = true;
    if (response.status === 401) {
      $("keyrow").hidden = false;
      $("key").focus();
    }
    problem(response.status === 401 ? (key ? "This is not the service's key." : "This service asks for a key.") : answer.error.message);
  } catch (error) {
    $("result").hidden = true;
    problem(`The service did not answer: ${error.message}`);
  } finally {
    $("go").disabled = false;
    $("go").textContent = "Assess";
  }
}

$("go").addEventListener("click", assess);
document.addEventListener("keydown", (e) => {
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey || e.target === $("key")) && !$("go").disabled) assess();
});
