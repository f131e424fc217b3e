"""Record a panel, driven by the keyboard, as a small animated GIF."""

import io
from pathlib import Path

from panels import Panel
from PIL import Image, ImageChops

WIDTH, LIMIT = 600, 500_000  # pixels; bytes
VIEW = {"width": 1060, "height": 1000}  # narrow, so that the picture is under the sliders
KEYS = ("PageUp",) * 7 + ("PageDown",) * 14 + ("PageUp",) * 7
PAUSE, REST = 160, 900  # milliseconds that a picture stays, and the first one


def record(panel: Panel, path: Path) -> None:
    """Move each slider there and back, and write what the page shows after each key."""
    page, usual = panel.notebook.page, panel.notebook.page.viewport_size
    page.set_viewport_size(VIEW)
    panel.show()
    panel.reset()
    frames = [photograph(panel)]
    for label in panel.labels:
        for key in KEYS:
            panel.press(label, key)
            frames.append(photograph(panel))
    page.set_viewport_size(usual)
    save(trimmed(frames), path)


def photograph(panel: Panel) -> Image.Image:
    """Return the panel as it stands on the page, once its picture has come."""
    panel.settle()
    return Image.open(io.BytesIO(panel.box.screenshot(animations="disabled", caret="hide"))).convert("RGB")


def trimmed(frames: list[Image.Image], margin: int = 8) -> list[Image.Image]:
    """Cut off what is white in all frames, and make them at most so wide."""
    white = Image.new("RGB", frames[0].size, "white")
    boxes = [ImageChops.difference(frame, white).getbbox() for frame in frames]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    left, top = max(0, min(lefts) - margin), max(0, min(tops) - margin)
    box = (left, top, min(white.width, max(rights) + margin), min(white.height, max(bottoms) + margin))
    cut = [frame.crop(box) for frame in frames]
    width = min(WIDTH, cut[0].width)
    size = (width, round(cut[0].height * width / cut[0].width))
    return [frame.resize(size, Image.Resampling.LANCZOS) for frame in cut]


def save(frames: list[Image.Image], path: Path) -> None:
    """Write frames as a GIF that repeats, with as many colours as its size allows."""
    pauses = [REST] + [PAUSE] * (len(frames) - 1)
    for colours in (128, 64, 32, 16):
        palette = frames[0].quantize(colours, Image.Quantize.MEDIANCUT)
        flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
        flat[0].save(
            stored := io.BytesIO(), "GIF", save_all=True, append_images=flat[1:], duration=pauses, loop=0, optimize=True
        )
        if stored.tell() < LIMIT:
            path.write_bytes(stored.getvalue())
            return
    raise AssertionError(f"the recording has {stored.tell():,} bytes, not under {LIMIT:,}: record fewer keys")
