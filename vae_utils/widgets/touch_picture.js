// Show the image in `value`, and say where it is pressed: {point: [across, down]}, answered by {done: true}.
function render({ model, el }) {
  const img = document.createElement("img");
  const style = { display: "block", width: "100%", height: "auto", cursor: "crosshair" };
  Object.assign(img, { className: "vae-picture", draggable: false, alt: model.get("alt") });
  Object.assign(img.style, style, { touchAction: "none", userSelect: "none" });
  el.appendChild(img);

  let begun = 0, shown = 0, url = "";
  async function show() { // change the source only once the new image is decoded, so that nothing flickers
    const turn = ++begun, fresh = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    const copy = new Image();
    copy.src = fresh;
    const good = await copy.decode().then(() => true, () => false);
    if (!good || turn < shown) return URL.revokeObjectURL(fresh); // broken, or overtaken by a later one
    const old = url;
    img.src = url = fresh;
    shown = turn;
    if (old) URL.revokeObjectURL(old);
  }

  let busy = false, waiting = null, pressed = null;
  function tell(point) { // one message at a time, and of those that must wait only the last
    if (busy) waiting = point;
    else [busy, waiting] = [true, null], model.send({ point });
  }
  function answered(content) {
    if (!content.done) return;
    busy = false;
    if (waiting) tell(waiting);
  }
  function place(event) {
    const box = img.getBoundingClientRect();
    const inside = (part) => Math.min(1, Math.max(0, part));
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  }
  img.onpointerdown = (event) => {
    if (pressed !== null || event.button !== 0) return;
    pressed = event.pointerId;
    img.setPointerCapture(pressed);
    tell(place(event));
  };
  img.onpointermove = (event) => event.pointerId === pressed && tell(place(event));
  img.onpointerup = img.onpointercancel = (event) => event.pointerId === pressed && (pressed = null);

  const rename = () => (img.alt = model.get("alt"));
  model.on("change:value", show);
  model.on("change:alt", rename);
  model.on("msg:custom", answered);
  show();
  return () => {
    model.off("change:value", show);
    model.off("change:alt", rename);
    model.off("msg:custom", answered);
    if (url) URL.revokeObjectURL(url);
  };
}

export default { render };
