/* The octets of a packet layer by layer, and what is different from another time that one looked at them. */

/**
 * Pair the layers of two states by name, from the innermost out: a header that was pushed is then a layer more, and
 * all behind it is compared with what it was. Each: {name, before, after, status, changed}, where changed has
 * positions within the layer.
 */
function alignLayers(journeyA, before, journeyB, after) {
  const was = before === null ? [] : journeyA.states[before].layers;
  const is = after === null ? [] : journeyB.states[after].layers;
  const pairs = [];
  let [i, j] = [was.length - 1, is.length - 1];
  while (i >= 0 || j >= 0) {
    if (i >= 0 && j >= 0 && was[i].name === is[j].name) pairs.unshift([was[i--], is[j--]]);
    else if (j >= 0 && (i < 0 || !was.slice(0, i + 1).some((layer) => layer.name === is[j].name)))
      pairs.unshift([null, is[j--]]);
    else pairs.unshift([was[i--], null]);
  }
  return pairs.map(([a, b]) => {
    const changed = new Set();
    if (a && b) {
      const [old, now] = [journeyA.octets(before), journeyB.octets(after)];
      const length = Math.max(a.end - a.begin, b.end - b.begin);
      for (let at = 0; at < length; at += 1) {
        const missing = a.begin + at >= a.end || b.begin + at >= b.end;
        if (missing || old[a.begin + at] !== now[b.begin + at]) changed.add(at);
      }
    }
    const status = !a ? (before === null ? "first" : "new") : !b ? "gone" : changed.size ? "changed" : "same";
    return { name: (b ?? a).name, before: a, after: b, status, changed };
  });
}

/** What changed, in a few words: "+ UDP, IPv4: 2 octets". */
function changeText(journey, from, to) {
  if (from === null) return "first seen";
  const words = {
    new: (pair) => `+ ${pair.name}`,
    gone: (pair) => `− ${pair.name}`,
    changed: (pair) => `${pair.name}: ${count(pair.changed.size, "octet")}`,
  };
  const parts = alignLayers(journey, from, journey, to)
    .filter((pair) => words[pair.status])
    .map((pair) => words[pair.status](pair));
  const [a, b] = [journey.states[from], journey.states[to]];
  if (!parts.length && a.data !== b.data) parts.push(`skb->data ${a.data} → ${b.data}`);
  if (!parts.length && a.note !== b.note) parts.push(b.note || `no longer ${a.note}`);
  return parts.join(", ") || "nothing";
}

/** Shows two states of a packet as one dump, cut into layers. */
class OctetView {
  static CHANGED = { was: "was", changed: "changed", new: "new", gone: "gone" };
  static COMPARED = { was: "A", changed: "differ", new: "only in B", gone: "only in A" };
  static MOST = 256; // Octets of a layer that are shown at once.
  static COLOURS = ["Ethernet", "802.1Q", "ARP", "IPv4", "UDP", "ICMP", "Payload", "Padding", "FCS"];

  constructor(width, words = OctetView.CHANGED) {
    this.words = words;
    this.perRow = width > 540 ? 16 : 8;
  }

