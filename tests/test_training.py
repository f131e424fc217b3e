"""The training loop: repeatable, equal to the loop written by hand, and well-behaved when stopped or gone wrong."""

import contextlib
import random
import re

import numpy as np
import pytest
import torch
from torch import nn

from vae_utils.data import Dataset, Split, minibatches
from vae_utils.history import History
from vae_utils.labels import UNKNOWN
from vae_utils.models import CVAE, M2, VAE, Autoencoder, Classifier, DigitJudge, LabelledVAE
from vae_utils.training import descend, fit
from vae_utils.training_checks import check_settings

SHAPE = (1, 8, 8)
SETTINGS = {"steps": 30, "batch_size": 32}


def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(2, image_shape=SHAPE)


def weights(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def equal(a: History, b: History) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("loss", "recon", "kl"))


@pytest.fixture
def run(toy):
    """Train a fresh VAE, and return its weights and history."""

    def train(**changes: object) -> tuple[torch.Tensor, History]:
        model = vae()
        history = fit(model, toy.train, **(SETTINGS | changes))
        return weights(model), history

    return train


# ---- what a run is


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_fit_equals_the_loop_written_by_hand(toy, run, beta):
    steps, lr, model = 20, 3e-3, vae()
    torch.manual_seed(4)
    batches = minibatches(toy.train, 32, torch.Generator().manual_seed(4))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=steps)
    losses = []
    for _ in range(steps):
        x, _ = next(batches)
        recon, kl = model.terms(x)
        loss = (recon + beta * kl).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    trained, history = run(steps=steps, lr=lr, seed=4, beta=beta)
    torch.testing.assert_close(history.loss, torch.tensor(losses), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(trained, weights(model), rtol=1e-3, atol=1e-5)  # the fused Adam rounds otherwise


def test_the_same_seed_repeats_to_the_last_bit(run):
    first = run(seed=1)
    torch.manual_seed(77)  # what went before does not matter
    again, other = run(seed=1), run(seed=2)
    assert torch.equal(first[0], again[0]) and equal(first[1], again[1])
    assert not torch.equal(first[0], other[0]) and not equal(first[1], other[1])


def test_the_largest_seed_is_one(run):
    assert len(run(seed=2**63 - 1, steps=1)[1]) == 1


@pytest.mark.parametrize("steps", [1, 2, 3, 25, 26])
def test_history_has_a_value_for_every_step(run, steps):
    _, history = run(steps=steps)
    assert len(history) == steps and history.loss.shape == history.recon.shape == history.kl.shape == (steps,)
    assert all(values.isfinite().all() for values in (history.loss, history.recon, history.kl)) and history.seconds > 0


def test_the_loss_is_recon_plus_beta_kl(run):
    _, history = run(beta=0.3)
    torch.testing.assert_close(history.loss, history.recon + 0.3 * history.kl)
    assert history.kl.max() > 0


def test_training_learns(toy):
    model = vae()
    history = fit(model, toy.train, steps=200, batch_size=50)
    assert history.loss[-20:].mean() < 0.9 * history.loss[:20].mean()
    judge = DigitJudge(image_shape=SHAPE)
    fit(judge, toy.train, steps=120, batch_size=50)
    x, y = toy.test[:]
    assert (judge(x).argmax(1) == y).float().mean() > 0.95 and not judge.training


def test_the_learning_rate_rises_and_falls_once(run, monkeypatch):
    rates = []

    class Recorded(torch.optim.lr_scheduler.OneCycleLR):
        def step(self, *args: object) -> None:
            rates.append(self.optimizer.param_groups[0]["lr"])
            super().step(*args)

    monkeypatch.setattr(torch.optim.lr_scheduler, "OneCycleLR", Recorded)
    run(lr=0.01)
    rates = rates[1:]  # the scheduler takes one step of its own
    top = rates.index(max(rates))
    assert len(rates) == 30 and max(rates) == pytest.approx(0.01, rel=0.01) and 5 <= top <= 12
    assert rates == sorted(rates[:top]) + sorted(rates[top:], reverse=True)
    assert rates[0] == pytest.approx(0.01 / 25) and rates[-1] < 1e-6


# ---- callbacks


def test_a_callback_sees_its_steps_and_changes_nothing(run, toy):
    seen = []

    def look(step: int, model: nn.Module) -> dict[str, torch.Tensor]:
        assert not model.training and not torch.is_grad_enabled()
        seen.append((step, weights(model)))
        return {"picture": model.sample(2), "noise": torch.rand(3)}

    plain, watched = run(), run(callback=look, callback_steps=(0, 3, 30))
    assert torch.equal(plain[0], watched[0]) and equal(plain[1], watched[1])
    assert [step for step, _ in seen] == [0, 3, 30]
    assert torch.equal(seen[0][1], weights(vae())) and torch.equal(seen[2][1], plain[0])
    assert torch.equal(seen[1][1], weights_after(3, toy)), "before the step of that number"
    assert plain[1].snapshots == {} and list(watched[1].snapshots) == [0, 3, 30]
    assert watched[1].snapshots[3]["picture"].shape == (2, *SHAPE)


def weights_after(steps: int, toy: Dataset) -> torch.Tensor:
    """Return the weights after the first steps of a run of 30, by stopping it there."""

    def stop(step: int, model: nn.Module) -> None:
        raise KeyboardInterrupt

    model = vae()
    fit(model, toy.train, **SETTINGS, callback=stop, callback_steps=(steps,))
    return weights(model)


def test_the_model_trains_on_after_a_callback(toy):
    model, modes = DigitJudge(image_shape=SHAPE), []
    model.register_forward_hook(lambda module, *_: modes.append(module.training))
    fit(model, toy.train, **SETTINGS, callback=lambda step, model: None, callback_steps=range(30))
    assert modes == 30 * [True]


# ---- stopped by hand


class Interrupted(VAE):
    """Press the stop button in the middle of a step."""

    calls = 0

    def terms(self, x, y=None):
        self.calls += 1
        if self.calls == 12:
            raise KeyboardInterrupt
        return super().terms(x, y)


def test_the_stop_button_keeps_model_and_history(toy, run, capsys):
    torch.manual_seed(0)
    model = Interrupted(2, image_shape=SHAPE)
    history = fit(model, toy.train, **SETTINGS)
    assert "Stopped by hand after 11 of 30 steps" in capsys.readouterr().out
    assert len(history) == 11 and not model.training
    whole = run()[1]
    assert torch.equal(history.loss, whole.loss[:11]) and torch.equal(history.kl, whole.kl[:11])
    assert all(p.isfinite().all() for p in model.parameters()) and model.sample(2).isfinite().all()


def test_the_stop_button_before_the_first_step_and_in_the_last_callback(toy):
    def stop(step: int, model: nn.Module) -> None:
        raise KeyboardInterrupt

    for step, length in ((0, 0), (30, 30)):
        model = vae()
        history = fit(model, toy.train, **SETTINGS, callback=stop, callback_steps=(step,))
        assert len(history) == length and not model.training and history.loss.isfinite().all()


# ---- gone wrong


class Failing(VAE):
    """Give a term that is not finite at one step, once or for ever."""

    calls, bad_call, recon, kl = -1, 0, 0.0, 0.0

    def terms(self, x, y=None):
        self.calls += 1
        recon, kl = super().terms(x, y)
        return (recon + self.recon, kl + self.kl) if self.calls == self.bad_call else (recon, kl)


@pytest.mark.parametrize("step", [0, 7, 24, 25, 29])
@pytest.mark.parametrize(
    ("recon", "kl", "cause"),
    [(0.0, float("inf"), "logvar has grown so large"), (float("nan"), 0.0, "weights have become infinite or NaN")],
)
def test_a_loss_that_is_not_finite_names_the_step_and_the_cause(toy, step, recon, kl, cause):
    model = Failing(2, image_shape=SHAPE)
    model.bad_call, model.recon, model.kl = step, recon, kl
    with pytest.raises(FloatingPointError, match=rf"at step {step} the loss is .*{cause}.*Lower the learning rate"):
        fit(model, toy.train, **SETTINGS)


def test_a_logvar_that_explodes_is_named(toy):
    class Exploding(VAE):
        def encode(self, x):
            mu, logvar = super().encode(x)
            return mu, logvar + 1000

    with pytest.raises(FloatingPointError, match="at step 0 .*logvar has grown so large"):
        fit(Exploding(2, image_shape=SHAPE), toy.train, **SETTINGS)


def test_an_absurd_learning_rate_is_an_error_and_not_a_nan(run):
    with pytest.raises(FloatingPointError, match=r"at step \d+ the loss is") as caught:
        run(lr=1e6)
    assert 0 < int(re.search(r"at step (\d+)", str(caught.value))[1]) < 30


def test_a_stop_after_the_loss_went_wrong_still_tells(toy):
    class Both(Failing):
        def terms(self, x, y=None):
            if self.calls == 9:
                raise KeyboardInterrupt
            return super().terms(x, y)

    model = Both(2, image_shape=SHAPE)
    model.bad_call, model.kl = 5, float("inf")
    with pytest.raises(FloatingPointError, match="at step 5"):
        fit(model, toy.train, **SETTINGS)


# ---- shown and logged


def test_the_progress_bar_shows_the_terms_in_nats(run, monkeypatch, capsys):
    monkeypatch.delenv("VAE_PROGRESS")
    run(beta=0.5)
    shown = capsys.readouterr().err
    assert re.search(r"loss \d+\.\d = recon \d+\.\d \+ 0\.5 x kl \d+\.\d nats", shown)
    monkeypatch.setenv("VAE_PROGRESS", "0")
    run()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("stop", [False, True])
def test_tensorboard_gets_every_value(toy, tmp_path, stop):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    torch.manual_seed(0)
    model = Interrupted(2, image_shape=SHAPE) if stop else vae()
    history = fit(model, toy.train, **SETTINGS, log_dir=tmp_path / "runs")
    log = events.EventAccumulator(str(tmp_path / "runs"))
    log.Reload()
    assert sorted(log.Tags()["scalars"]) == ["kl", "loss", "recon"]
    for name in ("loss", "recon", "kl"):
        scalars = log.Scalars(name)
        assert [scalar.step for scalar in scalars] == list(range(len(history)))
        torch.testing.assert_close(torch.tensor([s.value for s in scalars]), getattr(history, name))


# ---- a step of the caller's own


def test_fit_takes_each_step_by_the_function_it_is_given(toy, run):
    seen = []

    def halved(model, x, y, optimizer, schedule, beta):
        seen.append((tuple(x.shape), len(y), beta))
        return descend(model, x, y, optimizer, schedule, 0.5 * beta)

    ours, history = run(step=halved)
    theirs, same = run(beta=0.5)
    assert torch.equal(ours, theirs) and equal(history, same)
    assert seen == [((32, *SHAPE), 32, 1.0)] * SETTINGS["steps"]


@pytest.mark.parametrize("returned", [None, torch.zeros(()), (torch.zeros(()), torch.zeros(3)), (torch.zeros(3),) * 3])
def test_a_step_that_returns_no_terms_is_refused(run, returned):
    with pytest.raises(TypeError, match=r"step must return loss \[\], recon \[B\] and kl \[B\]"):
        run(step=lambda *given: returned)


# ---- refused, before anything changes


def refused(
    error: type[Exception], match: str, split: Split, model: nn.Module | None = None, **settings: object
) -> None:
    """Check that a call of fit is refused, and leaves weights, mode and random numbers as they were."""
    model = vae() if model is None else model
    model.eval()
    before, random_state = weights(model), torch.get_rng_state()
    with pytest.raises(error, match=match):
        fit(model, split, **(SETTINGS | settings))
    assert torch.equal(weights(model), before) and not any(part.training for part in model.modules())
    assert torch.equal(torch.get_rng_state(), random_state)


def nothing(step: int, model: nn.Module) -> None:
    pass


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"device": "toaster"}, ValueError, "device is 'toaster', which this machine cannot use; try cpu"),
        ({"device": "cuda:99"}, ValueError, "device is 'cuda:99', which this machine cannot use; try cpu"),
        ({"device": ""}, ValueError, "device is '', which"),
        ({"step": 30}, TypeError, "step must be a function as training.descend is, not .*steps=..."),
        ({"callback": nothing}, ValueError, "callback was given without callback_steps"),
        ({"callback_steps": (5,)}, ValueError, "callback_steps were given without a callback"),
        ({"callback": nothing, "callback_steps": (31,)}, ValueError, "callback_steps must be .*at most 30, not 31"),
        ({"callback": nothing, "callback_steps": (-1,)}, ValueError, "callback_steps must be .*at least 0.*not -1"),
        ({"callback": nothing, "callback_steps": (1.5,)}, TypeError, "callback_steps must be a whole number"),
        ({"beta": -0.1}, ValueError, "beta must be .*at least 0 and at most 1e.09, not -0.1"),
        ({"beta": float("nan")}, ValueError, "beta must be a finite number"),
        ({"lr": 0}, ValueError, "lr must be .*above 0 and at most 1e.06, not 0"),
        ({"lr": 1e300}, ValueError, "lr must be .*at most 1e.06, not 1e.300"),
        ({"beta": 1e39}, ValueError, "beta must be .*at most 1e.09, not 1e.39"),
        ({"checkpoint_every": "a"}, TypeError, "checkpoint_every must be a whole number of at least 1, not str 'a'"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be the path of a file"),
        ({"checkpoint": ""}, ValueError, "checkpoint must be the path of a file"),
        ({"log_dir": 3}, TypeError, "log_dir must be the path of a file or a folder, not int 3"),
        ({"log_dir": "/dev/null/runs"}, ValueError, "log_dir /dev/null/runs is no folder for curves: choose another"),
        ({"callback": 3, "callback_steps": (1,)}, TypeError, "callback must be a function"),
        ({"callback_steps": 3}, TypeError, "callback_steps must be a collection of steps, not int 3"),
        ({"callback_steps": None}, TypeError, "callback_steps must be a collection of steps, not None"),
        ({"device": "meta"}, ValueError, "device is 'meta', which this machine cannot use"),
        ({"lr": float("nan")}, ValueError, "lr must be a finite number"),
        ({"lr": float("inf")}, ValueError, "lr must be a finite number"),
        ({"lr": "fast"}, TypeError, "lr must be a number above 0 and at most 1e.06, not str 'fast'"),
        ({"steps": 0}, ValueError, "steps must be a whole number of at least 1"),
        ({"steps": 2.0}, TypeError, "steps must be a whole number"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"seed": 2**64}, ValueError, "seed must be"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"batch_size": 201}, ValueError, "batch_size must be between 1 and the 200"),
    ],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", str(value)),  # the same in every process
)  # fmt: skip
def test_a_setting_out_of_range_is_refused(toy, settings, error, match):
    refused(error, match, toy.train, **settings)


