"""The command that trains, into a folder that holds all that a run leaves behind."""

import argparse
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
from torch import nn

from vae_utils import checkpoints, inputs, models
from vae_utils.cli import drawing, figures, settings, writing
from vae_utils.cli.arguments import add_option, add_options, kind_of
from vae_utils.cli.commands import PROG, Stopped
from vae_utils.cli.settings import Plan
from vae_utils.data import Dataset, Split, load_dataset
from vae_utils.evaluation import encode_posteriors, evaluate
from vae_utils.fingerprints import fingerprint
from vae_utils.labels import draw_labels, hide_labels
from vae_utils.latent import Codes
from vae_utils.training import History, fit

CONFIG, UNFINISHED = "config.json", "unfinished.checkpoint"  # names in a run's folder


def train(
    model: Annotated[str | None, f"what to train: {', '.join(models.KNOWN)}"] = None,
    *,
    config: Annotated[Path | None, "settings from a JSON or TOML file; those on the command line go before it"] = None,
    resume: Annotated[bool, "go on with the interrupted training in --out"] = False,
    fresh: Annotated[bool, "start anew, whatever --out holds"] = False,
    **given: Any,
) -> str:
    """Train a model, and write its weights, its curves and its configuration into a folder."""
    given |= {} if model is None else {"model": model}
    if resume and fresh:
        raise ValueError("--resume goes on and --fresh starts anew: give one of them")
    table = settings.read_config(config) if config else {}
    if resume and not config:
        stored = _folder(given) / CONFIG
        table = settings.read_config(stored) if stored.is_file() else {}
    plan = settings.make_plan(table | given)
    return _check_folder(plan, resume, fresh) or _train(plan, fresh)


def add_more(parser: argparse.ArgumentParser) -> None:
    """Add the options that a configuration file may hold, too."""
    add_options(parser.add_argument_group("what is trained, on what, and what is written"), settings.Options)
    group, every = parser.add_argument_group("settings of the model, of these (defaults)"), settings.known()
    for name, text in settings.owners().items():
        add_option(group, name, every[name], text)
    group = parser.add_argument_group("settings of the training")
    for name, parameter in settings.fit_settings().items():
        text = f"{settings.TEXTS.get(name, '')} (default {parameter.default})"
        add_option(group, name, kind_of(parameter.annotation), text)


def _folder(given: dict[str, Any]) -> Path:
    """Return the folder of the run that is to go on."""
    if "out" not in given and "model" not in given:
        raise ValueError("say which training goes on: --out with its folder, or the model that runs/MODEL is named for")
    return given["out"] if "out" in given else Path("runs", settings.model_name(given["model"]))


def _check_folder(plan: Plan, resume: bool, fresh: bool) -> str | None:
    """Refuse to go over what a folder holds; return a sentence if there is nothing left to do."""
    folder = plan.folder
    begun, finished = (folder / UNFINISHED).exists(), (folder / drawing.WEIGHTS).exists()
    if resume and (begun or finished):
        differences = settings.differing(plan, _made_with(folder, begun))
        if differences:
            raise ValueError(
                f"{folder} was begun with {'; '.join(differences)}: ask for that, or start anew by --fresh"
            )
        return None if begun else f"{folder} is finished: there is nothing to resume"
    if resume:
        print(f"{folder} holds no interrupted training: this one starts at the first step.")
    elif begun and not fresh:
        raise ValueError(f"{folder} holds an interrupted training: --resume goes on with it, --fresh starts anew")
    elif finished and not fresh:
        raise ValueError(f"{folder} holds a finished training: choose another --out, or replace it by --fresh")
    return None


def _made_with(folder: Path, begun: bool) -> Plan:
    """Return the plan of the training that a folder holds: of the unfinished one, or of the weights."""
    if begun:
        return settings.make_plan(settings.read_config(folder / CONFIG))
    facts = json.loads(checkpoints.read(folder / drawing.WEIGHTS)[0]["facts"])
    return settings.make_plan(facts["settings"])


def _train(plan: Plan, fresh: bool) -> str:
    """Train, write, and return what it came to."""
    folder, dataset = plan.folder, load_dataset(plan.options.data)
    split, test = _splits(plan, dataset)
    torch.manual_seed(inputs.check_whole("seed", plan.of_fit["seed"], 0, inputs.MOST_SEED))
    model = models.KNOWN[plan.model](**plan.of_model, image_shape=split.shape)
    extra = _watch(plan) | _checkpoint(plan)
    if fresh:
        (folder / UNFINISHED).unlink(missing_ok=True)
    with _configured(plan):
        history = fit(model, split, log_dir=plan.options.tensorboard, **plan.of_fit, **extra)
        if len(history) < plan.of_fit["steps"]:
            raise KeyboardInterrupt  # which `fit` took for the wish to end early
    _write(plan, model, history, dataset)
    held_out, beta = evaluate(model, test, plan.of_fit["beta"]), plan.of_fit["beta"]
    costs = f"{held_out['loss']:.1f} = recon {held_out['recon']:.1f} + {beta:g} x KL {held_out['kl']:.1f} nats"
    return (
        f"{folder}: {plan.model} trained for {len(history)} steps in {history.seconds:.0f} s; test images cost {costs}"
    )