  /** side is "after" or "before": whose octets are shown. */
  render(journeyA, before, journeyB, after, side = "after") {
    const root = element("div", "octets");
    const [journey, index] = side === "after" ? [journeyB, after] : [journeyA, before];
    const state = index === null ? null : journey.states[index];
    for (const pair of alignLayers(journeyA, before, journeyB, after)) {
      const other = side === "after" ? pair.before : pair.after;
      const own = side === "after" ? pair.after : pair.before;
      if (own && state.data && state.data === own.begin) root.append(element("div", "data-mark", "skb->data"));
      root.append(
        this.#layer(pair, own, other, state, {
          own: index === null ? null : journey.octets(index),
          other:
            side === "after"
              ? before === null
                ? null
                : journeyA.octets(before)
              : after === null
                ? null
                : journeyB.octets(after),
        }),
      );
    }
    return root;
  }

  static colour(name) {
    const known = OctetView.COLOURS.findIndex((one) => name.toLowerCase().startsWith(one.toLowerCase()));
    return known >= 0
      ? known
      : [...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % OctetView.COLOURS.length;
  }

  #layer(pair, own, other, state, octets) {
    const layer = own ?? other;
    const section = element("section", `layer status-${pair.status}`);
    section.dataset.layer = pair.name;
    section.dataset.status = pair.status;
    section.style.setProperty("--layer", `var(--layer-${OctetView.colour(pair.name)})`);
    if (own && state.data && own.end <= state.data) section.classList.add("behind");
    const word = this.words[pair.status];
    const badge = pair.status === "changed" ? `${count(pair.changed.size, "octet")} ${word}` : word;
    section.append(
      element(
        "h4",
        "",
        element("b", "", pair.name),
        element("small", "", count(layer.end - layer.begin, "octet")),
        badge ? element("span", "badge", badge) : null,
      ),
    );
    section.append(this.#dump(pair, own, other, state, octets), this.#fields(pair, own, other));
    return section;
  }

  #dump(pair, own, other, state, octets) {
    const layer = own ?? other;
    const data = own ? octets.own : octets.other;
    const dump = element("div", "dump");
    const length = layer.end - layer.begin;
    const late = [...pair.changed].some((at) => at >= OctetView.MOST);
    const add = (from, to) => {
      for (let at = from; at < to; at += this.perRow)
        this.#row(dump, pair, own, other, state, data, octets.other, at, Math.min(at + this.perRow, length));
    };
    add(0, late ? length : Math.min(length, OctetView.MOST));
    if (length > OctetView.MOST && !late) {
      dump.append(
        button("more", `… ${count(length - OctetView.MOST, "octet")} more`, "", (event) => {
          event.target.remove();
          add(OctetView.MOST, length);
        }),
      );
    }
    return dump;
  }

  #row(dump, pair, own, other, state, data, old, from, to) {
    const layer = own ?? other;
    const hex = element("span", "hex");
    const text = element("span", "ascii");
    const was = element("span", "hex");
    let differs = false;
    for (let at = from; at < to; at += 1) {
      const i = layer.begin + at;
      const changed = pair.changed.has(at);
      const octet = element("span", changed ? "o changed" : "o", hexText(data[i]));
      octet.dataset.i = i;
      if (own && state.data === i && i) octet.classList.add("data");
      const field = layer.fields.find(([, , begin, end]) => i >= begin && i < end);
      octet.title = `octet ${i}${field ? `, ${field[0]}: ${field[1]}` : ""}`;
      hex.append(octet);
      text.append(
        element("span", changed ? "changed" : "", data[i] >= 32 && data[i] < 127 ? String.fromCharCode(data[i]) : "·"),
      );
      const known = changed && own && other && other.begin + at < other.end;
      differs ||= Boolean(known);
      was.append(element("span", "", known ? hexText(old[other.begin + at]) : ""));
    }
    const offset = String(layer.begin + from).padStart(4, " ");
    dump.append(element("div", "row", element("span", "offset", offset), hex, text));
    if (differs) dump.append(element("div", "row was", element("span", "offset", this.words.was), was));
  }

  #fields(pair, own, other) {
    const table = element("table", "fields");
    for (const [name, value, begin, end] of (own ?? other).fields) {
      const before = own && other ? other.fields.find((field) => field[0] === name) : null;
      const row = element(
        "tr",
        before && before[1] !== value ? "changed" : "",
        element("th", "", name),
        element("td", "", value),
      );
      if (before && before[1] !== value) row.lastChild.append(" ", element("s", "", before[1]));
      row.dataset.begin = begin;
      row.dataset.end = end;
      row.addEventListener("mouseenter", () => this.#light(row, true));
      row.addEventListener("mouseleave", () => this.#light(row, false));
      table.append(row);
    }
    return table;
  }

  /** Show which octets a field has. */
  #light(row, on) {
    for (const octet of row.closest(".layer").querySelectorAll(".o")) {
      const i = Number(octet.dataset.i);
      octet.classList.toggle("lit", on && i >= Number(row.dataset.begin) && i < Number(row.dataset.end));
    }
  }
}

function hexText(octet) {
  return octet.toString(16).padStart(2, "0");
}
