// Shows /openapi.json and sends what is filled in. Everything that is shown is set as text, never as HTML.
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** What a `$ref` leads to. */
function resolve(api, schema = {}) {
  if (!schema.$ref) return schema;
  return schema.$ref.slice(2).split("/").reduce((value, key) => value[key], api);
}

/** A value that a schema allows, to begin with. */
function example(api, unresolved) {
  const schema = resolve(api, unresolved);
  if (schema.example !== undefined) return schema.example;
  if (schema.properties) {
    return Object.fromEntries(Object.entries(schema.properties).map(([key, value]) => [key, example(api, value)]));
  }
  if (schema.oneOf) return example(api, schema.oneOf.find((one) => one.type !== "null"));
  if (schema.items) return [example(api, schema.items)];
  return { integer: 1, number: 1, boolean: true, string: "" }[[schema.type].flat()[0]] ?? null;
}

function parameterField(api, parameter) {
  const input = element("input", { name: parameter.name, required: Boolean(parameter.required) });
  input.dataset.in = parameter.in;
  if (parameter.example !== undefined) input.placeholder = parameter.example;
  return element("label", {}, `${parameter.name}: ${parameter.description ?? ""}`, input);
}

/** The body as text, or as a file where it is no JSON. */
function bodyField(api, body) {
  const json = body?.content["application/json"];
  if (json) {
    const text = JSON.stringify(example(api, json.schema), null, 2);
    return element("label", {}, "Body", element("textarea", { name: "body", rows: text.split("\n").length, value: text }));
  }
  if (body) return element("label", {}, "Body ", element("input", { name: "file", type: "file", required: true }));
  return "";
}

/** The request that a form describes. */
function request(method, path, form) {
  const headers = { Accept: "application/json" };
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("[data-in]")) {
    if (input.value === "") continue;
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    if (input.dataset.in === "query") query.set(input.name, input.value);
    if (input.dataset.in === "header") headers[input.name] = input.value;
  }
  if ($("#token").value) headers.Authorization = `Bearer ${$("#token").value}`;
  const body = form.elements.body?.value ?? form.elements.file?.files[0];
  const url = path + (query.size ? `?${query}` : "");
  return { url, options: { method: method.toUpperCase(), headers, body } };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The same for a shell; a token is not shown. */
function command(url, { method, headers, body }) {
  const parts = ["curl", ...(method === "GET" ? [] : ["-X", method])];
  for (const [name, value] of Object.entries(headers)) {
    parts.push("-H", name === "Authorization" ? '"Authorization: Bearer $TOKEN"' : quoted(`${name}: ${value}`));
  }
  if (body instanceof File) parts.push("--data-binary", quoted(`@${body.name}`));
  else if (body !== undefined) parts.push("-d", quoted(body));
  return [...parts, quoted(location.origin + url)].join(" ");
}

async function send(route, method, path) {
  const { url, options } = request(method, path, $("form", route));
  const shown = $(".command", route);
  shown.textContent = command(url, options);
  const answer = $(".answer", route);
  shown.hidden = answer.hidden = false;
  try {
    const response = await fetch(url, options);
    const text = await response.text();
    const isJson = (response.headers.get("Content-Type") ?? "").includes("json");
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}\n`).join("");
    const body = isJson ? JSON.stringify(JSON.parse(text), null, 2) : text;
    answer.textContent = `${response.status} ${response.statusText}\n${headers}\n${body}`;
  } catch (error) {
    answer.textContent = `No answer: ${error.message}`;
  }
}

function show(api, path, method, operation) {
  const route = $("#route").content.cloneNode(true).firstElementChild;
  $(".method", route).textContent = method.toUpperCase();
  $(".path", route).textContent = path;
  $(".what", route).textContent = operation.summary ?? "";
  $(".more", route).textContent = operation.description ?? "";
  $(".fields", route).append(
    ...(operation.parameters ?? []).map((parameter) => parameterField(api, parameter)),
    bodyField(api, operation.requestBody),
  );
  const rows = Object.entries(operation.responses).map(([status, response]) =>
    element("tr", {}, element("td", { textContent: status }), element("td", { textContent: response.description })));
  $("tbody", route).append(...rows);
  $("form", route).addEventListener("submit", (event) => {
    event.preventDefault();
    send(route, method, path);
  });
  return route;
}

async function start() {
  const api = await (await fetch("/openapi.json")).json();
  $("#title").textContent = `${api.info.title} ${api.info.version}`;
  $("#about").textContent = api.info.description;
  $("#login").hidden = !api.components.securitySchemes;
  for (const tag of api.tags) {
    const of = Object.entries(api.paths).flatMap(([path, methods]) =>
      Object.entries(methods).filter(([, operation]) => operation.tags[0] === tag.name)
        .map(([method, operation]) => show(api, path, method, operation)));
    if (of.length) $("#routes").append(element("h2", {}, `${tag.name} `, element("small", { textContent: tag.description })), ...of);
  }
}

start();
