// Elements without markup in strings: what comes from the server or a file's name is only ever text.
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.className = value;
    else if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A bar with the threshold at its middle line; the value is in thresholds.
export function bar(value, label) {
  const width = 100;
  const shown = Math.min(value / 2, 1) * width;
  return drawn("svg", { viewBox: `0 0 ${width} 10`, class: "bar", role: "img", "aria-label": label, preserveAspectRatio: "none" },
    drawn("rect", { width, height: 10, class: "bar-ground" }),
    drawn("rect", { width: shown, height: 10, class: value > 1 ? "bar-far" : "bar-near" }),
    drawn("rect", { x: width / 2 - 0.5, width: 1, height: 10, class: "bar-line" }));
}
