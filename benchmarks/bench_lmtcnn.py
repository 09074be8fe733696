"""Speed of the LMTCNN pipeline against the plain way, on drawn faces of 816 pixels."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from agegender.corpora import catalog
from agegender.data.batches import Batch, TrainingBatches, loader, targets_of
from agegender.data.cache import ExampleCache
from agegender.data.images import Augmentation, cache_images, standardise
from agegender.data.manifest import Manifest
from agegender.data.samplers import ShuffledSampler
from agegender.miniatures.face_corpora import write_adience
from agegender.models.lmtcnn import INPUT_PX, LMTCNN
from agegender.training.memory import keep_freed_memory
from benchmarks.harness import Comparison, compare
from benchmarks.plain import PlainFaces, plain_lmtcnn, plain_step
from benchmarks.steps import BATCH, DEVICE, TrainedModel, wait


class Ours(TrainedModel):
    """The library's model, step and batches over one cache of faces."""

    def __init__(self, cache: ExampleCache) -> None:
        encoder = LMTCNN()
        super().__init__(encoder, encoder.out_features)
        targets = targets_of(cache.manifest.examples)
        self.faces = TrainingBatches(cache, targets, ShuffledSampler(len(cache), BATCH, 0), Augmentation(INPUT_PX))
        self.num_steps = len(cache) // BATCH

    def batches(self) -> Iterator[Batch]:
        """Augmented, standardised batches of one epoch, on the device."""
        for batch in loader(self.faces, range(self.num_steps)):
            here = {name: value.to(DEVICE, non_blocking=True) for name, value in batch.items()}
            yield here | {"inputs": standardise(here["images"], here["contrast"])}

    def epoch(self) -> None:
        """Batches from the cache and a step on each."""
        for batch in self.batches():
            self.step(batch)


class Plain:
    """The plain model, step and loader with two workers over the same files."""

    def __init__(self, manifest: Manifest) -> None:
        self.net = plain_lmtcnn().to(DEVICE)
        self.optimizer = torch.optim.SGD(self.net.parameters(), 0.01, 0.9)
        targets = {name: values.tolist() for name, values in targets_of(manifest.examples).items()}
        paths = [Path(str(manifest.root)) / path for path in manifest.examples["path"]]
        faces = PlainFaces(paths, targets["age_group"], targets["gender"])
        self.loader = DataLoader(faces, BATCH, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)

    def batches(self) -> Iterator[list[torch.Tensor]]:
        """Batches of one epoch, decoded anew, on the device."""
        for batch in self.loader:
            yield [value.to(DEVICE) for value in batch]

    def step(self, batch: list[torch.Tensor]) -> None:
        """One training step in fp32."""
        plain_step(self.net, self.optimizer, *batch)
        wait()

    def epoch(self) -> None:
        """Batches from the files and a step on each."""
        for batch in self.batches():
            self.step(batch)


def exhaust(batches: Iterator) -> None:
    """Draw all batches and do nothing with them."""
    for _ in batches:
        wait()


def measure(folder: Path, num_subjects: int, rounds: int) -> list[Comparison]:
    """Draw the faces and run all comparisons."""
    tree = write_adience(folder / "adience", num_subjects=num_subjects)
    manifest = catalog.read("adience", tree)
    ours, plain = Ours(cache_images(manifest, folder / "cache", 256)), Plain(manifest)
    our_batch, plain_batch = next(ours.batches()), next(plain.batches())
    in_memory = [our_batch] * ours.num_steps

    def first_epoch() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            cache_images(manifest, Path(fresh), 256)
            ours.epoch()

    print(
        f"{len(manifest)} faces of 816 px, batches of {BATCH}, {DEVICE}, {torch.get_num_threads()} threads", flush=True
    )
    step = compare(
        "training step, data in memory (bf16 NHWC vs fp32 NCHW)",
        lambda: ours.step(our_batch),
        lambda: plain.step(plain_batch),
        2.5,
        3 * rounds,
        warm_up=3,
    )
    keep_freed_memory()  # as fit does; from here on it serves both arms, as it cannot be taken back
    return [
        step,
        compare(
            "files to ready batches, cached vs decoding",
            lambda: exhaust(ours.batches()),
            lambda: exhaust(plain.batches()),
            8,
            rounds,
        ),
        compare("whole epoch", ours.epoch, plain.epoch, 3, rounds),
        compare("first epoch, nothing cached", first_epoch, plain.epoch, 1, rounds, warm_up=0),
        compare(
            "whole epoch vs its own compute alone (1.1 times at most)",
            ours.epoch,
            lambda: [ours.step(batch) for batch in in_memory],
            round(1 / 1.1, 3),
            rounds,
        ),
    ]
