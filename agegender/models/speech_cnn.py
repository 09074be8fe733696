"""CNN v1 of the Common Voice pipeline; layer sizes follow its public notebooks (Common Voice 8.0, six age groups).

A ``heads.ClassHead(..., init="torch")`` of six classes on it makes the published model, as on ``SpeechTCN``.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from agegender.models.audio_frontend import NUM_MELS


class SpeechCNN(nn.Module):
    """Three convolutions on a mel spectrogram of 64 bands, flattened to ``out_features``.

    In the published code (``is_as_described=False``) the first convolution has stride 1 and only it is followed by a
    ReLU: on 512 frames 63,240 features, and with a head of six classes 393,182 parameters, 379,446 in the head. In its
    description the first convolution has stride 2 and each is followed by a ReLU: 15,240 features, 105,182 parameters.
    """

    def __init__(self, num_frames: int = 512, is_as_described: bool = False) -> None:
        super().__init__()
        stride = 2 if is_as_described else 1
        least = 3 * stride + 1
        if num_frames < least:
            raise ValueError(f"CNN v1 needs {least} frames or more, got {num_frames}")
        self.num_frames, self.is_as_described = num_frames, is_as_described
        self.conv1 = nn.Conv2d(1, 32, 3, stride, padding=1)
        self.norm1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 16, 5, padding=2)
        self.conv3 = nn.Conv2d(16, 8, 2)
        self.norm3 = nn.BatchNorm2d(8)
        mels, frames = (-(-size // stride) // 2 - 1 for size in (NUM_MELS, num_frames))
        self.out_features = 8 * mels * frames

    def forward(self, mels: Tensor) -> Tensor:
        """Encode spectrograms (batch, 64, num_frames) in dB as (batch, ``out_features``)."""
        if mels.shape[1:] != (NUM_MELS, self.num_frames):
            expected = f"(batch, {NUM_MELS}, {self.num_frames})"
            raise ValueError(f"this SpeechCNN reads {expected}, got {tuple(mels.shape)}: cut or pad the clips to fit")
        x = self.norm1(functional.relu(self.conv1(mels[:, None])))
        x = self._activated(self.conv2(functional.max_pool2d(x, 2)))  # (batch, 16, 32, 256) with a stride of 1
        x = functional.max_pool2d(x, 2, stride=1)  # (batch, 16, 31, 255)
        x = self._activated(self.conv3(functional.pad(x, (0, 1, 0, 1))))  # "same" of an even kernel: right and bottom
        return torch.flatten(self.norm3(x), 1)

    def _activated(self, x: Tensor) -> Tensor:
        return functional.relu(x) if self.is_as_described else x
