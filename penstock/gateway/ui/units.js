// Quantities in people's words.

export const milliseconds = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`);

export function bytes(size) {
  if (size < 1000) return `${size} B`;
  const [unit, by] = size < 1e6 ? ["kB", 1e3] : size < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${(size / by).toFixed(size / by < 10 ? 1 : 0)} ${unit}`;
}

export function ago(unixMs, nowMs = Date.now()) {
  const minutes = Math.floor((nowMs - unixMs) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(unixMs).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}
