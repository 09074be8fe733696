"""Fitting a multi-task model: one Lightning module for every paper.

A run is one long epoch of ``num_steps`` steps. The batch of a step, its augmentation and its dropout are functions of
(seed, step), so a run that was killed and started again ends bit-equal to one that was not, with any number of workers.
"""

import math
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import Dataset

from agegender.data.batches import Batch, evaluation_loader, training_loader
from agegender.files import replaced_atomically
from agegender.models.multitask import MultiTaskModel
from agegender.training.checkpoints import (
    differences,
    has_finite_weights,
    load_weights,
    read_end,
    save_weights,
    step_of,
    write_end,
)
from agegender.training.config import TrainingConfig as TrainingConfig  # for those who fit
from agegender.training.config import goodness, is_better, optimizer_of, precision_here, rate_factor
from agegender.training.identity import identity_of
from agegender.training.memory import keep_freed_memory
from agegender.training.prediction import Prepare
from agegender.training.prediction import predict as predict  # for those who fit and predict
from agegender.training.quiet import quiet_lightning

WEIGHTS = "model.safetensors"
"""The selected weights; the notebook that tests them writes the file again, with the facts that describe them."""

LAST_WEIGHTS = "last.safetensors"
"""The weights of the last step of a run that did not diverge."""

WEIGHTS_BEFORE = "model.before.safetensors"
CHECKPOINT = "last.ckpt"
CHECKPOINT_BEFORE = "last.before.ckpt"
ENDED = "ended.json"
"""Takes the place of the checkpoints when nothing is left to train: they are three times as large as the weights."""


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


