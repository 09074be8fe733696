"""One training step of the library, and its comparison with the plain one on a batch that lies in memory."""

import torch
from torch import Tensor, nn

from agegender.data.batches import Batch
from agegender.labels import ADIENCE_8
from agegender.models.heads import GENDER, AgeBins, ClassHead
from agegender.models.multitask import MultiTaskModel
from benchmarks.harness import Comparison, compare
from benchmarks.plain import plain_step

BATCH = 32
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class TrainedModel:
    """An encoder with ``out_features``, a head for age groups and one for gender, and their optimiser."""

    def __init__(self, encoder: nn.Module, out_features: int) -> None:
        heads = {"age": ClassHead(out_features, AgeBins(ADIENCE_8)), "gender": ClassHead(out_features, GENDER)}
        self.net = MultiTaskModel(encoder, heads).to(DEVICE, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.net.parameters(), 0.01, 0.9)

    def step(self, batch: Batch) -> None:
        """One training step under bf16 autocast."""
        with torch.autocast(DEVICE, torch.bfloat16):
            losses = self.net.losses(self.net(batch["inputs"]), batch)
        self.optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 4.0)
        self.optimizer.step()
        wait()


def compare_steps(name: str, ours: TrainedModel, plain: nn.Module, inputs: Tensor, rounds: int) -> Comparison:
    """Compare steps on one batch of faces or clips; the plain model has 8 age groups and 2 genders side by side."""
    plain, inputs = plain.to(DEVICE), inputs.to(DEVICE)
    optimizer = torch.optim.SGD(plain.parameters(), 0.01, 0.9)
    groups, genders = (torch.randint(number, (len(inputs),), device=DEVICE) for number in (len(ADIENCE_8), 2))
    batch = {"inputs": inputs, "age_group": groups, "gender": genders}
    if inputs.ndim == 4:
        batch["inputs"] = inputs.contiguous(memory_format=torch.channels_last)

    def plain_turn() -> None:
        plain_step(plain, optimizer, inputs, groups, genders)
        wait()

    return compare(name, lambda: ours.step(batch), plain_turn, 1.8, rounds, warm_up=3)


def wait() -> None:
    """Wait until the device has done what it was given."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
