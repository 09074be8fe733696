"""Speed of the voice pipeline against the plain way with librosa, on made-up recordings of two to five seconds."""

from collections.abc import Iterator
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import soundfile
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from agegender.data.audio import Crop, RandomCrop, cache_clips
from agegender.data.audio_augmentation import published_augmentation
from agegender.data.batches import Batch, TrainingBatches, loader, targets_of
from agegender.data.cache import ExampleCache
from agegender.data.manifest import Manifest, build_manifest
from agegender.data.samplers import ShuffledSampler
from agegender.labels import ADIENCE_8, GENDERS
from agegender.models.audio_frontend import LogMel
from agegender.models.resnet_se import ResNetSE34V2
from agegender.training.memory import keep_freed_memory
from benchmarks.harness import Comparison, compare
from benchmarks.steps import BATCH, DEVICE, TrainedModel, compare_steps, wait

RATE_HZ = 16_000
CROP = Crop(2 * RATE_HZ)
CLIPS_EACH = 6
NUM_SOUNDS = 20


def recordings(folder: Path, number: int, seconds: tuple[float, float], seed: int = 0) -> Manifest:
    """Write ``number`` 16-bit WAV files of coloured noise, and return their manifest."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    names = [f"{index}.wav" for index in range(number)]
    for name in names:
        noise = np.cumsum(rng.standard_normal(int(RATE_HZ * rng.uniform(*seconds))))
        noise -= np.convolve(noise, np.ones(200) / 200, "same")
        soundfile.write(folder / name, 0.5 * noise / np.abs(noise).max(), RATE_HZ, "PCM_16")
    labels = pd.DataFrame({"age_group": rng.integers(len(ADIENCE_8), size=number)}, dtype="Int64")
    labels["gender"] = rng.choice(["male", "female"], number)
    table = labels.assign(path=names, subject=names, corpus="made-up", modality="voice")
    return build_manifest(table, scheme=ADIENCE_8, root=folder)


def plain_log_mel(clip: np.ndarray) -> np.ndarray:
    """The features of ``LogMel`` as one would make them with librosa: (num_mels, frames)."""
    emphasised = librosa.effects.preemphasis(clip, zi=[-0.97 * clip[1]])  # before the first sample comes the second
    mel = librosa.feature.melspectrogram(
        y=emphasised, sr=RATE_HZ, n_fft=512, win_length=400, hop_length=160, window="hamming", n_mels=80, htk=True,
        norm=None, pad_mode="reflect",
    )  # fmt: skip
    logarithm = np.log(mel + 1e-6)
    return (logarithm - logarithm.mean(1, keepdims=True)) / (logarithm.std(1, keepdims=True) + 1e-5)


class PlainClips(Dataset[Tensor]):
    """Decode, crop and analyse one clip at a time, in every epoch anew."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        clip, _ = librosa.load(self.paths[index], sr=RATE_HZ)
        clip = np.resize(clip, max(len(clip), CROP.num_samples + 1))
        start = np.random.randint(len(clip) - CROP.num_samples)  # noqa: NPY002 - the plain way
        return torch.from_numpy(plain_log_mel(clip[start : start + CROP.num_samples]))


class Ours:
    """The library's batches and step, with and without noise and rooms."""

    def __init__(self, clips: ExampleCache, sounds: list[ExampleCache]) -> None:
        encoder = ResNetSE34V2()
        self.model = TrainedModel(encoder, encoder.out_features)
        self.front_end = LogMel().to(DEVICE)
        targets = targets_of(clips.manifest.examples)
        sampler, augmented = ShuffledSampler(len(clips), BATCH, 0), RandomCrop(CROP, published_augmentation(*sounds))
        self.plain = TrainingBatches(clips, targets, sampler, RandomCrop(CROP))
        self.augmented = TrainingBatches(clips, targets, sampler, augmented)
        self.num_steps = len(clips) // BATCH

    def batches(self, stream: TrainingBatches) -> Iterator[Batch]:
        """Batches of one epoch, on the device."""
        for batch in loader(stream, range(self.num_steps)):
            yield {name: value.to(DEVICE, non_blocking=True) for name, value in batch.items()}

    def features(self) -> None:
        """Log-mel batches of one epoch, and nothing done with them."""
        for batch in self.batches(self.plain):
            self.front_end(batch["clips"])
            wait()

    def epoch(self, stream: TrainingBatches) -> None:
        """A training step on each batch; the front end is the first layer of the net."""
        for batch in self.batches(stream):
            self.model.step(batch | {"inputs": batch["clips"]})


def compare_features(rounds: int) -> Comparison:
    """Compare the features of one clip, on one thread of the processor for either arm."""
    clip = np.random.default_rng(0).standard_normal(CROP.num_samples).astype(np.float32) / 10
    front_end, waveform = LogMel(), torch.from_numpy(clip)[None]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return compare(
                "log-mel of one clip of 2 s, one thread, vs librosa",
                lambda: [front_end(waveform) for _ in range(20)],
                lambda: [plain_log_mel(clip) for _ in range(20)],
                2,
                4 * rounds,
                warm_up=2,
            )
    finally:
        torch.set_num_threads(threads)


def compare_training_steps(rounds: int) -> Comparison:
    """Compare steps of the net on crops that lie in memory, front end included; the plain net is the same in fp32."""
    encoder = ResNetSE34V2()
    plain = nn.Sequential(ResNetSE34V2(), nn.Linear(encoder.out_features, len(ADIENCE_8) + len(GENDERS)))
    name = "ResNetSE34V2 training step on 2 s (bf16 NHWC vs fp32 NCHW)"
    clips = torch.randn(BATCH, CROP.num_samples) / 10
    return compare_steps(name, TrainedModel(encoder, encoder.out_features), plain, clips, 2 * rounds)


def measure(folder: Path, num_subjects: int, rounds: int) -> list[Comparison]:
    """Write the recordings and run all comparisons."""
    number = max(BATCH, CLIPS_EACH * num_subjects)
    voices, cache = recordings(folder / "voices", number, (2, 5)), folder / "cache"
    sounds = [
        cache_clips(recordings(folder / f"sounds-{seed}", NUM_SOUNDS, seconds, seed), cache)
        for seed, seconds in enumerate([(0.3, 1), (20, 30), (20, 30), (3, 10)], start=1)
    ]  # in the order of published_augmentation: rooms, music, speech, noise
    ours = Ours(cache_clips(voices, cache), sounds)
    paths = [Path(str(voices.root)) / path for path in voices.examples["path"]]
    plain = DataLoader(PlainClips(paths), BATCH, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)

    def plain_features() -> None:
        for batch in plain:
            batch.to(DEVICE)
            wait()

    print(f"{number} clips, batches of {BATCH}, {DEVICE}, {torch.get_num_threads()} threads", flush=True)
    keep_freed_memory()  # as fit does; it serves both arms, as it cannot be taken back
    return [
        compare_features(rounds),
        compare_training_steps(rounds),
        compare("clips from disk to log-mel batches, cached vs librosa", ours.features, plain_features, 10, rounds),
        compare(
            "epoch with noise and rooms vs without (1.1 times at most)",
            lambda: ours.epoch(ours.augmented),
            lambda: ours.epoch(ours.plain),
            round(1 / 1.1, 3),
            rounds,
        ),
    ]
