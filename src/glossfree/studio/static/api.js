// The HTTP interface. Every failure is an ApiError that says what is wrong, where, and what to do.

import { t } from "./texts.js";

export class ApiError extends Error {
  constructor(status, { problem, where, remedy }) {
    super(problem);
    Object.assign(this, { status, problem, where: where ?? "", remedy: remedy ?? "" });
  }
}

function explain(status, body) {
  const details = body?.error ?? (typeof body?.detail === "object" && !Array.isArray(body.detail) ? body.detail : null);
  if (details?.problem) return new ApiError(status, details);
  if (status === 413) return new ApiError(status, { problem: t("too_large"), remedy: t("too_large_remedy") });
  if (status === 429) return new ApiError(status, { problem: t("busy"), remedy: t("busy_remedy") });
  if (status === 0) return new ApiError(status, { problem: t("unreachable"), remedy: t("unreachable_remedy") });
  return new ApiError(status, { problem: t("failed_status", { status }) });
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw explain(0);
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw explain(response.status, body);
  return body;
}

export const get = (path) => request(path);

export const post = (path, body) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const remove = (path) => request(path, { method: "DELETE" });

/** Send a video; `onprogress` gets the share that has been sent. XMLHttpRequest, since fetch cannot tell. */
export function upload(path, file, fields, onprogress, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  form.append("video", file, file.name);
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", path);
    sending.responseType = "json";
    sending.upload.onprogress = (event) => event.lengthComputable && onprogress(event.loaded / event.total);
    sending.onload = () =>
      sending.status < 300 ? resolve(sending.response) : reject(explain(sending.status, sending.response));
    sending.onerror = () => reject(explain(0));
    sending.onabort = () => reject(new DOMException("", "AbortError"));
    signal?.addEventListener("abort", () => sending.abort());
    sending.send(form);
  });
}
