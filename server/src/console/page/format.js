// Numbers and times as people read them, each with its unit.

const THIN = "\u202f";

function digits(value, most = 3) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  const after = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : most;
  const number = Number(value.toFixed(Math.min(after, most)));
  return number.toLocaleString("en", { maximumFractionDigits: most });
}

/** A whole number with its thousands apart. */
export const count = value => Number(value).toLocaleString("en");

/** A value of a panel with this unit; a dash where there is none. */
export function value(number, unit) {
  if (number === null || number === undefined || Number.isNaN(number)) return "–";
  switch (unit) {
    case "s": return seconds(number);
    case "share": return `${digits(number * 100, 1)}${THIN}%`;
    case "bytes": return bytes(number);
    case "/s": return `${digits(number, 2)}/s`;
    case "cores": return `${digits(number * 100, 1)}${THIN}%`;
    default: return digits(number, 2);
  }
}

/** A duration, from microseconds to hours. */
export function seconds(number) {
  const size = Math.abs(number);
  if (size === 0) return `0${THIN}s`;
  if (size < 0.001) return `${digits(number * 1e6, 0)}${THIN}µs`;
  if (size < 1) return `${digits(number * 1e3, 1)}${THIN}ms`;
  if (size < 120) return `${digits(number, 1)}${THIN}s`;
  return span(number);
}

/** A time of minutes and more, in whole parts. */
export function span(number) {
  const whole = Math.max(0, Math.round(number));
  if (whole < 120) return `${whole}${THIN}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 120) return `${minutes}${THIN}min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}${THIN}h` : `${Math.floor(hours / 24)}${THIN}days`;
}

export function bytes(number) {
  if (Math.abs(number) >= 1 << 30) return `${digits(number / (1 << 30))}${THIN}GiB`;
  if (Math.abs(number) >= 1 << 20) return `${digits(number / (1 << 20), 1)}${THIN}MiB`;
  return `${digits(number / 1024, 1)}${THIN}KiB`;
}

/** The time of day of a date, in the visitor's zone. */
export function clock(date) {
  return Number.isNaN(date.getTime()) ? "–" : date.toLocaleTimeString("en-GB");
}

/** Date and time in the visitor's zone, the date only if it is another than today's. */
export function moment(text) {
  const date = new Date(text);
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock(date) : `${date.toLocaleDateString("en-CA")} ${clock(date)}`;
}

/** The first digits of a digest, which tell versions apart. */
export const short = digest => digest.slice(0, 12);

/** Round steps of an axis from 0 to at least `most`: two to four of them. */
export function steps(most, unit) {
  if (!(most > 0)) return unit === "share" ? [0, 0.5, 1] : unit === "s" ? [0, 0.001] : unit === "bytes" ? [0, 1 << 20] : [0, 1];
  if (unit === "share") return [0, 0.5, 1];
  // Memory is counted in powers of 1024.
  const base = unit === "bytes" ? 1024 ** Math.floor(Math.log(most) / Math.log(1024)) : 1;
  const scaled = most / base;
  const power = 10 ** Math.floor(Math.log10(scaled / 2));
  const round = [1, 2, 2.5, 5, 10].map(times => times * power).find(step => scaled / step <= 4) * base;
  // What is counted in wholes has no halves.
  const step = unit === "" ? Math.max(1, round) : round;
  const found = [];
  for (let at = 0; at < most + step; at += step) {
    found.push(Number(at.toPrecision(12)));
    if (at >= most) break;
  }
  return found;
}
