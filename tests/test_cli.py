"""The command line: what it trains, draws and writes, and what it says when it is asked for something wrong."""

import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tools.files import ROOT
from vae_utils import checkpoints, models, sources, training
from vae_utils.cli import main, parser, settings
from vae_utils.cli.commands import COMMANDS
from vae_utils.models import VAE

SHORT = ["--steps", "12", "--batch-size", "32"]


@pytest.fixture(scope="module")
def runs(embedded_folder, tmp_path_factory) -> Path:
    """A folder of small trained models: of two dimensions, of eight, a conditional one, one with a classifier."""
    folder = tmp_path_factory.mktemp("runs")
    wanted = {
        "VAE": ["VAE", "--latent-dim", "2"], "wide": ["VAE", "--latent-dim", "8"], "CVAE": ["CVAE"],
        "LabelledVAE": ["LabelledVAE"], "Autoencoder": ["Autoencoder", "--latent-dim", "2"],
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"VAE_DATA": embedded_folder, "VAE_DEVICE": "cpu", "VAE_PROGRESS": "0"}.items():
            patch.setenv(name, str(value))
        patch.setattr(sources, "mirrors", lambda name: [])
        for name, words in wanted.items():
            assert main(["train", *words, *SHORT, "--steps", "100", "--out", str(folder / name)]) == 0
    return folder


@pytest.fixture
def run(embedded_folder, offline, monkeypatch, tmp_path, capsys):
    """Run a command in an empty folder; return its exit status, the lines it printed, and what it complained."""
    monkeypatch.setenv("VAE_DATA", str(embedded_folder))
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, list[str], str]:
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as stop:
            status = stop.code
        printed = capsys.readouterr()
        return status, printed.out.splitlines(), printed.err

    return call


@pytest.fixture
def draw(run):
    """Run a command that writes a picture; return its pixels, after a look at the one line that it printed."""

    def call(*words: object, out: str = "out.png") -> np.ndarray:
        status, lines, errors = run(*words, "--out", out)
        assert status == 0, errors
        assert len(lines) == 1 and lines[0].startswith(f"{out}: ")
        return opened(out)

    return call


