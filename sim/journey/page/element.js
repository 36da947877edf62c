/* Elements of the page. Text is always set as text, so that nothing in a journey can be markup. */

function element(tag, className = "", ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content.filter((part) => part !== null && part !== undefined));
  return made;
}

function button(className, text, title, action) {
  const made = element("button", className, text);
  made.type = "button";
  if (title) made.title = title;
  made.addEventListener("click", action);
  return made;
}

/** "1 octet", "2 octets". */
function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
