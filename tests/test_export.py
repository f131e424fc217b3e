"""The page that decodes without Python: what is written into it, what is refused, and its decoder, run by node."""

import base64
import json
import re
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lively import livelier
from torch import nn

from vae_utils.models import VAE, Autoencoder, DigitJudge
from vae_utils.networks import ResidualBlock
from vae_utils.widgets import export
from vae_utils.widgets.export import export_html

SMALL = {
    "mlp": lambda: VAE(3, "mlp", (1, 4, 6)),
    "conv": lambda: VAE(3, "conv", (3, 8, 12)),
    "residual": lambda: Autoencoder(3, "residual", (1, 8, 8)),
}
SIDES = nn.Sequential(  # sizes, strides and paddings that differ between height and width, with biases and without
    nn.Linear(3, 60, bias=False), nn.Unflatten(1, (4, 3, 5)), nn.SiLU(),
    nn.ConvTranspose2d(4, 3, (3, 4), stride=(2, 3), padding=(0, 2), output_padding=(1, 2), bias=False),
    nn.Sequential(ResidualBlock(3), nn.Upsample(scale_factor=(2, 1))),
    nn.Conv2d(3, 5, (4, 1), stride=(3, 2), padding=(2, 0), bias=False), nn.SiLU(), nn.Conv2d(5, 3, 3, padding=(3, 1)),
)  # fmt: skip


def with_decoder(decoder: nn.Module, shape: tuple[int, int, int] = (1, 4, 4), latent_dim: int = 3) -> VAE:
    """Return a model with another decoder."""
    model = VAE(latent_dim, "mlp", shape)
    model.decoder = decoder
    return model


def element(page: str, name: str) -> str:
    """Return what stands in a script element of the page."""
    return re.search(rf'<script type="[a-z/]+" id="{name}">(.*?)</script>', page, re.DOTALL)[1]


def embedded(page: str) -> tuple[list[dict], np.ndarray]:
    """Return the operations and the weights in a page."""
    network = json.loads(element(page, "network"))
    return network["ops"], np.frombuffer(base64.b64decode(network["weights"]), "<f2")


def flat(ops: list[dict]) -> list[dict]:
    return [inner for op in ops for inner in (flat(op["ops"]) if op["op"] == "residual" else [op])]


# ---- what is written


@pytest.mark.parametrize(("latent_dim", "network"), [(20, "conv"), (2, "mlp"), (20, "mlp"), (20, "residual")])
def test_a_page_is_under_two_megabytes(latent_dim, network, tmp_path):
    path = export_html(VAE(latent_dim, network), tmp_path / "new" / "page.html")
    assert path == tmp_path / "new" / "page.html" and 800_000 < path.stat().st_size < 2_000_000


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model, path = SMALL["conv"](), str(tmp_path / "page.html")
    first = export_html(model, path).read_bytes()
    assert export_html(model, path).read_bytes() == first
    assert export_html(SMALL["conv"](), path).read_bytes() != first