class MultiTaskTraining(lightning.LightningModule):
    """The steps of training and validation, the optimiser, and all state that a resumed run needs."""

    def __init__(
        self, model: MultiTaskModel, prepare: Prepare, config: TrainingConfig, folder: Path, identity: dict
    ) -> None:
        super().__init__()
        self.model, self.prepare, self.config, self.folder, self.identity = model, prepare, config, folder, identity
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}  # what the selection compares, of the best validation so far
        self.selected_step, self.num_since_best, self.num_drops = 0, 0, 0
        self.diverged_at_step: int | None = None
        self._lost_at_step: Tensor  # of the first loss that is not finite; asked about at validations, not at each step
        self.register_buffer("_lost_at_step", torch.zeros((), dtype=torch.int64), persistent=False)
        self.seconds_before, self.started = 0.0, time.monotonic()
        self.peak_memory_before_mb = 0.0
        self._training_sums: dict[str, Tensor] = {}
        self._validation_sums: dict[str, Tensor] = {}

    @property
    def seconds(self) -> float:
        """Wall time so far, in seconds."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def peak_memory_mb(self) -> float:
        """Peak memory so far, of the device (CUDA) or of the process, also before an interruption."""
        return max(self.peak_memory_before_mb, _peak_memory_mb(self.trainer.strategy.root_device))

    @property
    def is_out_of_patience(self) -> bool:
        """Whether the last validations have brought no better score for as long as ``patience`` allows."""
        return self.config.patience is not None and self.num_since_best >= self.config.patience

    def on_fit_start(self) -> None:
        """Leave a run as it is that had ended before its last step when it was started again."""
        self.trainer.should_stop = self.is_out_of_patience or self.diverged_at_step is not None

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the generator of dropout from (seed, step)."""
        torch.manual_seed(int(np.random.SeedSequence((self.config.seed, self.global_step)).generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the sum of the tasks' weighted losses."""
        losses = self.model.losses(self.model(self.prepare(batch)), batch)
        _add(self._training_sums, {f"train_loss_{task}": loss.detach().float() for task, loss in losses.items()}, 1)
        total = self.model.total(losses)
        is_first_lost = ~torch.isfinite(total.detach()) & (self._lost_at_step == 0)
        self._lost_at_step = torch.where(is_first_lost, self.global_step + 1, self._lost_at_step)
        return total

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the losses and the correct predictions of a batch to the sums of the validation part.

        In full precision, as `predict` answers: weights are not selected by other answers than those that are tested.
        """
        with torch.autocast(self.device.type, enabled=False):
            logits = self.model(self.prepare(batch))
            losses = self.model.losses(logits, batch)
        count = len(next(iter(logits.values())))
        sums = {f"validation_loss_{task}": loss * count for task, loss in losses.items()}
        for task, head in self.model.tasks():
            sums[f"validation_{head.metric}_{task}"] = head.measure(logits[task], batch[head.target]).float()
        _add(self._validation_sums, sums, count)

    def on_validation_epoch_end(self) -> None:
        """Write a line of history, keep the weights if they are to be kept, and decide whether to go on."""
        scores = _means(self._validation_sums) | _means(self._training_sums)
        found = goodness(scores, self.model, self.config)
        learning_rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        line = {
            "step": self.global_step,
            "learning_rate": learning_rate,
            "validation_score": float(np.mean(list(found.values()))),
            **scores,
        }
        self.diverged_at_step = self._diverged_at(line)
        if self.diverged_at_step is not None:
            self.trainer.should_stop = True
            print(f"diverged at step {self.diverged_at_step}: the loss is no longer finite", flush=True)
            return
        self.history.append(line)
        self.log_dict({name: value for name, value in line.items() if name != "step"})
        self._training_sums, self._validation_sums = {}, {}
        self._keep_weights(found)
        print(_progress(line, self.config.num_steps, self.seconds), flush=True)

    def _diverged_at(self, line: dict[str, float]) -> int | None:
        """The first step whose loss was not finite, or this one if its validation or its weights are not."""
        if lost_at_step := int(self._lost_at_step):
            return lost_at_step
        is_finite = all(math.isfinite(value) for value in line.values()) and has_finite_weights(self.model)
        return None if is_finite else self.global_step

    def _keep_weights(self, found: dict[str, float]) -> None:
        is_best = is_better(found, self.best)
        self.num_since_best = 0 if is_best else self.num_since_best + 1
        if is_best:
            self.best = found
        elif self.config.plateau and self.num_since_best % self.config.plateau == 0:
            self.num_drops += 1
        if is_best or not self.config.selects_best:
            self.selected_step = self.global_step
            save_weights(self.model, self.folder / WEIGHTS)
        if self.is_out_of_patience:
            self.trainer.should_stop = True

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimiser, and the learning rate as a function of the step and of the plateaus met."""
        optimizer = optimizer_of(self.model, self.config)
        factor = rate_factor(self.config, lambda: self.num_drops)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_validation_end(self) -> None:
        """Write the checkpoint from which a killed run goes on; it takes the place of the one before."""
        with replaced_atomically(self.folder / CHECKPOINT) as temporary:
            self.trainer.save_checkpoint(temporary)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Put what Lightning does not know into the checkpoint."""
        checkpoint["agegender"] = {
            "identity": self.identity,
            "history": self.history,
            "best": self.best,
            "selected_step": self.selected_step,
            "num_since_best": self.num_since_best,
            "num_drops": self.num_drops,
            "diverged_at_step": self.diverged_at_step,
            "seconds": self.seconds,
            "peak_memory_mb": self.peak_memory_mb,
            "training_sums": self._training_sums,
        }

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Take it out again."""
        state = checkpoint["agegender"]
        self.history, self.best, self.selected_step = state["history"], state["best"], state["selected_step"]
        self.num_since_best, self.num_drops = state["num_since_best"], state["num_drops"]
        self.seconds_before, self._training_sums = state["seconds"], state["training_sums"]
        self.peak_memory_before_mb = state["peak_memory_mb"]
        self.diverged_at_step = state.get("diverged_at_step")


@quiet_lightning()
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
    TensorBoard events and ``last.ckpt``, which ``ended.json`` replaces at the end: a run that has ended is not trained
    again. When the folder holds a checkpoint of this run, training goes on from there; one of another run
    (``identity_of``: other settings, data, model, initial weights or ``recipe``) is set aside as ``last.before.ckpt``
    (the weights of one that had ended as ``model.before.safetensors``), and training starts anew. A run whose loss is
    no longer finite ends at its next validation (``FitResult.diverged_at_step``). Where the processor would only
    emulate bfloat16, training is in single precision (``FitResult.precision``), and does not go on from a checkpoint in
    the other precision. Raises ``ValueError`` when the checkpoint is damaged.
    """
    folder = Path(folder)
    keep_freed_memory()
    config = replace(config, precision=precision_here(config.precision, accelerator))
    identity = identity_of(model, prepare, training, validation, config, recipe)
    module = MultiTaskTraining(model, prepare, config, folder, identity)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    if (end := _end_of(folder, identity)) is not None:
        print("trained to its end before: nothing is left to train", flush=True)
        load_weights(model, folder / WEIGHTS)
        return FitResult(**end)
    checkpoint = folder / CHECKPOINT
    start = _step_to_go_on_from(checkpoint, identity)
    is_watched = sys.stderr.isatty()
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=config.precision,
        max_steps=config.num_steps,
        max_epochs=-1,
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=config.clip_norm if config.clip_value is None else config.clip_value,
        gradient_clip_algorithm="norm" if config.clip_value is None else "value",
        callbacks=[TQDMProgressBar()] if is_watched else [],
        enable_checkpointing=False,
        enable_progress_bar=is_watched,
        enable_model_summary=False,
        logger=TensorBoardLogger(folder, name="", version="events"),
        log_every_n_steps=config.validate_every,
        default_root_dir=folder,
    )
    if start:
        print(f"going on at step {start} of {config.num_steps}", flush=True)
    else:
        save_weights(model, folder / WEIGHTS)  # what is left of a run that diverges before its first validation
    trainer.fit(
        module,
        training_loader(training, start, config.num_steps, num_workers),
        evaluation_loader(validation),
        ckpt_path=checkpoint if start else None,
        weights_only=True,
    )
    (folder / LAST_WEIGHTS).unlink(missing_ok=True)
    if module.diverged_at_step is None:
        save_weights(model, folder / LAST_WEIGHTS)
    load_weights(model, folder / WEIGHTS)
    device = _device_name(trainer.strategy.root_device)
    result = FitResult(
        history=module.history,
        seconds=module.seconds,
        selected_step=module.selected_step,
        device=device,
        peak_memory_mb=module.peak_memory_mb,
        precision=config.precision,
        diverged_at_step=module.diverged_at_step,
    )
    write_end(folder / ENDED, identity, asdict(result))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return result


def _end_of(folder: Path, identity: dict) -> dict | None:
    """How the training of this run ended, if it has; the weights of another one are set aside."""
    ended, weights = folder / ENDED, folder / WEIGHTS
    if not (ended.is_file() and weights.is_file()):
        ended.unlink(missing_ok=True)
        return None
    end, changes = read_end(ended, identity)
    if not changes:
        return end
    ended.unlink()
    weights.replace(folder / WEIGHTS_BEFORE)
    print(f"starting anew: {WEIGHTS} is of a run with {'; '.join(changes)}; kept as {WEIGHTS_BEFORE}", flush=True)
    return None


def _step_to_go_on_from(checkpoint: Path, identity: dict) -> int:
    """The step of the checkpoint of this run, 0 when there is none; that of another run is set aside."""
    if not checkpoint.exists():
        return 0
    if changes := differences(checkpoint, identity):
        checkpoint.replace(checkpoint.with_name(CHECKPOINT_BEFORE))
        print(
            f"starting anew: {CHECKPOINT} is of a run with {'; '.join(changes)}; kept as {CHECKPOINT_BEFORE}",
            flush=True,
        )
        return 0
    return step_of(checkpoint)


def _add(sums: dict[str, Tensor], values: dict[str, Tensor], count: int) -> None:
    for name, value in values.items():
        sums[name] = sums.get(name, torch.zeros_like(value)) + value
    prefix = next(iter(values)).split("_")[0]
    key = f"{prefix}_count"
    sums[key] = sums.get(key, torch.zeros(())) + count


def _means(sums: dict[str, Tensor]) -> dict[str, float]:
    counts = {name.split("_")[0]: float(value) for name, value in sums.items() if name.endswith("_count")}
    return {n: float(value) / counts[n.split("_")[0]] for n, value in sums.items() if not n.endswith("_count")}


def _progress(line: dict[str, float], num_steps: int, seconds: float) -> str:
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
