// Every text of the page in English and German.

import { TABLE } from "./table.js";

const CODES = ["en", "de"];

export const language = () => {
  const chosen = localStorage.getItem("language") ?? navigator.language.slice(0, 2);
  return CODES.includes(chosen) ? chosen : "en";
};

export const setLanguage = (code) => localStorage.setItem("language", code);

/** t("clips", {count: 3}) -> the text of a key with its {count} filled in */
export function t(key, values = {}) {
  const text = TABLE[key]?.[CODES.indexOf(language())] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A number with so many digits, as the language writes it. */
export const number = (value, digits = 1) =>
  value.toLocaleString(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const percent = (share) => `${number(100 * share, 0)} %`;

/** 75.2 -> "1:15.2" */
export function clock(seconds, digits = 1) {
  const rest = (seconds % 60).toFixed(digits);
  return `${Math.floor(seconds / 60)}:${rest.padStart(digits ? 3 + digits : 2, "0")}`;
}

/** Seconds left or spent -> "2 h 5 min", "40 s" */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// What the intake notes about a video, said kindly. The other notes are shown as they are.
const KIND = [
  [/^([\d.]+) frames\/s, and the model was trained at ([\d.]+)/, "note_rate"],
  [/^stillness cut off: ([\d.]+) s at the start, ([\d.]+) s at the end/, "note_still"],
  [/^width \/ height is ([\d.]+), training's ([\d.]+)/, "note_crop"],
  [/^(\d+) s long, the longest clip of training ([\d.]+) s/, "note_long"],
  [/^the model does not say its frame rate: the clip's ([\d.]+)/, "note_unknown_rate"],
];

/** Notes -> texts, one of each kind: many segments of a video have the same. */
export function kindly(notes) {
  const texts = new Map();
  for (const note of notes) {
    const [match, key] = KIND.map(([pattern, kind]) => [note.match(pattern), kind]).find(([matches]) => matches) ?? [null, note];
    if (!texts.has(key)) texts.set(key, match ? t(key, { a: match[1], b: match[2] }) : note);
  }
  return [...texts.values()];
}

// What is often wrong with a video, in both languages. Other problems are shown as the server says them, in English.
const PROBLEMS = [
  [/^not a video, or truncated|^no video stream|^no frames in it/, "wrong_kind"],
  [/^damaged|^truncated/, "wrong_damaged"],
  [/^([\d.]+) s long, and at most ([\d.]+) s/, "wrong_long"],
  [/^(\d+) x (\d+) pixels, and at most/, "wrong_pixels"],
  [/^too short to be signing: (\d+)/, "wrong_short"],
  [/^no such translation/, "wrong_forgotten"],
];

/** {problem, remedy} of an error -> the same as two sentences for a person. */
export function explained({ problem, remedy }) {
  for (const [pattern, key] of PROBLEMS) {
    const match = problem.match(pattern);
    if (match) return { problem: t(key, { a: match[1], b: match[2] }), remedy: t(`${key}_remedy`) };
  }
  return { problem: sentence(problem), remedy: remedy && `${sentence(remedy)}.`.replace("..", ".") };
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