def _write(plan: Plan, model: nn.Module, history: History, dataset: Dataset) -> None:
    """Write what a finished training leaves: weights, and curves as a table and as a picture."""
    curves = {"loss": history.loss, "recon": history.recon, "kl": history.kl}
    data = f"{dataset.name}, {len(dataset.train)} examples, {fingerprint(dataset.train)}"  # as `keeping` has it
    facts = {"data": data, "settings": plan.config()}
    checkpoints.save(plan.folder / drawing.WEIGHTS, model, arrays=history.to_arrays(), **facts)
    table = pd.DataFrame({name: values.numpy() for name, values in curves.items()})
    writing.write(plan.folder / "curves.csv", table.to_csv(index_label="step").encode())
    writing.write_figure(plan.folder / "curves.png", figures.curves_figure(**curves))


@contextmanager
def _configured(plan: Plan) -> Iterator[None]:
    """Write the configuration for the training inside; take it back if that ends without anything to go on from."""
    path = plan.folder / CONFIG
    new = [folder for folder in path.parents if not folder.exists()]
    before = path.read_bytes() if path.is_file() else None
    writing.write(path, f"{json.dumps(plan.config(), indent=2)}\n".encode())
    try:
        yield
    except BaseException as error:
        if isinstance(error, FloatingPointError):  # to go on from there would end there again
            (plan.folder / UNFINISHED).unlink(missing_ok=True)
        kept = (plan.folder / UNFINISHED).exists()
        if not kept and before is not None:
            writing.write(path, before)
        elif not kept:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # grids are left where they are
                for folder in new:
                    folder.rmdir()
        if isinstance(error, KeyboardInterrupt):
            watch = f" --tensorboard {shlex.quote(str(plan.options.tensorboard))}" if plan.options.tensorboard else ""
            on = f"to go on: {PROG} train --resume --out {shlex.quote(str(plan.folder))}{watch}"
            early = "nothing was kept yet (--checkpoint-every says how often that is done)"
            raise Stopped(f"stopped by hand; {on if kept else early}") from None
        raise


def _checkpoint(plan: Plan) -> dict[str, Any]:
    """Return the arguments of `fit` that keep the training as it stands."""
    every = plan.options.checkpoint_every
    inputs.check_whole("checkpoint_every", every, 1)
    return {"checkpoint": plan.folder / UNFINISHED, "checkpoint_every": every}


def _watch(plan: Plan) -> dict[str, Any]:
    """Return the arguments of `fit` that draw a grid every so many steps, with the same random numbers each time."""
    every = plan.options.samples_every
    if every is None:
        return {}
    inputs.check_whole("samples_every", every, 1)
    kind, seed = models.KNOWN[plan.model], plan.of_fit["seed"]
    drawing.check_painter(kind, "the model")
    if issubclass(kind, models.Autoencoder):
        raise ValueError("samples_every draws from the prior, which an Autoencoder does not have: leave it out")

    def draw(step: int, model: nn.Module) -> None:
        kept = drawing.Kept(model, plan.folder / drawing.WEIGHTS, plan.options.data)
        conditional = isinstance(model, models.CVAE)
        images = drawing.row_images(kept, 8, 1.0, seed) if conditional else drawing.random_images(kept, 64, 1.0, seed)
        writing.write_picture(plan.folder / "samples" / f"step-{step:06d}.png", writing.sheet(images, 8))

    draw.__fingerprint__ = "draws grids"  # and changes no weight, wherever it draws them
    return {"callback": draw, "callback_steps": range(0, plan.of_fit["steps"] + 1, every)}


def _splits(plan: Plan, dataset: Dataset) -> tuple[Split | Codes, Split | Codes]:
    """Return what is trained on, with labels hidden or images replaced by their codes as asked, and the test split."""
    kind, options = models.KNOWN[plan.model], plan.options
    if issubclass(kind, models.CodeM2) != (options.codes_of is not None):
        raise ValueError("CodeM2, and nothing else, learns codes: give it --codes-of with the VAE that makes them")
    if options.labels is not None and kind.labels != "some":
        some = ", ".join(name for name, other in models.KNOWN.items() if other.labels == "some")
        raise ValueError(f"a {plan.model} cannot have labels hidden from it: labels is for {some}")
    if options.share is not None and options.labels is None:
        raise ValueError("share is of the labelled images in each batch: say with labels how many there are")
    train, test = dataset.train, dataset.test
    if options.codes_of is not None:
        torch.set_flush_denormal(True)  # see CodeM2
        train, test = (_codes(options.codes_of, split) for split in (train, test))
    if options.labels is not None:
        shown = draw_labels(train.labels, options.labels, plan.of_fit["seed"])
        train = hide_labels(train, shown, options.share, classes=len(dataset.classes))
    return train, test


def _codes(path: Path, split: Split) -> Codes:
    """Return the approximate posteriors that a kept VAE gives to images, as a split."""
    kept = drawing.open_painter(path)
    if not isinstance(kept.model, models.VAE):
        raise ValueError(f"codes_of wants a VAE, which answers with mu and logvar: {path} is an {kept.name}")
    return Codes(*encode_posteriors(kept.model, split), split.labels)