def test_steps_without_an_end_are_refused():
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1 and at most 1e.07, not 100000000"):
        check_settings(10**8, 1, 1.0, 1.0, 0)


@pytest.mark.parametrize("make", [Classifier, DigitJudge, CVAE, LabelledVAE, M2])
def test_labels_that_a_model_cannot_learn_from_are_refused(toy, make):
    model = make(image_shape=SHAPE, classes=10)
    images, labels = toy.train.images, toy.train.labels.clone()
    labels[7] = 10
    refused(ValueError, "labels must be from 0 to 9", Split(images, labels), model)
    labels[7] = UNKNOWN
    if make in (LabelledVAE, M2):
        assert len(fit(model, Split(images, labels), **(SETTINGS | {"steps": 1}))) == 1
    else:
        refused(ValueError, "labels must be from 0 to 9, not from -1 to 9", Split(images, labels), model)


@pytest.mark.parametrize(
    "make", [vae, lambda: Classifier(image_shape=SHAPE), lambda: Autoencoder(2, image_shape=SHAPE)]
)
def test_images_of_another_size_are_refused(toy, make):
    model = make()
    split = Split(toy.train.images[..., :7], toy.train.labels)
    refused(
        ValueError, r"was made for images \[1, 8, 8\], and the split has \[1, 8, 7\]: pass image_shape=", split, model
    )


