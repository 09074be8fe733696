"""Opening the test part: with the selected weights, with those of the last step, and in other ways than the recipe's.

What a score owes to the choice of the epoch, to batch statistics, to a crop or to the precision costs no training: the
trained net is asked again. Nothing is chosen by any of this.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from agegender import files
from agegender.data.audio import EvenCrops
from agegender.data.batches import EvaluationBatches, Transform
from agegender.data.images import Augmentation, CentreCrop, sampled
from agegender.evaluation.metrics import group_columns
from agegender.evaluation.records import LAST_PREDICTIONS, OTHER_TESTS, answers_of
from agegender.models.multitask import MultiTaskModel
from agegender.models.normalisation import ShiftBatchNorm
from agegender.training.checkpoints import LAST_WEIGHTS, WEIGHTS, load_weights
from agegender.training.prediction import Prepare, predict
from agegender.training.runs import BegunRun, predictions_table

BATCH_SIZES = (1, 8, 32, 128)
"""Of the tests with batch statistics."""


@dataclass(frozen=True)
class OtherTest:
    """One more way of asking a trained net about the test part; where there are several inputs, answers are averaged.

    ``has_batch_statistics`` normalises by the statistics of each batch in the place of the moving averages.
    """

    examples: EvaluationBatches
    inputs: tuple[Prepare, ...]
    has_batch_statistics: bool = False
    is_bf16: bool = False


def open_test(
    run: BegunRun,
    model: MultiTaskModel,
    prepare: Prepare,
    test: EvaluationBatches,
    others: dict[str, OtherTest],
    device: str | torch.device | None = None,
) -> pd.DataFrame:
    """Return the predictions of the selected weights, which ``model`` holds, for the test part of ``run``.

    ``prepare`` and ``test`` are the recipe's; the table is that of ``predictions_table``. The run folder receives
    ``predictions_last.parquet``, what the weights of the last step say of the same examples (unless the run diverged,
    or they were tested and removed before), and ``other_tests.parquet`` with a row for each of ``others`` and example:
    the ``age`` in years, the most probable ``group`` (-1 without groups) and ``p_female``, as far as the net has them.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    fold, rows, examples = run.parameters["fold"], run.parts["test"], run.manifest.examples

    def table(answers: dict[str, np.ndarray]) -> pd.DataFrame:
        return predictions_table(examples, rows, fold, answers)

    predictions = table(predict(model, prepare, test, device))
    asked = []
    for name, other in others.items():
        print(f"also tested: {name}", flush=True)
        asked.append(_in_short(table(_ask(model, other, device))).assign(test=name))
    if asked:
        _write(pd.concat(asked, ignore_index=True).astype({"test": "category"}), run.folder / OTHER_TESTS)
    last = run.folder / LAST_WEIGHTS
    if last.is_file():
        load_weights(model, last)
        _write(answers_of(table(predict(model, prepare, test, device))), run.folder / LAST_PREDICTIONS)
        load_weights(model, run.folder / WEIGHTS)
    return predictions


def _write(table: pd.DataFrame, file: Path) -> None:
    with files.replaced_atomically(file) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def _ask(model: MultiTaskModel, other: OtherTest, device: str | torch.device) -> dict[str, np.ndarray]:
    bf16 = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=other.is_bf16)
    with _batch_statistics(model) if other.has_batch_statistics else bf16:
        said = [predict(model, prepare, other.examples, device) for prepare in other.inputs]
    return {name: np.stack([answers[name] for answers in said]).mean(0) for name in said[0]}


def _in_short(predictions: pd.DataFrame) -> pd.DataFrame:
    """Keep what metrics of age, group and gender need, rounded so that it takes little room."""
    short = predictions[["example"]].astype("int32")
    groups = group_columns(predictions)
    short["age"] = predictions["age"].astype("float32").round(2)
    short["group"] = predictions[groups].to_numpy().argmax(1).astype("int8") if groups else np.int8(-1)
    return short.assign(p_female=predictions["p_female"].round(4))


@contextmanager
def _batch_statistics(model: nn.Module) -> Iterator[None]:
    """Normalise by the statistics of each batch until the block ends; the moving averages stay as they are."""
    norms = _norms_of(model)
    before = copy.deepcopy([norm.state_dict() for norm in norms])
    hooks = [norm.register_forward_pre_hook(_as_in_training) for norm in norms]
    try:
        yield
    finally:
        for hook, norm, state in zip(hooks, norms, before, strict=True):
            hook.remove()
            norm.load_state_dict(state)
        model.eval()


