// Draw white on black, locally; send the ink as grey levels: {ink: [grid, grid]} and a buffer, answered by {done: true}.
const PAUSE = 150; // milliseconds between two messages during a stroke
const FINE = 4; // pixels of the drawing, across and down, that one of the ink averages

const asBytes = (view) => (view.buffer ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array(view));

function render({ model, el }) {
  const grid = model.get("grid"), side = FINE * grid; // not the size on the screen: that and its zoom do not matter
  const board = document.createElement("canvas");
  Object.assign(board, { className: "vae-canvas", width: side, height: side });
  board.setAttribute("role", "img");
  board.setAttribute("aria-label", model.get("alt"));
  const style = { display: "block", width: "100%", height: "auto", boxSizing: "border-box", border: "1px solid #888" };
  Object.assign(board.style, style, { touchAction: "none", userSelect: "none", cursor: "crosshair" });
  el.appendChild(board);
  const pen = board.getContext("2d", { alpha: false, willReadFrequently: true });
  Object.assign(pen, { lineWidth: side * model.get("pen"), lineCap: "round", strokeStyle: "#fff" });

  function read() { // the mean of FINE x FINE pixels, whatever way the browser has of scaling pictures
    const pixels = pen.getImageData(0, 0, side, side).data, sums = new Uint16Array(grid * grid);
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++)
        sums[Math.floor(y / FINE) * grid + Math.floor(x / FINE)] += pixels[4 * (y * side + x)];
    return Uint8Array.from(sums, (sum) => Math.round(sum / FINE ** 2));
  }
  function wipe() {
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, side, side);
  }
  function redraw() { // what the kernel has, unless it came from here: then there may already be more of it
    const ink = asBytes(model.get("ink"));
    if (sent && ink.every((value, i) => value === sent[i])) return;
    const small = new OffscreenCanvas(grid, grid), image = new ImageData(grid, grid);
    ink.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
    small.getContext("2d").putImageData(image, 0, 0);
    pen.drawImage(small, 0, 0, side, side);
  }

  let busy = false, waiting = false, sent = null, when = 0;
  function tell() { // one message at a time
    waiting = busy;
    if (busy) return;
    [busy, sent, when] = [true, read(), performance.now()];
    model.send({ ink: [grid, grid] }, undefined, [sent.buffer.slice(0)]);
  }
  function answered(content) {
    if (content.clear) wipe(), ([waiting, sent] = [false, null]);
    if (content.done) busy = false;
    if (content.done && waiting) tell();
  }

  let pressed = null, last = null;
  function draw(event) {
    const box = board.getBoundingClientRect();
    const now = [((event.clientX - box.left) / box.width) * side, ((event.clientY - box.top) / box.height) * side];
    pen.beginPath();
    pen.moveTo(...(last ?? [now[0] - 0.01, now[1]])); // a dot, too, has a length
    pen.lineTo(...(last = now));
    pen.stroke();
  }
  board.onpointerdown = (event) => {
    if (pressed !== null || event.button !== 0) return;
    [pressed, last] = [event.pointerId, null];
    board.setPointerCapture(pressed);
    draw(event);
  };
  board.onpointermove = (event) => {
    if (event.pointerId !== pressed) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    (moves.length ? moves : [event]).forEach(draw);
    if (!busy && performance.now() - when > PAUSE) tell();
  };
  board.onpointerup = board.onpointercancel = (event) => {
    if (event.pointerId !== pressed) return;
    pressed = null;
    tell();
  };

  wipe();
  redraw();
  model.on("change:ink", redraw);
  model.on("msg:custom", answered);
  return () => {
    model.off("change:ink", redraw);
    model.off("msg:custom", answered);
  };
}

export default { render };
