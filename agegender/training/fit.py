"""Fitting a multi-task model: one loop for every paper.

The batch of a step, its augmentation and its dropout are functions of (seed, step), so a run that was killed and
started again ends bit-equal to one that was not, with any number of workers.
"""

import math
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from agegender.data.batches import loader
from agegender.models.multitask import MultiTaskModel
from agegender.training import checkpoints
from agegender.training.checkpoints import CHECKPOINT, LAST_WEIGHTS, WEIGHTS, TrainingState
from agegender.training.config import TrainingConfig as TrainingConfig  # for those who fit
from agegender.training.config import goodness, optimizer_of, precision_here, rate_factor
from agegender.training.memory import keep_freed_memory
from agegender.training.prediction import Prepare, on_device
from agegender.training.prediction import predict as predict  # for those who fit and predict
from agegender.training.settings import identity_of


@dataclass(frozen=True)
class FitResult:
    """What ``fit`` returns: the model with the selected weights is changed in place.

    ``history`` has one dictionary for each validation (step, losses, scores); ``seconds`` is wall time, including that
    before an interruption; ``peak_memory_mb`` is that of the device (CUDA) or of the process. ``diverged_at_step`` is
    the step (from 1) at which the loss was no longer finite, ``None`` where it always was. The weights of a diverged
    run are those selected among the validations before, and the initial ones (``selected_step`` 0) if there was none.
    ``precision`` is that of the training steps.
    """

    history: list[dict[str, float]]
    seconds: float
    selected_step: int
    device: str
    peak_memory_mb: float
    precision: str
    diverged_at_step: int | None = None


