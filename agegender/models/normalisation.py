"""Normalisations of the early convolutional nets: across channels, by batch with a shift only, and by image row."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional


class LocalResponseNorm(nn.Module):
    """Divide each value by a power of the energy of its neighbouring channels.

    ``y_c = x_c * (1 + alpha * sum_{|j - c| <= radius} x_j^2) ** -0.75``, with ``alpha`` not divided by the size of the
    window (TensorFlow's convention; Caffe and ``torch.nn.LocalResponseNorm`` divide it by ``2 * radius + 1``).
    The sum over neighbours is a 1x1 convolution with a banded matrix: on a CPU faster than
    ``torch.nn.LocalResponseNorm``, and also in bfloat16, which that has not.

    Reference: Krizhevsky, Sutskever and Hinton (2012), section 3.3.
    """

    band: Tensor

    def __init__(self, num_channels: int, radius: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        channel = torch.arange(num_channels)
        band = (channel[:, None] - channel[None, :]).abs() <= radius
        self.register_buffer("band", band.float()[:, :, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (batch, channels, height, width); the shape stays."""
        return _Response.apply(x, self.band.to(x.dtype), self.alpha)


class _Response(Function):
    """The formula of ``LocalResponseNorm`` with its derivative written out: half the passes of what autograd records.

    With ``d = 1 + alpha * energy`` the gradient is ``g * d ** -0.75 - 1.5 * alpha * x * W(g * x * d ** -1.75)``, where
    ``W`` sums over neighbours as ``energy`` does, because j neighbours c whenever c neighbours j.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, band: Tensor, alpha: float) -> Tensor:
        energy = functional.conv2d(x.square(), band)
        energy = energy.to(torch.promote_types(x.dtype, torch.float32))  # 1 + small is lost in bf16
        inverse_root = energy.mul_(alpha).add_(1).rsqrt_()
        factor = inverse_root.sqrt().mul_(inverse_root).to(x.dtype)  # a square root is cheaper than a power
        ctx.save_for_backward(x, band, factor, inverse_root)
        ctx.weight = 1.5 * alpha
        return x * factor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, band, factor, inverse_root = ctx.saved_tensors
        slope = inverse_root.square().mul_(factor).to(x.dtype)
        pull = functional.conv2d((grad * x).mul_(slope), band)
        return torch.addcmul(grad * factor, x, pull, value=-ctx.weight), None, None


class ShiftBatchNorm(nn.Module):
    """Batch normalisation with a learned shift and no learned scale, as TensorFlow's slim has it by default.

    With ``uses_batch_statistics_at_test`` the statistics of the current batch are used at test time too, so that a
    prediction depends on the other examples of its batch, as in the published LMTCNN code. Otherwise moving averages
    are used, in which the newest batch weighs 0.1 (in slim 0.001: after some hundred steps still near their start).

    Reference: Ioffe and Szegedy (2015), algorithm 1, with gamma fixed at 1.
    """

    scale: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_channels: int, uses_batch_statistics_at_test: bool) -> None:
        super().__init__()
        self.uses_batch_statistics_at_test = uses_batch_statistics_at_test
        self.shift = nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("scale", torch.ones(num_channels), persistent=False)
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (batch, channels, height, width); the shape stays."""
        from_batch = self.training or self.uses_batch_statistics_at_test
        has_averages = self.training or not from_batch
        mean, variance = (self.running_mean, self.running_var) if has_averages else (None, None)
        return functional.batch_norm(x, mean, variance, self.scale, self.shift, from_batch, momentum=0.1, eps=1e-3)


class RowBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the statistics, scale and shift of each **row** of the image, over all its channels.

    As Keras' ``BatchNormalization(axis=1)`` on (batch, height, width, channels); ``momentum`` is one minus Keras'.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (batch, channels, rows, width); the shape stays, and the channels-last layout."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
