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
  const made = drawn("svg", { class: "bar", role: "img" },
    drawn("rect", { width: "100%", height: "100%", class: "bar-ground" }),
    drawn("rect", { height: "100%" }),
    drawn("rect", { x: "50%", width: 2, height: "100%", class: "bar-line" }));
  moveBar(made, value, label);
  return made;
}

export function moveBar(made, value, label) {
  made.setAttribute("aria-label", label);
  made.children[1].setAttribute("width", `${Math.max(0, Math.min(value / 2, 1)) * 100}%`);
  made.children[1].setAttribute("class", value > 1 ? "bar-far" : "bar-near");
}