def _as_in_training(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    module.train()


def _norms_of(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm | ShiftBatchNorm)]


def _of_all(model: MultiTaskModel, prepare: Prepare, test: EvaluationBatches) -> dict[str, OtherTest]:
    """What can be asked of faces and of clips alike: bfloat16 and, where the net has any, batch statistics.

    A layer without places (``BatchNorm1d``) has no statistics of one example: such batches are left out.
    """
    norms, num_examples = _norms_of(model), len(next(iter(test.targets.values())))
    least = 2 if any(isinstance(norm, nn.BatchNorm1d) for norm in norms) else 1
    found = {"in bfloat16": OtherTest(test, (prepare,), is_bf16=True)}
    for size in BATCH_SIZES if norms else ():
        if min(size, num_examples % size or size) >= least:
            batches = copy.copy(test)
            batches.batch_size = size
            found[f"batch statistics, {size} at once"] = OtherTest(batches, (prepare,), has_batch_statistics=True)
    return found


def other_tests_of_faces(
    model: MultiTaskModel, prepare: Prepare, test: EvaluationBatches, input_px: int, augmentation: Augmentation
) -> dict[str, OtherTest]:
    """Return by name in which other ways a net that takes faces of ``input_px`` is tested; ``prepare`` takes any side.

    ``test`` and ``prepare`` are those of the recipe, ``augmentation`` is that of its training. Where faces are stored
    larger than the input, they are also squashed, cut in the centre, and asked about by the ten crops of Krizhevsky,
    Sutskever and Hinton (2012): corners and centre, each also mirrored.
    """

    def of_part(way: Prepare, top: int, left: int) -> Prepare:
        return _on_images(way, lambda images: images[:, top : top + input_px, left : left + input_px])

    end = test.cache.array.shape[1] - input_px
    corners = [(0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2)]
    mirrored = _on_images(prepare, lambda images: images.flip(2))
    found = _of_all(model, prepare, test) | {
        "mirrored too": OtherTest(test, (prepare, mirrored)),
        "augmented as in training": OtherTest(_with_transform(test, augmentation), (prepare,)),
        "blue for red": OtherTest(test, (_on_images(prepare, lambda images: images.flip(3)),)),
        "pixels from 0 to 1": OtherTest(test, (lambda batch: _from_0_to_1(batch["images"], input_px),)),
    }
    if not end:
        return found
    whole = _with_transform(test, CentreCrop())
    ten = tuple(of_part(way, *corner) for way in (prepare, mirrored) for corner in corners)
    squash = _on_images(prepare, lambda images: sampled(images, input_px, has_half_pixels=False))
    return found | {
        "centre crop": OtherTest(whole, (of_part(prepare, end // 2, end // 2),)),
        "squashed": OtherTest(whole, (squash,)),
        "ten crops": OtherTest(whole, ten),
    }


def other_tests_of_clips(
    model: MultiTaskModel, prepare: Prepare, test: EvaluationBatches, num_uniforms: int = 0
) -> dict[str, OtherTest]:
    """Return by name in which other ways a net that hears clips is tested: one crop and ten, and augmented.

    ``test`` and ``prepare`` are those of the recipe; ``num_uniforms`` is that of its training, 0 without augmentation.
    """
    assert isinstance(test.transform, EvenCrops)
    crop = test.transform.crop
    ways = {"one crop": EvenCrops(crop, 1), "ten crops": EvenCrops(crop, 10)}
    if num_uniforms:
        ways["augmented as in training"] = EvenCrops(crop, num_uniforms=num_uniforms)
    others = {name: OtherTest(_with_transform(test, way), (prepare,)) for name, way in ways.items()}
    return _of_all(model, prepare, test) | others


def _with_transform(test: EvaluationBatches, transform: Transform) -> EvaluationBatches:
    return EvaluationBatches(test.cache, test.targets, test.batch_size, transform)


def _on_images(prepare: Prepare, change: Callable[[Tensor], Tensor]) -> Prepare:
    """Change ``images`` (batch, side, side, 3) before they are prepared."""
    return lambda batch: prepare(batch | {"images": change(batch["images"])})


def _from_0_to_1(images: Tensor, input_px: int) -> Tensor:
    if images.shape[1] != input_px:
        images = sampled(images, input_px, has_half_pixels=False)
    return images.permute(0, 3, 1, 2).float() / 255