def test_what_is_no_model_or_no_split_is_refused(toy):
    refused(TypeError, "model must be a module with terms", toy.train, nn.Linear(2, 2))
    refused(TypeError, "split must be a data.Split.*not a Dataset", toy)
    refused(ValueError, "model must have weights that may learn, and this VAE has none", toy.train, frozen())
    with torch.device("meta"):
        ghost = VAE(2, image_shape=SHAPE)
    with pytest.raises(ValueError, match="model must have weights that are numbers"):
        fit(ghost, toy.train, **SETTINGS)


def frozen() -> VAE:
    return vae().requires_grad_(False)


TERMS = {
    "numbers": (lambda recon, kl: (1.0, 2.0), TypeError, "two tensors of floats, not float 1.0, float 2.0"),
    "whole numbers": (lambda recon, kl: (recon.long(), kl.long()), TypeError, "two tensors of floats"),
    "one": (lambda recon, kl: recon + kl, TypeError, "two tensors of floats, not torch.float32"),
    "three": (lambda recon, kl: (recon, kl, kl), TypeError, "two tensors of floats"),
    "none": (lambda recon, kl: None, TypeError, "two tensors of floats, not None"),
    "columns": (lambda recon, kl: (recon[:, None], kl), ValueError, r"not \[32, 1\] and \[32\]: sum over pixels"),
    "means": (
        lambda recon, kl: (recon.mean(), kl.mean()),
        ValueError,
        r"recon \[32\] and kl \[32\].*not \[\] and \[\]",
    ),
    "a mean": (lambda recon, kl: (recon, kl.mean()), ValueError, r"not \[32\] and \[\]"),
    "one for all": (lambda recon, kl: (recon.mean()[None], kl.mean()[None]), ValueError, r"not \[1\] and \[1\]"),
    "detached": (lambda recon, kl: (recon.detach(), kl.detach()), ValueError, "have gradients: leave out detach"),
}


