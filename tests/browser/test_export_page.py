"""The exported page in a real browser, from a file and without a network: every picture is the one PyTorch draws."""

from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from lively import livelier
from torch import nn

from vae_utils.models import VAE, Autoencoder
from vae_utils.widgets.export import export_html

MODELS = {
    "mlp": lambda: VAE(20, "mlp"),
    "conv": lambda: Autoencoder(20, "conv"),
    "residual": lambda: VAE(20, "residual"),
    "colour": lambda: VAE(20, "conv", (3, 24, 16)),
}
MODES = {
    "all": {"start": [1.5, -1.5] * 10},
    "two": {"dimensions": [7, 3], "start": [0.05 * k for k in range(20)]},
}
TWO = MODES["two"]
PIXELS = """canvas => {  // read from a copy: the browser warns of a canvas that is read again and again
    const { width, height } = canvas, copy = new OffscreenCanvas(width, height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, width, height);
    return { data: btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join("")), width, height };
}"""


class Shown:
    """A model's page in a browser, compared with the model after each thing that is done to it."""

    def __init__(self, page, model: nn.Module, start: list[float], dimensions: list[int]) -> None:
        self.page, self.model, self.start, self.dimensions = page, model, torch.tensor(start), dimensions
        self.sliders, self.largest = page.get_by_role("slider"), 0.0

    def values(self) -> list[float]:
        return [float(value) for value in self.sliders.evaluate_all("all => all.map(slider => slider.value)")]

    def decoded(self, values: torch.Tensor) -> torch.Tensor:
        """Return what PyTorch draws [N, C, H, W], in 0..255, where the sliders have these values [N, sliders]."""
        z = self.start.repeat(len(values), 1)
        z[:, self.dimensions] = values
        with torch.no_grad():
            return self.model.decode(z).sigmoid() * 255

    def canvas(self, name: str) -> torch.Tensor:
        """Return the pixels [C, H, W] of a canvas, which are opaque, and grey if the model's are."""
        seen = self.page.locator(name).evaluate(PIXELS)
        data = torch.frombuffer(bytearray(b64decode(seen["data"])), dtype=torch.uint8)
        pixels = data.view(seen["height"], seen["width"], 4).permute(2, 0, 1)
        channels = self.model.config["image_shape"][0]
        assert (pixels[3] == 255).all() and (channels == 3 or (pixels[:3] == pixels[0]).all())
        return pixels[:channels].float()

    def compare(self, seen: torch.Tensor, wanted: torch.Tensor) -> None:
        assert seen.shape == wanted.shape
        self.largest = max(self.largest, (seen - wanted).abs().max().item())
        assert self.largest <= 1, f"a pixel is {self.largest:.2f} of 255 apart"

    def check(self) -> list[float]:
        """Hold the picture and the readouts against the sliders, and return the sliders' values."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        values = self.values()
        wanted = self.decoded(torch.tensor([values]))[0]
        assert wanted.max() - wanted.min() > 255 / 2, "the picture is too flat to tell anything"
        self.compare(self.canvas("#picture"), wanted)
        readouts = [text.replace("\N{MINUS SIGN}", "-") for text in self.page.locator("output").all_text_contents()]
        assert readouts == [f"{value:.2f}" for value in values]
        return values


@pytest.fixture
def show(browser, tmp_path):
    """A function that exports a model and opens its page, where nothing may go wrong and nothing be asked for."""

    @contextmanager
    def opened(kind: str, dimensions=None, start=None, **context: object) -> Iterator[Shown]:
        model, troubles = livelier(MODELS[kind]()), []
        path = export_html(model, tmp_path / "page.html", dimensions=dimensions, start=start)
        with browser.new_context(**context) as tab:
            page = tab.new_page()
            page.on("console", lambda message: troubles.append(message.text))
            page.on("pageerror", lambda error: troubles.append(str(error)))
            page.on("request", lambda request: None if request.url == path.as_uri() else troubles.append(request.url))
            page.route("**/*", lambda route: route.continue_() if route.request.url == path.as_uri() else route.abort())
            page.goto(path.as_uri())
            shown = Shown(page, model, start or [0.0] * 20, dimensions or list(range(20)))
            yield shown
            print(f"{kind}: pixels are at most {shown.largest:.2f} of 255 apart")
            assert troubles == []

    return opened


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", MODELS)
def test_the_picture_is_the_models(show, kind, mode):
    with show(kind, **MODES[mode]) as shown:
        start = [shown.start[d].item() for d in shown.dimensions]
        assert shown.check() == pytest.approx(start)
        for key, moved in {"ArrowRight": start[1] + 0.05, "Home": -3, "ArrowUp": -2.95, "End": 3}.items():
            shown.sliders.nth(1).press(key)
            assert shown.check() == pytest.approx([start[0], moved, *start[2:]])
        drawn = []
        for _ in range(4):
            shown.page.get_by_role("button", name="Random").click()
            drawn.append(shown.check())
        assert drawn[0] != drawn[1] and -3 <= min(map(min, drawn)) < 0 < max(map(max, drawn)) <= 3
        shown.page.get_by_role("button", name="Reset").press("Enter")
        assert shown.check() == pytest.approx(start)


def test_random_draws_from_a_standard_normal(show):
    with show("conv") as shown:
        drawn = []
        for _ in range(50):
            shown.page.get_by_role("button", name="Random").click()
            drawn += shown.values()
        drawn = torch.tensor(drawn)  # 1000 numbers: five standard errors
        assert abs(drawn.mean()) < 0.16 and abs(drawn.std() - 1) < 0.12 and drawn.abs().max() <= 3


@pytest.mark.parametrize("kind", ["conv", "colour"])
def test_the_map_is_the_plane_and_leads_through_it(show, kind):
    with show(kind, **TWO, viewport={"width": 1100, "height": 1100}) as shown:
        pad, page = shown.page.locator("#pad[aria-busy=false]"), shown.page
        pad.wait_for()
        centres = torch.arange(-7, 8) * 0.4  # of 15 pictures that fill the square from -3 to 3
        rows = [shown.decoded(torch.stack([centres, y.expand(15)], dim=1)) for y in centres.flip(0)]
        shown.compare(shown.canvas("#pad"), torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1))
        box = pad.bounding_box()
        for x, y in [(0.25, 0.1), (0.9, 0.8)]:
            pad.click(position={"x": x * box["width"], "y": y * box["height"]})
            assert shown.check() == pytest.approx([6 * x - 3, 3 - 6 * y], abs=0.06)
            cross = page.locator("#cross").bounding_box()
            assert cross["x"] + cross["width"] / 2 == pytest.approx(box["x"] + x * box["width"], abs=6)
            assert cross["y"] + cross["height"] / 2 == pytest.approx(box["y"] + y * box["height"], abs=6)
        page.mouse.move(box["x"] + 50, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=3)
        assert shown.check() == pytest.approx([0, 0], abs=0.06)
        page.mouse.move(box["x"] + box["width"] + 30, box["y"] - 30)  # beyond the corner, still held
        assert shown.check() == [3, 3]
        page.mouse.up()
        page.mouse.move(box["x"] + 50, box["y"] + 50)
        assert shown.check() == [3, 3]


def test_a_finger_does_as_a_mouse_does_on_a_phone(show):
    with show("conv", **TWO, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True) as shown:
        pad, page = shown.page.locator("#pad"), shown.page
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        page.touchscreen.tap(box["x"] + 0.75 * box["width"], box["y"] + 0.75 * box["height"])
        assert shown.check() == pytest.approx([1.5, -1.5], abs=0.06)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_picture_stays_in_sight_on_a_phone(show):
    with show("conv", viewport={"width": 360, "height": 740}) as shown:
        shown.sliders.last.scroll_into_view_if_needed()
        shown.page.evaluate("scrollTo(0, document.body.scrollHeight)")
        box = shown.page.locator("#picture").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] < shown.sliders.last.bounding_box()["y"]


def test_nothing_is_global_but_the_explorer(show, tmp_path):
    with show("conv") as shown:
        blank = shown.page.context.new_page()
        (tmp_path / "blank.html").touch()
        blank.goto((tmp_path / "blank.html").as_uri())
        own = [set(page.evaluate("() => Object.getOwnPropertyNames(window)")) for page in (shown.page, blank)]
        assert own[0] - own[1] == {"explorer"}
        assert shown.page.evaluate("() => Object.keys(explorer)") == ["decode"]
        z = torch.linspace(-2, 2, 20)
        seen = torch.tensor(shown.page.evaluate("z => [...explorer.decode(z)]", z.tolist()))
        with torch.no_grad():
            shown.compare(255 * seen, 255 * shown.model.decode(z[None]).sigmoid().flatten())


def test_each_control_has_a_name(show):
    with show("mlp", **TWO) as shown:
        assert [shown.page.get_by_role("slider", name=f"z[{d}]").count() for d in (7, 3)] == [1, 1]
        names = [shown.page.locator(name).get_attribute("aria-label") for name in ("#picture", "#pad")]
        assert (
            names[0].startswith("The picture decoded")
            and names[1].startswith("A map of")
            and "z[7] and z[3]" in names[1]
        )
        assert shown.page.get_by_role("img").count() == 2
    with show("mlp") as shown:
        assert shown.page.get_by_role("img").count() == 1 and shown.page.locator("#plane").is_hidden()


def test_without_javascript_the_page_says_so(show):
    with show("mlp", java_script_enabled=False) as shown:
        assert "switched off" in shown.page.locator("noscript").inner_text()