def fit(
    model: MultiTaskModel,
    prepare: Prepare,
    training: Dataset,
    validation: Dataset,
    config: TrainingConfig,
    folder: Path,
    num_workers: int = 0,
    accelerator: str = "auto",
    recipe: object = None,
) -> FitResult:
    """Fit ``model`` to the batches of ``training`` (item = step) and leave the selected weights in it.

    ``folder`` receives ``model.safetensors`` (the selected weights), ``last.safetensors`` (those of the last step),
    TensorBoard events and ``last.ckpt``, which ``ended.json`` replaces at the end. Training goes on from a checkpoint
    of this run, and does nothing when it has ended; what another run left (``identity_of``) is set aside as
    ``last.before.ckpt`` or ``model.before.safetensors``. A run whose loss is no longer finite ends at its next
    validation. Where the processor would only emulate bfloat16, training is in single precision. ``accelerator`` is
    ``"auto"``, ``"cuda"`` or ``"cpu"``. Raises ``ValueError`` when the checkpoint is damaged.
    """
    folder = Path(folder)
    keep_freed_memory()
    device = torch.device("cuda" if accelerator in ("auto", "cuda") and torch.cuda.is_available() else "cpu")
    config = replace(config, precision=precision_here(config.precision, device.type))
    identity = identity_of(model, prepare, training, validation, config, recipe)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    if (end := checkpoints.end_before(folder, identity)) is not None:
        print("trained to its end before: nothing is left to train", flush=True)
        checkpoints.load_weights(model, folder / WEIGHTS)
        return FitResult(**end)

    start = checkpoints.step_to_go_on_from(folder, identity)
    model.to(device)
    state, optimizer = TrainingState(), optimizer_of(model, config)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(config, lambda: state.num_drops))
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "state": state}
    if start:
        checkpoints.read_checkpoint(folder / CHECKPOINT, parts)
        print(f"going on at step {start} of {config.num_steps}", flush=True)
    else:  # what is left of a run that diverges before its first validation
        checkpoints.save_weights(model, folder / WEIGHTS)
    begun, events = time.monotonic() - state.seconds, SummaryWriter(str(folder / "events"))
    batches = loader(training, range(start, config.num_steps), num_workers)
    sums: dict[str, Tensor] = {}
    lost_at_step = torch.zeros((), dtype=torch.int64, device=device)  # read at validations, not at each step
    watched = tqdm(batches, initial=start, total=config.num_steps, disable=not sys.stderr.isatty())
    for step, batch in enumerate(watched if not _has_ended(state, config) else (), start + 1):
        model.train()
        torch.manual_seed(_seed_of_step(config.seed, step))  # of dropout
        batch = on_device(batch, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            losses = model.losses(model(prepare(batch)), batch)
            total = model.total(losses)
        optimizer.zero_grad()
        total.backward()
        _clip_gradients(optimizer, config)
        optimizer.step()
        schedule.step()
        _add(sums, {f"train_loss_{task}": loss.detach().float() for task, loss in losses.items()})
        is_first_lost = ~torch.isfinite(total.detach()) & (lost_at_step == 0)
        lost_at_step = torch.where(is_first_lost, step, lost_at_step)
        if step % config.validate_every:
            continue

        found = _validate(model, prepare, validation, device)
        found |= {name: float(value) / config.validate_every for name, value in sums.items()}
        scores, sums = goodness(found, model, config), {}
        line: dict[str, float] = {"step": step, "learning_rate": float(schedule.get_last_lr()[0])}
        line |= {"validation_score": float(np.mean(list(scores.values()))), **found}
        state.seconds = time.monotonic() - begun
        state.peak_memory_mb = max(state.peak_memory_mb, _peak_memory_mb(device))
        is_finite = all(math.isfinite(value) for value in line.values()) and checkpoints.has_finite_weights(model)
        if int(lost_at_step) or not is_finite:
            state.diverged_at_step = int(lost_at_step) or step
            print(f"diverged at step {state.diverged_at_step}: the loss is no longer finite", flush=True)
        else:
            state.history.append(line)
            if state.judge(scores, step, config):
                checkpoints.save_weights(model, folder / WEIGHTS)
            for name, value in line.items():
                events.add_scalar(name, value, step)
            print(_in_words(line, config.num_steps, state.seconds), flush=True)
        checkpoints.write_checkpoint(folder / CHECKPOINT, step, identity, parts)
        if _has_ended(state, config):
            break
    events.close()
    (folder / LAST_WEIGHTS).unlink(missing_ok=True)
    if state.diverged_at_step is None:
        checkpoints.save_weights(model, folder / LAST_WEIGHTS)
    checkpoints.load_weights(model, folder / WEIGHTS)
    names = ("history", "seconds", "selected_step", "peak_memory_mb", "diverged_at_step")
    measured = {name: getattr(state, name) for name in names}
    result = FitResult(device=_device_name(device), precision=config.precision, **measured)
    checkpoints.write_end(folder / checkpoints.ENDED, identity, asdict(result))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return result


@torch.no_grad()
def _validate(model: MultiTaskModel, prepare: Prepare, validation: Dataset, device: torch.device) -> dict[str, float]:
    """Return losses and scores, each pooled over the examples of ``validation``.

    In full precision, as `predict` answers: weights are not selected by other answers than those that are tested.
    """
    model.eval()
    sums: dict[str, Tensor] = {}
    num_examples = 0
    for batch in loader(validation):
        batch = on_device(batch, device)
        logits = model(prepare(batch))
        count = len(next(iter(logits.values())))
        _add(sums, {f"validation_loss_{task}": count * loss for task, loss in model.losses(logits, batch).items()})
        for task, head in model.tasks():
            measured = head.measure(logits[task], batch[head.target]).float()
            _add(sums, {f"validation_{head.metric}_{task}": measured})
        num_examples += count
    return {name: float(value) / num_examples for name, value in sums.items()}


def _add(sums: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        sums[name] = sums[name] + value if name in sums else value


def _clip_gradients(optimizer: torch.optim.Optimizer, config: TrainingConfig) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if config.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
    if config.clip_value is not None:
        torch.nn.utils.clip_grad_value_(parameters, config.clip_value)


def _has_ended(state: TrainingState, config: TrainingConfig) -> bool:
    """Whether the run diverged, or its last ``patience`` validations brought no better score."""
    is_out_of_patience = config.patience is not None and state.num_since_best >= config.patience
    return is_out_of_patience or state.diverged_at_step is not None


def _seed_of_step(seed: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, step - 1)).generate_state(1)[0])


def _in_words(line: dict[str, float], num_steps: int, seconds: float) -> str:
    step = int(line["step"])
    left = seconds / max(step, 1) * (num_steps - step)
    values = [f"{n.removeprefix('validation_accuracy_')} {v:.1%}" for n, v in line.items() if "_accuracy_" in n]
    values += [f"{n.removeprefix('validation_mae_')} {v:.2f} years off" for n, v in line.items() if "_mae_" in n]
    train = sum(value for name, value in line.items() if name.startswith("train_loss_"))
    valid = sum(value for name, value in line.items() if name.startswith("validation_loss_"))
    return (
        f"step {step:>6}/{num_steps}  loss {train:.3f}  validation loss {valid:.3f}  {'  '.join(values)}  "
        f"{seconds:.0f} s, about {left:.0f} s left"
    )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads of {os.cpu_count()} cores"


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
