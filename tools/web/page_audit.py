"""What can be measured of a page's accessibility: names of controls as Chromium computes them,
contrast of texts (WCAG 2.2, 1.4.3), sizes of targets (2.5.8)."""

CONTROLS = {"button", "textbox", "combobox", "slider", "checkbox", "radio", "spinbutton", "link",
            "dialog", "progressbar", "searchbox", "listbox", "switch", "img", "application"}

CONTRAST = """() => {
  const pen = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
      .getContext('2d', { willReadFrequently: true });
  const read = (colour) => {
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const mix = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = (c) => { const [r, g, b] = c.map((v) => {
    const x = v / 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const problems = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest('.unseen, option, :disabled, .skip')) continue;
    const style = getComputedStyle(element);
    const layers = []; let picture = false;
    for (let at = element; at; at = at.parentElement) {
      const look = getComputedStyle(at);
      if (look.backgroundImage !== 'none') { picture = true; break; }
      const colour = read(look.backgroundColor);
      layers.push(colour); if (colour[3] === 1) break;
    }
    if (picture) continue;
    let ground = layers.reverse().reduce((below, top) => mix(top, below), [255, 255, 255]);
    const ink = mix(read(style.color), ground);
    const [high, low] = [light(ink), light(ground)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) problems.push(
        `${ratio.toFixed(2)} ${element.tagName} ${element.className}: ${walker.currentNode.data.trim().slice(0, 30)}`);
  }
  return problems;
}"""

SMALL = """() => [...document.querySelectorAll('button, input, select, textarea, summary, a')]
  .filter((e) => e.checkVisibility() && !e.closest('.skip') && e.type !== 'file')
  .map((e) => [e, (e.closest('label') && ['checkbox', 'radio'].includes(e.type) ? e.closest('label') : e)
      .getBoundingClientRect()])
  .filter(([e, box]) => (box.width < 24 || box.height < 24) && !e.matches('.link') && !e.matches('.skip'))
  .map(([e, box]) => `${e.id || e.className || e.name}: ${box.width.toFixed(0)} x ${box.height.toFixed(0)}`)"""


def unnamed_controls(page):
    """Controls that a screen reader cannot name, as "role: description"."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    problems = []
    for node in nodes:
        role = node.get("role", {}).get("value")
        if node.get("ignored") or role not in CONTROLS:
            continue
        if not node.get("name", {}).get("value", "").strip():
            about = session.send("DOM.describeNode", {"backendNodeId": node["backendDOMNodeId"]})
            problems.append(f"{role}: {about['node'].get('attributes')}")
    session.detach()
    return problems


def contrast_problems(page):
    """Texts with less contrast than 4.5 (3 where large) against a plain ground."""
    return page.evaluate(CONTRAST)


def small_targets(page):
    """Controls smaller than 24 px; links in running text are exempt."""
    return page.evaluate(SMALL)
