"""Speed of the LMTCNN pipeline against the plain way, on drawn faces of 816 pixels."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from agegender.corpora import adience
from agegender.data.caches import ImageCache, cache_images
from agegender.data.images import standardise
from agegender.data.loading import Augmentation, Batch, TrainingFaces, targets_of, training_loader
from agegender.data.manifest import Manifest
from agegender.labels import ADIENCE_8
from agegender.miniatures.layouts import write_adience
from agegender.models.heads import AgeGroupHead, GenderHead
from agegender.models.lmtcnn import INPUT_PX, LMTCNN
from agegender.models.multitask import MultiTaskModel
from agegender.training.memory import keep_freed_memory
from benchmarks.harness import Comparison, compare
from benchmarks.plain import PlainFaces, plain_lmtcnn, plain_step

BATCH = 32
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Ours:
    """The library's model, step and batches over one cache of faces."""

    def __init__(self, cache: ImageCache) -> None:
        encoder = LMTCNN()
        heads = {"age": AgeGroupHead(encoder.out_features, ADIENCE_8), "gender": GenderHead(encoder.out_features)}
        self.net = MultiTaskModel(encoder, heads).to(DEVICE, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.net.parameters(), 0.01, 0.9)
        targets = targets_of(cache.manifest.examples)
        self.faces = TrainingFaces(cache.images, cache.rows, targets, BATCH, 0, Augmentation(INPUT_PX))
        self.num_steps = len(cache.rows) // BATCH

    def batches(self) -> Iterator[Batch]:
        """Augmented, standardised batches of one epoch, on the device."""
        for batch in training_loader(self.faces, 0, self.num_steps):
            here = {name: value.to(DEVICE, non_blocking=True) for name, value in batch.items()}
            yield here | {"inputs": standardise(here["images"], here["contrast"])}

    def step(self, batch: Batch) -> None:
        """One training step under bf16 autocast."""
        with torch.autocast(DEVICE, torch.bfloat16):
            losses = self.net.losses(self.net(batch["inputs"]), batch)
        self.optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 4.0)
        self.optimizer.step()
        _wait()

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
        _wait()

    def epoch(self) -> None:
        """Batches from the files and a step on each."""
        for batch in self.batches():
            self.step(batch)


def _wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def exhaust(batches: Iterator) -> None:
    """Draw all batches and do nothing with them."""
    for _ in batches:
        _wait()


def measure(folder: Path, num_subjects: int, rounds: int) -> list[Comparison]:
    """Draw the faces and run all comparisons."""
    tree = write_adience(folder / "adience", num_subjects=num_subjects)
    manifest = adience.read(tree)
    ours, plain = Ours(cache_images(manifest, folder / "cache")), Plain(manifest)
    our_batch, plain_batch = next(ours.batches()), next(plain.batches())
    in_memory = [our_batch] * ours.num_steps

    def first_epoch() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            cache_images(manifest, Path(fresh))
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