@pytest.mark.parametrize("kind", TERMS)
def test_terms_that_are_no_number_for_each_image_are_refused(toy, kind):
    change, error, match = TERMS[kind]

    class Changed(VAE):
        def terms(self, x, y=None):
            return change(*super().terms(x, y))

    with pytest.raises(error, match=match):
        fit(Changed(2, image_shape=SHAPE), toy.train, **SETTINGS)


def test_weights_that_the_last_step_spoils_are_an_error(toy):
    class Spoiled(VAE):
        def terms(self, x, y=None):
            recon, kl = super().terms(x, y)
            recon.register_hook(lambda slope: slope * float("inf"))
            return recon, kl

    with pytest.raises(FloatingPointError, match="after the last step there are weights that are infinite or NaN"):
        fit(Spoiled(2, image_shape=SHAPE), toy.train, **(SETTINGS | {"steps": 1}))


@pytest.mark.parametrize("seen", [3, [torch.zeros(1)], {"a": 1.0}])
def test_a_callback_that_returns_no_tensors_is_refused_in_a_sentence(toy, seen):
    with pytest.raises(TypeError, match="callback must return a dictionary of tensors, or None, not"):
        fit(vae(), toy.train, **SETTINGS, callback=lambda step, model: seen, callback_steps=(0,))


