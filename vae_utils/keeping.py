"""Models that are trained once and kept: what counts as the same training, where it lies, and who may do it."""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from vae_utils import checkpoints, inputs, models, runtime
from vae_utils import training_checks as checks
from vae_utils.data import Dataset
from vae_utils.fingerprints import Unpinned, fingerprint
from vae_utils.history import History
from vae_utils.training import Step, Watcher, descend, fit
from vae_utils.written_out import twin_of

Facts = dict[str, object]
LONGEST = 50  # letters of a name, of up to four bytes each
NAME = rf"\w[\w .-]{{0,{LONGEST - 1}}}"
NOT_ALL = "not kept, because the training changed the images, or more of the model than its weights and buffers"


def fit_once(
    name: str,
    model: nn.Module,
    dataset: Dataset,
    *,
    steps: int,
    device: torch.device | str | None = None,
    step: Step = descend,
    callback: Watcher | None = None,
    callback_steps: Collection[int] = (),
    log_dir: str | os.PathLike | None = None,
    **settings: float,
) -> History:
    """Train a model on a data set's training split, unless the same was done before: then load what was kept.

    settings go to `training.fit`. The same training is one of the same model (class, configuration, first weights,
    and all code that they reach, a notebook's own included; what it writes out of the package, unchanged, is the
    package's), the same images and labels, steps, settings, `fit`,
    precision and version of PyTorch; see `fingerprints`, which also says what it cannot see. A change of any of them
    trains anew, as does another callback, or other steps for it: its tensors are kept with the model. Device and number
    of threads change a result only by rounding, and do not count. One line says what happened, and how to train again.
    If another process is training the same, this one waits for it. A training stopped by hand is not kept, nor one that
    changes more of the model than weights and buffers; log_dir sees only what is trained; checkpoint and
    checkpoint_every do not count. The random numbers of whoever calls stay as they were.

    Raises: TypeError or ValueError for a name that no file can have, or what is no data.Dataset; else as
    `training.fit`.
    """
    _check_name(name)
    device = runtime.get_device(device)
    looks = checks.check_looks(callback, callback_steps, inputs.check_whole("steps", steps, 1, inputs.MOST_STEPS))
    checks.check_step(step)
    watch = {"step": step, "callback": callback, "callback_steps": callback_steps, "log_dir": log_dir}
    resumed = {name: settings.pop(name) for name in ("checkpoint", "checkpoint_every") if name in settings}
    try:
        facts = training_facts(model, dataset, {"steps": steps, **settings}, step)
        watched = fingerprint((callback, sorted(looks))) if looks else None
    except Unpinned as error:
        history = fit(model, dataset.train, steps=steps, device=device, **watch, **resumed, **settings)
        print(f"{name}: trained in {history.seconds:.0f} s, not kept, because {error}")
        return history
    path = kept_path(name, facts)
    with _alone(path):
        history = _kept(path, model, facts, watched)
        if history is not None:
            model.to(device).eval()
            again = "/".join(path.parts[-3:])
            print(f"{name}: loaded, trained before in {history.seconds:.0f} s. To train it again, delete {again}")
            return history
        besides = _besides_weights(model, dataset)
        history = fit(model, dataset.train, steps=steps, device=device, **watch, **resumed, **settings)
        if len(history) == steps:
            same = besides == _besides_weights(model, dataset)
            kept = _keep(path, model, history, facts, watched) if same else NOT_ALL
            print(f"{name}: trained in {history.seconds:.0f} s, {kept}")
    return history


def training_facts(model: nn.Module, dataset: Dataset, settings: dict[str, object], step: Step = descend) -> Facts:
    """Return all that decides what a training makes of a model, of the kinds that JSON has.

    Raises: Unpinned if the model reaches something without content that could be looked at, such as an open file;
    TypeError or ValueError for what is no model, no data set or no settings.
    """
    checks.check_model(model)
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset must be a data.Dataset, as of load_dataset, not a {type(dataset).__name__}")
    checkpoints.check_texts("settings", settings)
    return {
        "class": _name_of(model),
        "model": fingerprint(model),
        "data": f"{dataset.name}, {len(dataset.train)} examples, {fingerprint(dataset.train)}",
        "settings": {name: _plain(settings[name]) for name in sorted(settings)},
        "code": fingerprint((fit, step)),
        "torch": torch.__version__,
        "precision": ", ".join(f"{kind}: {runtime.precision(kind)}" for kind in ("cpu", "cuda")),
    }