def cells(picture: np.ndarray, side: int = 28) -> np.ndarray:
    """Return the images [rows, columns, side, side] of a sheet drawn at scale 1, a pixel of white between them."""
    rows, columns = ((length + 1) // (side + 1) for length in picture.shape[:2])
    assert picture.shape == (rows * (side + 1) - 1, columns * (side + 1) - 1, 3)
    grey = np.pad(picture[..., 0], ((0, 1), (0, 1)))
    return grey.reshape(rows, side + 1, columns, side + 1).swapaxes(1, 2)[:, :, :side, :side].astype(int)


def opened(path: str | Path) -> np.ndarray:
    """Return the pixels of a picture in a file."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return np.abs(a - b).mean()


def weights(folder: str | Path) -> dict[str, torch.Tensor]:
    return checkpoints.load(Path(folder, "model.safetensors")).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ---- help


def test_help_comes_without_the_heavy_packages():
    command = [sys.executable, "-X", "importtime", "-m", "vae_utils", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert all(f"\n    {name} " in result.stdout for name in COMMANDS) and "examples" in result.stdout
    imported = set(re.findall(r"\|\s+(\w+)", result.stderr))
    assert "argparse" in imported and not {"torch", "matplotlib", "numpy", "PIL"} & imported


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_its_own_example(name, run):
    status, lines, _ = run(name, "--help")
    example = next(line.strip() for line in lines if line.startswith(f"  python -m vae_utils {name} "))
    assert status == 0 and parser().parse_args(shlex.split(example)[3:]).name == name


def test_readme_has_every_command():
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## From the command line\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+ [^`]*)` \|", section, flags=re.MULTILINE)
    assert [row.split()[0] for row in rows] == list(COMMANDS) and len(section.splitlines()) <= 25
    for row in rows:
        assert parser().parse_args(shlex.split(row)).name == row.split()[0]


# ---- train


@pytest.mark.parametrize("kind", models.KNOWN)
def test_every_model_is_trained(kind, run, runs):
    network = [] if kind in ("DigitJudge",) else ["--network", "mlp"]
    needed = {"Autoencoder": ["--latent-dim", 3], "CodeM2": ["--codes-of", runs / "VAE"]}.get(kind, [])
    status, lines, errors = run("train", kind, *network, *needed, *SHORT, "--steps", 3)
    assert status == 0, errors
    assert len(lines) == 1 and re.match(rf"runs.{kind}: {kind} trained for 3 steps .* test images cost -?\d", lines[0])
    kept = checkpoints.load(Path("runs", kind, "model.safetensors"))
    assert type(kept).__name__ == kind
    assert sorted(path.name for path in Path("runs", kind).iterdir()) == [
        *("config.json", "curves.csv", "curves.png", "model.safetensors")
    ]


def test_a_run_leaves_its_curves_and_its_configuration(run):
    assert run("train", "vae", "--latent-dim", 3, "--beta", 0.5, *SHORT, "--out", "a")[0] == 0
    curves = pd.read_csv("a/curves.csv", index_col="step")
    assert list(curves) == ["loss", "recon", "kl"] and list(curves.index) == list(range(12))
    np.testing.assert_allclose(curves.loss, curves.recon + 0.5 * curves.kl, rtol=1e-5)
    assert curves.loss.iloc[-1] < curves.loss.iloc[0] and opened("a/curves.png").shape[:2] == (340, 900)
    stored = json.loads(Path("a/config.json").read_text())
    assert stored | {"model": "VAE", "latent_dim": 3, "beta": 0.5, "steps": 12, "data": "mnist"} == stored
    assert run("train", "--config", "a/config.json", "--out", "b")[0] == 0
    assert same(weights("a"), weights("b")) and Path("a/curves.csv").read_bytes() == Path("b/curves.csv").read_bytes()
    assert run("train", "--config", "a/config.json", "--seed", 1, "--out", "c")[0] == 0
    assert not same(weights("a"), weights("c"))


def test_a_run_equals_the_training_in_python(run, embedded_folder):
    from vae_utils.data import load_dataset

    assert run("train", "VAE", "--latent-dim", 3, *SHORT, "--seed", 4)[0] == 0
    torch.manual_seed(4)
    model = VAE(3)
    training.fit(model, load_dataset(root=embedded_folder).train, steps=12, batch_size=32, seed=4)
    assert same(weights("runs/VAE"), model.state_dict())


def test_the_command_line_goes_before_the_file(run):
    Path("c.json").write_text('{"model": "M2", "latent-dim": 4, "alpha": 3, "binarise": false, "steps": 2, "lr": 1}')
    words = ["--lr", 1e-3, "--alpha", 7, "--binarise", "--labels", 100, "--share", 0.5]
    assert run("train", "--config", "c.json", *words, *SHORT[2:])[0] == 0
    stored = json.loads(Path("runs/M2/config.json").read_text())
    told = {"latent_dim": 4, "alpha": 7.0, "binarise": True, "steps": 2, "lr": 1e-3, "labels": 100, "share": 0.5}
    assert stored | told == stored
    assert checkpoints.load("runs/M2/model.safetensors").config["alpha"] == 7.0


def test_toml_is_read_from_python_3_11_on(run, monkeypatch):
    Path("c.toml").write_text('model = "VAE"\nlatent_dim = 3\nsteps = 2\nbatch_size = 8\n')
    if sys.version_info >= (3, 11):
        assert run("train", "--config", "c.toml")[0] == 0
        assert json.loads(Path("runs/VAE/config.json").read_text())["latent_dim"] == 3
    monkeypatch.setitem(sys.modules, "tomllib", None)  # as in Python 3.10
    status, _, errors = run("train", "--config", "c.toml", "--fresh")
    assert status == 2 and "TOML needs Python 3.11 or newer; write the same settings as JSON" in errors


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"model": "VAE", "latent": 2}', "latent, which is no setting: the known ones are model, data, out"),
        ('{"model": "VAE", "latent_dim": "two"}', "latent_dim in c.json must be a whole number, not 'two'"),
        ('{"model": "VAE", "steps": 2.5}', "steps in c.json must be a whole number, not 2.5"),
        ('{"model": "M2", "binarise": 1}', "binarise in c.json must be true or false, not 1"),
        ('{"model": "VAE", "data": "cifar"}', "data in c.json must be one of mnist, fashion_mnist, not 'cifar'"),
        ('{"model": "VAE", "alpha": 2}', "VAE has no setting alpha (that is for M2, CodeM2): it takes latent_dim"),
        ('{"latent_dim": 2}', "say which model to train"),
        ('["VAE"]', "c.json must hold names and values"),
        ("{", "c.json cannot be read"),
        ("[" * 100_000, "c.json cannot be read: maximum recursion depth exceeded"),
        ('{"model": "VAE", "lr": 1' + 400 * "0" + "}", "lr in c.json must be a number that a float can hold, not 1000"),
    ],
)
def test_a_wrong_configuration_is_refused(text, complaint, run):
    Path("c.json").write_text(text)
    status, lines, errors = run("train", "--config", "c.json")
    assert status == 2 and lines == [] and complaint in errors and errors.count("\n") == 1
    assert not Path("runs").exists()


def test_names_mean_one_thing(runs):
    """A setting of a model may not be called like one of the training or of the command."""
    of_models = set().union(*settings.model_settings().values())
    own = set(inspect.signature(settings.Options).parameters) | {"model", "config", "resume", "fresh", "device"}
    of_fit = set(settings.fit_settings())
    assert not of_models & own and not of_models & of_fit and not own & of_fit
    assert {"latent_dim", "network", "alpha"} <= of_models and {"steps", "lr"} <= of_fit


# ---- stopped, and gone on with


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Press the stop button once, in the n-th step: in PyTorch's code, so that the project's stays as it is."""
    plain, asked = torch.Tensor.backward, []

    def backward_or_stop(self: torch.Tensor, *args: object, **settings: object) -> None:
        asked.append(1)
        if len(asked) == step:
            raise KeyboardInterrupt
        plain(self, *args, **settings)

    monkeypatch.setattr(torch.Tensor, "backward", backward_or_stop)


def test_a_stopped_training_exits_with_130_and_is_no_finished_one(run, monkeypatch):
    stop_at(monkeypatch, 5)
    status, lines, errors = run("train", "VAE", *SHORT)
    assert status == 130 and lines == [] and "stopped by hand; to go on: " in errors and "Traceback" not in errors
    assert not Path("runs/VAE/model.safetensors").exists()


def test_a_stop_anywhere_else_exits_with_130(run, runs, monkeypatch):
    monkeypatch.setattr(checkpoints, "load", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run("samples", runs / "VAE", "--out", "x.png")[::2] == (130, "python -m vae_utils: stopped by hand\n")


def test_a_stopped_training_goes_on_to_the_same_bit(run, monkeypatch):
    words = ["train", "VAE", "--latent-dim", 2, *SHORT, "--steps", 30]
    words += ["--checkpoint-every", 10, "--samples-every", 15]
    assert run(*words, "--out", "whole")[0] == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 25)
        status, _, errors = run(*words, "--out", "the parts")
    assert status == 130 and "to go on: python -m vae_utils train --resume --out 'the parts'" in errors
    assert Path("the parts/unfinished.checkpoint").is_file() and not Path("the parts/model.safetensors").exists()
    status, _, errors = run(*words, "--out", "the parts")
    assert status == 2 and "--resume goes on with it, --fresh starts anew" in errors
    status, _, errors = run("train", "--resume", "--out", "the parts", "--lr", 1e-4)
    assert status == 2 and "lr = 0.003, not 0.0001" in errors
    assert run("train", "--resume", "--out", "the parts", "--samples-every", 10)[0] == 2
    with monkeypatch.context() as patch:  # cut off again, it has less to do
        stop_at(patch, 8)
        assert run("train", "--resume", "--out", "the parts", "--checkpoint-every", 4)[0] == 130
    assert run("train", "--resume", "--out", "the parts")[0] == 0
    assert same(weights("whole"), weights("the parts"))
    for name in ("curves.csv", "samples/step-000000.png", "samples/step-000030.png"):
        assert Path("whole", name).read_bytes() == Path("the parts", name).read_bytes()
    assert sorted(path.name for path in Path("the parts").iterdir()) == [
        *("config.json", "curves.csv", "curves.png", "model.safetensors", "samples")
    ]


def test_fresh_forgets_an_unfinished_training(run):
    Path("runs/VAE").mkdir(parents=True)
    Path("runs/VAE/unfinished.checkpoint").write_bytes(b"left over")
    assert run("train", "VAE", *SHORT)[0] == 2
    assert run("train", "VAE", *SHORT, "--resume", "--fresh")[0] == 2
    assert run("train", "VAE", *SHORT, "--fresh")[0] == 0
    assert not Path("runs/VAE/unfinished.checkpoint").exists()


def test_a_finished_run_is_neither_replaced_nor_resumed(run):
    words = ["train", "VAE", *SHORT]
    assert run(*words)[0] == 0
    before = Path("runs/VAE/model.safetensors").read_bytes()
    status, _, errors = run(*words)
    assert status == 2 and "holds a finished training: choose another --out, or replace it by --fresh" in errors
    status, lines, _ = run(*words, "--resume")
    assert status == 0 and "is finished: there is nothing to resume" in lines[0]
    assert run(*words, "--resume", "--seed", 1)[0] == 2
    assert Path("runs/VAE/model.safetensors").read_bytes() == before
    assert run(*words, "--seed", 1, "--fresh")[0] == 0
    assert Path("runs/VAE/model.safetensors").read_bytes() != before


def test_resume_without_anything_begins(run):
    status, _, errors = run("train", "VAE", *SHORT, "--resume")
    assert status == 0 and "starts at the first step" in errors


# ---- pictures


def test_samples_follow_seed_and_temperature(draw, runs):
    sheet = draw("samples", runs / "VAE", "-n", 6, "--columns", 3, "--scale", 1)
    images = cells(sheet)
    assert images.shape[:2] == (2, 3) and apart(images[0, 0], images[0, 1]) > 1
    assert np.array_equal(sheet, draw("samples", runs / "VAE", "-n", 6, "--columns", 3, "--scale", 1))
    assert not np.array_equal(sheet, draw("samples", runs / "VAE", "-n", 6, "--columns", 3, "--scale", 1, "--seed", 1))
    still = cells(draw("samples", runs / "VAE", "-n", 4, "--temperature", 0, "--scale", 1))
    assert apart(still, still[:1, :1]) == 0
    assert draw("samples", runs / "CVAE").shape == (2 * (8 * 29 - 1), 2 * (8 * 29 - 1), 3)


def test_samples_carry_the_titles_of_a_classifier(draw, runs):
    plain = draw("samples", runs / "LabelledVAE", "-n", 20, "--columns", 10)
    titled = draw("samples", runs / "LabelledVAE", "-n", 20, "--columns", 10, "--titles")
    assert titled.shape[2] == 4 and titled.shape != plain.shape
    yellow = (titled[..., 0] > 200) & (titled[..., 2] < 120)
    assert yellow.sum() > 40


@pytest.mark.parametrize("name", ["CVAE", "VAE", "Autoencoder"])
def test_rows_and_digits_are_of_their_class(name, draw, runs):
    rows = cells(draw("rows", runs / name, "-n", 4, "--scale", 1))
    assert rows.shape[:2] == (10, 4)
    assert all(apart(row[0], row[1]) > 1 for row in rows), "the images in a row differ"
    assert apart(rows[0], rows[1]) > 5, "zeros are no ones"
    ones = cells(draw("digit", runs / name, 1, "-n", 4, "--scale", 1))
    assert np.array_equal(ones[0], rows[1])


@pytest.mark.parametrize("name", ["VAE", "CVAE"])
def test_a_transition_begins_and_ends_at_the_reconstructions(name, draw, runs):
    words = ["--images", 3, 4, "--steps", 7, "--scale", 1]
    way = cells(draw("transition", runs / name, *words))[0]
    ends = cells(draw("reconstruct", runs / name, "--first", 3, "-n", 2, "--scale", 1))[1]
    assert len(way) == 7 and apart(way[0], ends[0]) < 0.1 and apart(way[-1], ends[1]) < 0.1
    gaps = [apart(a, b) for a, b in zip(way, way[1:], strict=False)]
    assert max(gaps) < 0.8 * apart(way[0], way[-1])
    arc = cells(draw("transition", runs / name, *words, "--way", "spherical"))[0]
    assert apart(arc[0], way[0]) < 0.1 and apart(arc[3], way[3]) > 0.01


def test_a_transition_between_classes_moves_in_a_gif(run, runs):
    words = ["transition", runs / "VAE", "--classes", 0, 1, "--steps", 5, "--out", "walk.gif", "--seconds", 1]
    status, lines, _ = run(*words)
    assert status == 0 and lines[0].startswith("walk.gif: 5 pictures")
    with Image.open("walk.gif") as film:
        assert (film.n_frames, film.size, film.info["loop"], film.info["duration"]) == (8, (56, 56), 0, 120)
        frames = [np.asarray(film.convert("L")).astype(int) for k in range(8) if film.seek(k) is None]
    assert apart(frames[0], frames[4]) > 5 and apart(frames[3], frames[5]) < 1


def test_folders_hold_labelled_images(run, runs):
    for name, way in {"CVAE": "asked of the CVAE", "VAE": "from Gaussians fitted"}.items():
        status, lines, errors = run("folders", runs / name, "-n", 43, "--out", f"made/{name}", "--temperature", 0.8)
        assert status == 0 and way in lines[0], errors
        files = sorted(Path("made", name).glob("*/*.png"))
        assert [len(list(Path("made", name, str(k)).iterdir())) for k in range(10)] == [5, 5, 5, 4, 4, 4, 4, 4, 4, 4]
        images = np.stack([opened(path) for path in files]).astype(int)
        assert images.shape == (43, 28, 28) and apart(images[:5].mean(0), images[5:10].mean(0)) > 5
        assert (
            sorted(path.name for path in Path("made").iterdir())[-1] == name and len(list(Path("made").iterdir())) > 0
        )
    status, _, errors = run("folders", runs / "VAE", "-n", 43, "--out", "made/VAE")
    assert status == 2 and "there already" in errors
    assert not list(Path("made").glob(".*")), "nothing half-made is left"


def test_a_map_shows_the_classes(draw, runs):
    axes = draw("map", runs / "VAE")
    assert axes.shape == (600, 600, 4)
    colours = {tuple(pixel) for pixel in axes.reshape(-1, 4)}
    assert len(colours) > 500
    wide = draw("map", runs / "wide", "-n", 100)
    assert not np.array_equal(wide, draw("map", runs / "wide", "-n", 100, "--by", "tsne"))


@pytest.mark.parametrize(("name", "words"), [("VAE", []), ("wide", []), ("CVAE", ["--digit", 3])])
def test_the_plane_is_decoded(name, words, draw, runs):
    plane = cells(draw("map", runs / name, "--plane", "--side", 5, *words))
    assert plane.shape[:2] == (5, 5) and apart(plane[2, 0], plane[2, 4]) > 1 and apart(plane[0, 2], plane[4, 2]) > 0


def test_reconstructions_stand_below_the_originals(draw, runs, embedded_folder, offline):
    from vae_utils.data import load_dataset

    pairs = cells(draw("reconstruct", runs / "VAE", "-n", 4, "--first", 7, "--scale", 1))
    test = load_dataset(root=embedded_folder).test.images[7:11, 0].numpy()
    assert np.array_equal(pairs[0], test) and 5 < apart(pairs[0], pairs[1]) < 60


def test_curves_are_drawn_of_a_run_and_of_a_file(draw, runs):
    first = draw("curves", runs / "VAE")
    assert np.array_equal(first, draw("curves", runs / "VAE" / "model.safetensors"))
    assert first.shape == (340, 900, 4)


def test_a_page_holds_the_decoder(run, runs):
    from vae_utils.cli import drawing, walking

    assert run("page", runs / "VAE", "--out", "a.html", "--title", "Two numbers")[0] == 0
    assert "<title>Two numbers" in Path("a.html").read_text(encoding="utf-8")
    assert run("page", runs / "CVAE", "--out", "b.html", "--digit", 7, "--dimensions", 0, 3)[0] == 0
    kept = drawing.open_model(runs / "CVAE")
    z = torch.randn(4, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(walking.without_label(kept, 7).decode(z), kept.model.decode(z, torch.full((4,), 7)))


def test_pictures_go_beside_the_model_if_nobody_says(run, runs):
    status, lines, _ = run("digit", runs / "CVAE", 7)
    assert status == 0 and (runs / "CVAE" / "digit-7.png").is_file() and lines[0].startswith(str(runs / "CVAE"))


# ---- what is wrong


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("draw", "invalid choice: 'draw'"),
        ("train", "say which model to train, here or in a configuration file: Autoencoder, VAE"),
        ("train GAN", "there is no model 'GAN': the known ones are Autoencoder, VAE"),
        ("train Autoencoder", "Autoencoder needs latent_dim: give it as --latent-dim"),
        ("train VAE --latent-dim two", "argument --latent-dim: invalid int value: 'two'"),
        ("train VAE --latent-dim 0", "latent_dim must be a whole number of at least 1"),
        ("train VAE --latent 2", "unrecognized arguments: --latent"),
        ("train VAE --network cnn", "there is no network 'cnn'"),
        ("train VAE --steps 0", "steps must be a whole number of at least 1 and"),
        ("train VAE --seed 99999999999999999999", "seed must be a whole number of at least 0 and at most 9.2"),
        ("train VAE --alpha 2", "VAE has no setting alpha (that is for M2, CodeM2)"),
        ("train VAE --labels 100", "labels is for LabelledVAE, M2, CodeM2"),
        ("train M2 --share 0.5", "share is of the labelled images"),
        ("train CodeM2", "give it --codes-of"),
        ("train CodeM2 --codes-of {runs}/Autoencoder", "wants a VAE, which answers with mu and logvar"),
        ("train VAE --data cifar", "invalid choice: 'cifar'"),
        ("train VAE --config none.json", "there is no configuration file none.json"),
        ("train VAE --device abacus", "VAE_DEVICE is 'abacus', which this machine cannot use"),
        ("train VAE --samples-every 0", "samples_every must be a whole number of at least 1, not 0"),
        ("train VAE --checkpoint-every 0", "checkpoint_every must be a whole number of at least 1, not 0"),
        ("train Autoencoder --latent-dim 2 --samples-every 5", "an Autoencoder does not have"),
        ("train Classifier --samples-every 5", "a Classifier, which draws nothing"),
        ("train --resume", "say which training goes on"),
        ("samples nowhere", "there is no model nowhere"),
        ("samples README.txt", "is not a readable checkpoint"),
        ("samples {runs}/VAE --out x.jpg", "must be a file that ends in .png, not x.jpg"),
        ("samples {runs}/VAE -n 0", "n must be a whole number of at least 1 and at most 20000, not 0"),
        ("samples {runs}/VAE --temperature -1", "temperature must be a finite number of at least 0, not -1.0"),
        ("samples {runs}/VAE --titles", "a VAE has no classifier"),
        ("samples {runs}/Autoencoder", "which has no prior to sample from"),
        ("digit {runs}/CVAE ten", "there is no class 'ten': the classes are 0 to 9"),
        ("digit {runs}/VAE 3 --temperature -1", "temperature must be a finite number of at least 0"),
        ("digit {runs}/VAE 3 --temperature 1e30", "temperature must be a finite number of at least 0 and at most 10,"),
        ("digit {runs}/VAE 3 -n 99999999999", "n must be a whole number of at least 1 and at most 20000"),
        ("rows {runs}/VAE --seed 99999999999999999999", "seed must be a whole number of at least 0 and at most 9.2"),
        ("rows {runs}/VAE -n 99999999999", "n must be a whole number of at least 1 and at most 20000"),
        ("samples {runs}/VAE -n 99999999999", "n must be a whole number of at least 1 and at most 20000"),
        ("samples {runs}/LabelledVAE --titles --columns -3", "columns must be a whole number of at least 1, not -3"),
        ("folders {runs}/VAE -n 99999999999 --out made", "n must be a whole number of at least 1 and at most 1e+06"),
        ("map {runs}/VAE --plane --side 99999999", "side must be a whole number of at least 2 and at most 140"),
        ("map {runs}/wide --by tsne -n 20 --seed -1", "seed must be a whole number of at least 0 and at most 4.29"),
        ("transition {runs}/VAE --images 3 4 --steps 99999999999", "steps must be a whole number of at least 2 and"),
        ("transition {runs}/VAE --images 3 4 --seconds 1e300", "seconds must be a finite number above 0 and at most"),
        (
            "transition {runs}/VAE --images 3 4 --steps 1000 --out x.gif --scale 50",
            "scale, with so many steps, asks for",
        ),
        ("folders {runs}/VAE", "the following arguments are required: --out"),
        ("transition {runs}/VAE", "--images 3 12 for two test images, or --classes 3 8"),
        ("transition {runs}/VAE --images 3 1000", "there is no test image 1000: they are numbered from 0 to 999"),
        ("transition {runs}/VAE --classes 3 8 --out x.mp4", "ends in .png or .gif"),
        (
            "transition {runs}/VAE --classes 3 8 --steps 1",
            "steps must be a whole number of at least 2 and at most 1000, not 1",
        ),
        ("map {runs}/CVAE --plane", "choose one with --digit"),
        ("map {runs}/VAE --plane --digit 3", "leave --digit out"),
        ("map {runs}/VAE --digit 3", "--digit is for --plane"),
        ("reconstruct {runs}/VAE --first 995", "there are 1000 test images"),
        ("page {runs}/CVAE", "choose one with --digit"),
        ("page {runs}/VAE --dimensions 2", "dimensions must be a list, different whole numbers from 0 to 1, not [2]"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_status_2(words, complaint, run, runs):
    Path("README.txt").write_text("no model")
    status, lines, errors = run(*words.format(runs=runs).split())
    assert status == 2 and lines == [] and complaint in errors
    said = [line for line in errors.splitlines() if not line.startswith("mnist: ")]  # where the data come from
    assert len(said) == 1 and said[0].startswith("python -m vae_utils")
    assert sorted(path.name for path in Path().iterdir()) == ["README.txt"], "nothing is written"


def test_what_fails_on_the_way_exits_with_1(run, runs, monkeypatch):
    Path("file").write_text("in the way")
    status, _, errors = run("samples", runs / "VAE", "--out", "file/x.png")
    assert status == 1 and "cannot write file/x.png" in errors.replace("\\", "/")
    status, _, errors = run("train", "VAE", *SHORT, "--lr", 1e5)
    assert status == 1 and "Lower the learning rate" in errors and not Path("runs").exists()
    status, _, errors = run("rows", runs / "VAE", "--data", "fashion_mnist", "--out", "x.png")
    assert status == 1 and "fashion_mnist is not to be had" in errors


def test_the_device_is_that_of_the_command(run, runs, monkeypatch):
    monkeypatch.setenv("VAE_DEVICE", "abacus")
    assert run("samples", runs / "VAE", "--out", "x.png")[0] == 2
    assert run("samples", runs / "VAE", "--out", "x.png", "--device", "cpu")[0] == 0
    assert run("samples", runs / "VAE", "--out", "x.png")[0] == 2


# ---- what earlier projects do from a shell


def test_my_pytorch_kit_in_single_commands(run, draw, runs):
    """A VAE with a classifier on its codes, beta 0.015; reconstructions, map, manifold, titled samples, folders."""
    words = ["--latent-dim", 2, "--network", "conv", "--beta", 0.015, "--weight", 0.1, *SHORT, "--out", "kit"]
    assert run("train", "LabelledVAE", *words)[0] == 0
    assert cells(draw("reconstruct", "kit", "--scale", 1)).shape[:2] == (2, 10)
    assert draw("map", "kit").shape == (600, 600, 4)
    assert cells(draw("map", "kit", "--plane")).shape[:2] == (15, 15)
    assert draw("samples", "kit", "-n", 20, "--titles").size > 0
    assert run("folders", "kit", "-n", 20, "--temperature", 0.7, "--out", "made")[0] == 0
    assert len(list(Path("made").glob("*/*.png"))) == 20


def test_genzoo_vae_in_single_commands(run, draw):
    """Training from a file with grids as it proceeds; then a grid, a digit, a transition, curves, t-SNE of codes."""
    table = {"model": "VAE", "latent_dim": 20, "network": "mlp", "lr": 1e-3, "batch_size": 50, "steps": 20}
    Path("zoo.json").write_text(json.dumps(table | {"samples_every": 10}))
    assert run("train", "--config", "zoo.json", "--out", "zoo")[0] == 0
    grids = sorted(Path("zoo/samples").iterdir())
    assert [path.name for path in grids] == ["step-000000.png", "step-000010.png", "step-000020.png"]
    first, *_, last = (opened(path) for path in grids)
    assert first.shape == last.shape == (462, 462, 3) and apart(first.astype(int), last.astype(int)) > 1
    assert draw("samples", "zoo", "-n", 64).shape == (462, 462, 3)
    assert cells(draw("digit", "zoo", 5, "-n", 20, "--scale", 1)).shape[:2] == (2, 10)
    assert len(cells(draw("transition", "zoo", "--images", 0, 1, "--steps", 15, "--scale", 1))[0]) == 15
    assert draw("curves", "zoo").size > 0 and draw("map", "zoo", "--by", "tsne", "-n", 100).size > 0


def test_vae_pytorch_in_single_commands(run, draw):
    """A VAE and a CVAE of two dimensions with TensorBoard, samples on the way, a row for each digit, both maps."""
    for kind in ("VAE", "CVAE"):
        words = ["--latent-dim", 2, *SHORT, "--tensorboard", f"board/{kind}", "--samples-every", 6]
        assert run("train", kind, *words)[0] == 0
        assert list(Path("board", kind).glob("events.*")) and len(list(Path("runs", kind, "samples").iterdir())) == 3
        assert draw("map", f"runs/{kind}").shape == (600, 600, 4)
    grid = opened("runs/CVAE/samples/step-000006.png")
    assert grid.shape == (2 * (10 * 29 - 1), 462, 3), "a row for each class"
    assert cells(draw("rows", "runs/CVAE", "--scale", 1)).shape[:2] == (10, 10)
