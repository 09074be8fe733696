"""The plain way, as the public repositories of the papers do it: fp32, NCHW, PIL and torchvision's first transforms."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import transforms


def plain_lmtcnn(num_groups: int = 8) -> nn.Module:
    """LMTCNN-1-1 out of the layers that torch has ready; two linear heads side by side."""

    def separable(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
        return [
            nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels),
            nn.ReLU(),
            nn.BatchNorm2d(in_channels, eps=1e-3),
            nn.Conv2d(in_channels, out_channels, 1),
            nn.ReLU(),
            nn.BatchNorm2d(out_channels, eps=1e-3),
        ]

    return nn.Sequential(
        nn.Conv2d(3, 96, 7, 4),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0),
        *separable(96, 256, 1),
        *separable(256, 384, 2),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(13_824, 512),
        nn.ReLU(),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Linear(512, num_groups + 2),
    )


def plain_levi_hassner(num_groups: int = 8) -> nn.Module:
    """The net of Levi and Hassner out of the layers that torch has ready; two linear heads side by side."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 7, 4),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0),
        nn.Conv2d(96, 256, 5, 1, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0),
        nn.Conv2d(256, 384, 3, 1, 1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Flatten(),
        nn.Linear(18_816, 512),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(512, num_groups + 2),
    )


class PlainFaces(Dataset[tuple[Tensor, int, int]]):
    """Decode, resize, crop, flip, change the contrast and standardise one face at a time, in every epoch anew."""

    def __init__(self, paths: list[Path], age_group: list[int], gender: list[int]) -> None:
        self.paths, self.age_group, self.gender = paths, age_group, gender
        self.transform = transforms.Compose(
            [
                transforms.Resize((256, 256)),
                transforms.RandomCrop(227),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(contrast=(0.2, 1.8)),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        face = self.transform(Image.open(self.paths[index]).convert("RGB"))
        return (face - face.mean()) / face.std(), self.age_group[index], self.gender[index]


def plain_step(net: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, group: Tensor, gender: Tensor) -> None:
    """One training step in fp32."""
    logits = net(inputs)
    loss = nn.functional.cross_entropy(logits[:, :-2], group) + nn.functional.cross_entropy(logits[:, -2:], gender)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 4.0)
    optimizer.step()