def test_snapshots_do_not_change_as_the_model_learns_on(toy):
    def look(step: int, model: nn.Module) -> dict[str, torch.Tensor]:
        return {"first": next(model.parameters())}

    history = fit(vae(), toy.train, **SETTINGS, callback=look, callback_steps=(0, 30))
    assert torch.equal(history.snapshots[0]["first"], next(vae().parameters()))
    assert not torch.equal(history.snapshots[0]["first"], history.snapshots[30]["first"])


# ---- what stays as it was


@pytest.mark.parametrize("end", ["well", "stopped", "badly"])
def test_the_random_numbers_of_whoever_calls_stay_as_they_were(toy, end):
    def look(step: int, model: nn.Module) -> None:
        torch.manual_seed(step)
        if end == "stopped":
            raise KeyboardInterrupt
        if end == "badly":
            raise RuntimeError("meant")

    model = vae()
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    with pytest.raises(RuntimeError, match="meant") if end == "badly" else contextlib.nullcontext():
        fit(model, toy.train, **SETTINGS, callback=look, callback_steps=(10,))
    after = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


def test_the_momentum_falls_while_the_rate_rises_and_comes_back(run, monkeypatch):
    seen = []

    class Recorded(torch.optim.Adam):
        def step(self, *args: object, **settings: object) -> None:
            seen.extend(group["betas"] for group in self.param_groups)
            super().step(*args, **settings)

    monkeypatch.setattr(torch.optim, "Adam", Recorded)
    run()
    firsts = [first for first, _ in seen]
    assert len(seen) == 30 and {second for _, second in seen} == {0.999}
    assert firsts[0] == pytest.approx(0.95) and min(firsts) == pytest.approx(0.85, abs=0.005)
    assert firsts[-1] > 0.94 and 5 < firsts.index(min(firsts)) < 12


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_device_may_be_given_by_name(run, device):
    assert torch.equal(run(device=device)[0], run()[0])


def test_numbers_of_numpy_and_torch_are_settings_too(run):
    plain = run(lr=0.001953125, beta=0.5)
    other = run(lr=np.float32(0.001953125), beta=torch.tensor(0.5), steps=np.int64(30), batch_size=np.int32(32))
    assert torch.equal(plain[0], other[0]) and equal(plain[1], other[1])