@pytest.mark.parametrize("kind", SMALL)
def test_the_weights_are_the_decoders_in_half_precision(kind, tmp_path):
    model = SMALL[kind]()
    ops, weights = embedded(export_html(model, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert np.array_equal(
        weights, np.concatenate([p.detach().half().numpy().ravel() for p in model.decoder.parameters()])
    )
    layers = [layer for layer in model.decoder.modules() if hasattr(layer, "weight")]
    kept = [op for op in flat(ops) if "weight" in op]
    for op, layer in zip(kept, layers, strict=True):
        for name, values in layer.named_parameters():
            here = weights[op[name] : op[name] + values.numel()]
            assert np.array_equal(here, values.detach().half().numpy().ravel())


def test_the_operations_are_those_of_the_decoder(tmp_path):
    ops, _ = embedded(export_html(SMALL["conv"](), tmp_path / "page.html").read_text(encoding="utf-8"))
    names = ["linear", "silu", "linear", "silu", "reshape", "conv_transpose", "silu", "conv_transpose"]
    assert [op["op"] for op in ops] == names and ops[4]["shape"] == [32, 2, 3]
    assert ops[5]["kernel"] == [32, 16, 4, 4] and ops[5]["stride"] == [2, 2] and ops[5]["padding"] == [1, 1]
    ops, _ = embedded(export_html(SMALL["residual"](), tmp_path / "page.html").read_text(encoding="utf-8"))
    assert [op["op"] for op in ops[4]["ops"]] == ["silu", "conv", "silu", "conv"] and ops[7]["factor"] == [2, 2]


def test_the_page_asks_for_nothing(tmp_path):
    page = export_html(SMALL["mlp"](), tmp_path / "page.html").read_text(encoding="utf-8")
    wanted = (
        r"https?:|src=|@import|url\(|fetch\(|XMLHttp|WebSocket|sendBeacon|\bimport\b|eval\(|Function\(|<iframe|<form"
    )
    assert re.findall(wanted, page) == [] and re.findall(r'<link[^>]*href="(.*?)"', page) == ["data:,"]
    assert "default-src 'none'" in page and "unsafe-eval" not in page and "__" not in page
    assert len(page.splitlines()) < 250


def test_settings_say_where_sliders_are_and_start(tmp_path):
    def settings(**given: object) -> dict:
        page = export_html(SMALL["conv"](), tmp_path / "page.html", **given).read_text(encoding="utf-8")
        return json.loads(element(page, "settings"))

    ends = {"shape": [3, 8, 12], "low": -3, "high": 3, "step": 0.05}
    assert settings() == ends | {"start": [0, 0, 0], "dimensions": [0, 1, 2]}
    given = settings(dimensions=np.array([2, 0]), start=torch.tensor([0.5, 9.0, -3.0], requires_grad=True))
    assert given == ends | {"start": [0.5, 9, -3], "dimensions": [2, 0]}
    assert settings(dimensions=range(1), start=[0.1, 7, 8])["start"] == [0.1, 7, 8]


def test_the_title_is_escaped(tmp_path):
    title = '</title><script>alert("&")</script>__NETWORK__'
    page = export_html(SMALL["mlp"](), tmp_path / "page.html", title=title).read_text(encoding="utf-8")
    escaped = "&lt;/title&gt;&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;__NETWORK__"
    assert (
        f"<title>{escaped}</title>" in page
        and f"<h1>{escaped}</h1>" in page
        and "alert(" not in page.replace(escaped, "")
    )
    assert "<title>What the decoder draws</title>" in export_html(SMALL["mlp"](), tmp_path / "page.html").read_text()


def test_what_is_embedded_cannot_end_its_element():
    assert json.loads(export._json("</script><!--")) == "</script><!--" and "<" not in export._json("</script><!--")


@pytest.mark.parametrize("training", [True, False])
def test_the_model_stays_as_it_was(training, tmp_path):
    model = SMALL["residual"]().train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_html(model, tmp_path / "page.html")
    assert all(module.training is training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.device.type == "cpu" and p.dtype == torch.float32 and p.grad is None for p in model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_on_another_device_stays_there_and_gives_the_same_page(tmp_path):
    model = SMALL["conv"]()
    here = export_html(model, tmp_path / "here.html").read_bytes()
    assert export_html(model.cuda(), tmp_path / "there.html").read_bytes() == here
    assert all(p.device.type == "cuda" for p in model.parameters())


# ---- what is refused, with nothing written and an earlier page kept


def refused(tmp_path, error: type[Exception], message: str, model: object, **given: object) -> None:
    path = tmp_path / "page.html"
    path.write_text("an earlier page")
    with pytest.raises(error, match=message):
        export_html(model, path, **given)
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"] and path.read_text() == "an earlier page"


@pytest.mark.parametrize("dimensions", [[], [3], [-1], [0, 0], [0.0], [True], ["0"]])
def test_wrong_dimensions(dimensions, tmp_path):
    refused(tmp_path, ValueError, "different whole numbers from 0 to 2, not", SMALL["mlp"](), dimensions=dimensions)


@pytest.mark.parametrize("start", [[0, 0], [[0, 0, 0]], torch.zeros(4), [0, 0, float("nan")], [0, 0, float("inf")]])
def test_wrong_start(start, tmp_path):
    refused(tmp_path, ValueError, "start must be 3 finite numbers", SMALL["mlp"](), start=start)


def test_what_is_no_title_and_no_path(tmp_path):
    refused(tmp_path, TypeError, "title must be text, not int 3", SMALL["mlp"](), title=3)
    for path in (None, b"page.html", 3):
        with pytest.raises(TypeError, match="path must be the path of a file"):
            export_html(SMALL["mlp"](), path)


def test_a_start_beyond_the_end_of_a_slider(tmp_path):
    message = r"a slider starts in \[-3, 3\], not at z\[1\] = 3.5"
    refused(tmp_path, ValueError, message, SMALL["mlp"](), dimensions=[0, 1], start=[0, 3.5, 9])


@pytest.mark.parametrize(
    ("value", "message"), [("nan", "weight of Linear .*NaN"), ("inf", "NaN or infinite"), ("-inf", "inf")]
)
def test_weights_that_are_no_numbers(value, message, tmp_path):
    model = SMALL["conv"]()
    model.decoder[2].weight.data[0, 0] = float(value)
    refused(tmp_path, ValueError, message, model)


def test_weights_that_half_precision_cannot_hold(tmp_path):
    model = SMALL["conv"]()
    model.decoder[5].bias.data[1] = -65519  # still rounded to the largest number, 65504
    path = export_html(model, tmp_path / "page.html")
    assert np.isfinite(embedded(path.read_text(encoding="utf-8"))[1]).all()
    model.decoder[5].bias.data[1] = -65520
    refused(tmp_path, ValueError, "bias of ConvTranspose2d reaches 65520, above float16's 65504", model)


class Doubled(nn.Linear):
    """A layer that computes something other than the class it comes from."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.BatchNorm1d(3), nn.Flatten(), Doubled(3, 3)])
def test_an_unknown_layer_is_named_with_those_known(layer, tmp_path):
    model = with_decoder(nn.Sequential(nn.Linear(3, 3), nn.Sequential(layer)))
    message = f"cannot run the layer {type(layer).__name__}; it knows Sequential, Linear, SiLU, .*ResidualBlock: build"
    refused(tmp_path, TypeError, message, model)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 2, 3, groups=2), nn.Conv2d(1, 1, 3, dilation=2), nn.Conv2d(1, 1, 3, padding="same"),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.ConvTranspose2d(1, 1, 3, dilation=2),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Upsample(scale_factor=1.5), nn.Upsample(size=8),
        nn.Unflatten(1, (-1, 2, 2)), nn.Unflatten(2, (1, 2, 2)),
    ],
)  # fmt: skip
def test_an_unknown_setting_of_a_layer_is_named(layer, tmp_path):
    refused(
        tmp_path, TypeError, rf"cannot run {type(layer).__name__}\(.*: it knows", with_decoder(nn.Sequential(layer))
    )


def test_a_model_without_a_decoder_of_codes_to_pictures(tmp_path):
    for model in (
        DigitJudge(),
        nn.Linear(2, 2),
        SimpleNamespace(decoder=nn.Linear(2, 2), config={"latent_dim": 2}),
        None,
    ):
        refused(tmp_path, TypeError, f"model must be a VAE or an Autoencoder, .* of a {type(model).__name__}", model)
    refused(tmp_path, ValueError, "1 or 3 channels, not 2", VAE(2, image_shape=(2, 4, 4)))
    conditional = with_decoder(VAE(13, image_shape=(1, 4, 4)).decoder)
    refused(tmp_path, ValueError, "does not take codes of 3 numbers", conditional)
    refused(tmp_path, ValueError, r"gives \[16\], not a picture \[1, 4, 4\]", with_decoder(nn.Linear(3, 16)))


def test_a_decoder_that_is_too_large(tmp_path):
    refused(
        tmp_path,
        ValueError,
        r"2,1\d\d,\d{3} bytes, not under 2,000,000: export a smaller",
        VAE(20, image_shape=(1, 32, 32)),
    )


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.html").mkdir()
    for path in (tmp_path / "file" / "page.html", tmp_path / "folder.html"):
        with pytest.raises(OSError, match=f"cannot write {re.escape(str(path))}: choose"):
            export_html(SMALL["mlp"](), path)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder.html"]


# ---- the page's own decoder


def by_node(page: str, codes: torch.Tensor) -> torch.Tensor:
    """Return the pictures [N, C * H * W] that the page's decoder makes of codes [N, L]."""
    network, script = element(page, "network"), element(page, "decoder")
    program = f"""
        const window = globalThis, document = {{ getElementById: () => ({{ textContent: {json.dumps(network)} }}) }};
        (() => {{ "use strict"; {script} }})();
        console.log(JSON.stringify({codes.tolist()}.map((z) => [...explorer.decode(z)])));
    """
    done = subprocess.run(["node", "-"], input=program, capture_output=True, text=True, timeout=60, check=True)
    return torch.tensor(json.loads(done.stdout))


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
@pytest.mark.parametrize("kind", [*SMALL, "sides"])
def test_the_pages_decoder_draws_what_pytorch_draws(kind, tmp_path):
    model = livelier(SMALL[kind]() if kind in SMALL else with_decoder(SIDES, shape=(3, 10, 7)))
    codes = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).clamp(-3, 3)
    page = export_html(model, tmp_path / "page.html").read_text(encoding="utf-8")
    with torch.no_grad():
        wanted = model.decode(codes).sigmoid().flatten(1)
        drawn = by_node(page, codes)
        assert wanted.amax() - wanted.amin() > 0.5 and (drawn - wanted).abs().max() < 1 / 255
        for p in model.decoder.parameters():
            p.copy_(p.half().float())  # with the same rounding there is hardly any difference
        assert (drawn - model.decode(codes).sigmoid().flatten(1)).abs().max() < 1e-5
