"use strict";
// Renders /openapi.json. Everything goes in as text, never as markup.
const $ = (id) => document.getElementById(id);

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

// What stands between backticks is code.
function prose(tag, text, className) {
  const e = element(tag, undefined, className);
  e.append(...(text || "").split("`").map((part, i) => (i % 2 ? element("code", part) : part)));
  return e;
}

function type(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const any = schema.oneOf || schema.anyOf;
  if (any) return any.map(type).join(" or ");
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
  const kinds = [].concat(schema.type || "any");
  return kinds.map((kind) => (kind === "array" ? `list of ${type(schema.items)}` : kind)).join(" or ");
}

function table(rows) {
  const t = element("table"), body = element("tbody");
  for (const [name, kind, meaning] of rows) {
    const row = element("tr"), head = element("th");
    head.append(element("code", name));
    row.append(head, element("td", kind, "quiet"), prose("td", meaning));
    body.append(row);
  }
  t.append(body);
  return t;
}

function shape(name, schema) {
  const box = element("details"), head = element("summary"), inside = element("div");
  head.append(element("code", name), prose("span", ` ${schema.description || ""}`, "quiet"));
  const rows = Object.entries(schema.properties || {}).map(([key, value]) => [key, type(value), value.description]);
  inside.append(rows.length ? table(rows) : element("p", type(schema)));
  box.append(head, inside);
  return box;
}

async function send(method, path, body, out) {
  const headers = {}, key = $("key").value;
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  out.hidden = false;
  out.textContent = "…";
  try {
    const response = await fetch(path, { method, headers, body });
    const text = await response.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* lines or plain text are shown as they are */ }
    out.textContent = `${response.status} ${response.statusText}\n${shown}`;
  } catch (error) {
    out.textContent = `The service did not answer: ${error.message}`;
  }
}

function route(path, method, operation) {
  const box = element("details"), head = element("summary"), inside = element("div");
  head.append(element("span", method.toUpperCase(), "method"), element("code", path), element("span", `  ${operation.summary || ""}`, "quiet"));
  if (operation.description) inside.append(prose("p", operation.description));
  const parameters = (operation.parameters || []).map((p) => [p.in === "query" ? `?${p.name}` : p.name, type(p.schema), p.description]);
  const answers = Object.entries(operation.responses || {}).map(([status, r]) => [status, Object.values(r.content || {}).map((c) => type(c.schema)).join(), r.description]);
  inside.append(table([...parameters, ...answers]));
  let input;
  const content = operation.requestBody && Object.values(operation.requestBody.content)[0];
  if (content) {
    input = element("textarea", undefined, "code");
    input.rows = 5;
    input.value = typeof content.example === "string" ? content.example : JSON.stringify(content.example, null, 2);
    const label = element("label", `Body (${type(content.schema)})`);
    input.id = label.htmlFor = `body ${path}`;
    inside.append(element("br"), label, input);
  }
  const fields = (operation.parameters || []).filter((p) => p.in !== "header").map((p) => {
    const field = element("input"), label = element("label", p.name);
    field.id = label.htmlFor = `${p.name} ${path}`;
    inside.append(element("br"), label, field);
    return [p, field];
  });
  const filled = () => {
    const asked = new URLSearchParams();
    let target = path;
    for (const [p, { value }] of fields) {
      if (p.in === "path") target = target.replace(`{${p.name}}`, encodeURIComponent(value));
      else if (value) asked.set(p.name, value);
    }
    return asked.size ? `${target}?${asked}` : target;
  };
  const row = element("div", undefined, "row"), go = element("button", "Try it"), out = element("pre");
  go.type = "button";
  out.hidden = true;
  go.addEventListener("click", () => send(method.toUpperCase(), filled(), input && input.value, out));
  row.append(go);
  inside.append(row, out);
  box.append(head, inside);
  return box;
}

async function main() {
  try {
    const api = await (await fetch("/openapi.json")).json();
    $("about").replaceChildren(...prose("p", api.info.description).childNodes);
    const own = ([path]) => (path.startsWith("/v1/") ? 0 : 1);
    for (const [path, methods] of Object.entries(api.paths).sort((a, b) => own(a) - own(b)))
      for (const [method, operation] of Object.entries(methods)) $("routes").append(route(path, method, operation));
    for (const [name, schema] of Object.entries(api.components.schemas)) $("shapes").append(shape(name, schema));
    $("routes").firstElementChild.open = true;
  } catch (error) {
    $("about").textContent = `/openapi.json could not be read: ${error.message}`;
  }
}

main();