def kept_path(name: str, facts: Facts) -> Path:
    """Return the file under data/trained (or VAE_TRAINED) for a training, its name keyed by its facts.

    Raises: TypeError, ValueError for a name that no file can have, or facts that JSON has not.
    """
    checkpoints.check_texts("facts", facts)
    key = hashlib.sha256(checkpoints.as_json("facts", facts, sort_keys=True).encode()).hexdigest()[:8]
    return trained_folder() / f"{_check_name(name)}-{key}.safetensors"


def trained_folder() -> Path:
    """Return where trained models are kept: VAE_TRAINED, else the project's data/trained."""
    return Path(os.environ.get("VAE_TRAINED") or runtime.project_root() / "data" / "trained")


def _check_name(name: str) -> str:
    """Return the name if it can begin that of a file, on all systems, and leads to no other folder."""
    if not re.fullmatch(NAME, inputs.check_text("name", name)):
        raise ValueError(
            f"name must be 1 to {LONGEST} letters, digits, spaces and -._ for a file, not {inputs.described(name)}"
        )
    return name


def _kept(path: Path, model: nn.Module, facts: Facts, watched: str | None) -> History | None:
    """Load what is kept into the model and return its history; None if it is not there, or not of these facts."""
    try:
        header, weights, arrays = checkpoints.read(path)
        found = json.loads(header["facts"])
        seen = found.pop("watched", None)
        if found != json.loads(json.dumps(facts)) or watched not in (None, seen):
            return None
        history = History.from_arrays(arrays)
        wanted = {name: (part.shape, part.dtype) for name, part in model.state_dict().items()}
        if wanted != {name: (part.shape, part.dtype) for name, part in weights.items()}:  # else half of it is loaded
            raise ValueError(f"{path} lacks or garbles weights: it is trained anew")
        model.load_state_dict(weights)
        return history
    except FileNotFoundError:
        return None
    except (ValueError, RuntimeError) as error:
        print(error)
        return None


def _keep(path: Path, model: nn.Module, history: History, facts: Facts, watched: str | None) -> str:
    """Write the model and its history, and return what became of that."""
    config = getattr(model, "config", {})
    try:
        header = {
            "class": _name_of(model),
            "config": json.dumps(config),
            "facts": json.dumps(facts | {"watched": watched}),
        }
    except TypeError:  # networks of the reader's own: the file serves fit_once, which has the model, and not load
        header = {"class": f"{_name_of(model)} with networks of its own", "config": "{}"}
        header["facts"] = json.dumps(facts | {"watched": watched})
    try:
        checkpoints.write(path, header, model.state_dict(), history.to_arrays())
    except OSError as error:
        return f"not kept: {error}"
    return f"kept in {'/'.join(path.parts[-3:])}"


def _besides_weights(model: nn.Module, dataset: Dataset) -> str | None:
    """Return the fingerprint of what no checkpoint holds and a training may change: settings of the model, images."""
    try:
        return fingerprint((model, dataset.train), without=model.state_dict(keep_vars=True).values())
    except Unpinned:
        return None


def _plain(setting: object) -> object:
    """Return a setting as JSON has it, be it a number of NumPy's or a tensor's."""
    setting = setting.item() if getattr(setting, "ndim", None) == 0 else setting
    return setting if setting is None or isinstance(setting, int | float | str) else repr(setting)


def _name_of(model: nn.Module) -> str:
    """Return the name by which `checkpoints.load` knows a class, and a longer one for a class of the reader's own."""
    kind = twin_of(type(model)) or type(model)
    return kind.__name__ if models.KNOWN.get(kind.__name__) is kind else f"{kind.__module__}.{kind.__qualname__}"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file; where the folder allows none, go on without: what is written is written whole."""
    lock = None
    with suppress(OSError, NotImplementedError):
        lock = FileLock(path.with_name(f".{path.stem}.lock"))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{path.stem}: another process is training it, and this one waits.", flush=True)
            lock.acquire()
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
