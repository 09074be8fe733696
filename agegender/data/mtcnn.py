"""Finding faces and five landmarks in pictures: a cascade of three nets, over many pictures at a time.

Source: Zhang, Zhang, Li and Qiao (2016), Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks, IEEE Signal Processing Letters 23(10). The nets and their weights are those of facenet-pytorch (MIT). The
cascade finds what its own does, and is faster: ``make bench`` compares them on 32 drawn pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from agegender.data.integral_image import area_resize, cut_out, integral_image

INSTALL = "pip install --no-deps facenet-pytorch==2.6.0"
"""Without dependencies, as their metadata forbids every NumPy and torch of this library."""

MIN_FACE_PX, THRESHOLDS, MAX_OVERLAP, FACTOR = 20, (0.6, 0.7, 0.8), 0.7, 0.709
"""Those of the published port: the smallest face, the threshold of each net, how much two faces may overlap, and the
step from one size of the picture to the next smaller one."""

_CELL_PX, _STRIDE_PX = 12, 2  # the field of view of the first net, and its stride
_AT_ONCE = 512  # candidates in one batch


@dataclass(frozen=True)
class Faces:
    """The faces in one picture, the surest first, in pixels of that picture.

    ``boxes`` (faces, 4): left, top, right, bottom. ``scores`` (faces,): 0 to 1. ``landmarks`` (faces, 5, 2): x and y of
    left eye, right eye, tip of the nose, left and right corner of the mouth, left and right as the viewer sees them.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


class FaceDetector:
    """The three nets, in eval mode; ``ImportError`` with the command to run when facenet-pytorch is not installed."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._propose, self._refine, self._locate = (net.eval().to(device) for net in _published_nets())

    @property
    def name(self) -> str:
        """What a result depends on: the nets with their version, and the settings."""
        settings = f"{MIN_FACE_PX} {THRESHOLDS} {MAX_OVERLAP:g} {FACTOR:g}"
        return f"mtcnn of facenet-pytorch {version('facenet-pytorch')}, {settings}"

    @torch.inference_mode()
    def find(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Return the faces in each picture; ``images`` are uint8 RGB (height, width, 3), each of its own size."""
        sums = [integral_image(image) for image in images]
        proposed = self._apart(self._proposals(sums)).shifted(extra_px=0).squared()
        refined = self._apart(self._faces_on(sums, proposed)).shifted(extra_px=1).squared()
        return self._located(sums, refined)

    def _proposals(self, sums: list[np.ndarray]) -> "_Candidates":
        """Slide the first net over each size of each picture; pictures of one shape go together."""
        nobody = _Candidates(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
        found, group = [nobody], [torch.zeros(0)]
        shapes = [table.shape for table in sums]
        for shape in sorted(set(shapes)):
            alike = [picture for picture, other in enumerate(shapes) if other == shape]
            height, width = shape[0] - 1, shape[1] - 1
            for scale in self._scales(min(height, width)):
                size = int(height * scale + 1), int(width * scale + 1)
                pixels = np.stack([area_resize(sums[picture], *size) for picture in alike])
                for picture, shifts, chances in zip(alike, *self._ask(self._propose, pixels), strict=True):
                    found.append(_windows(shifts, chances[1], scale, THRESHOLDS[0], picture))
                    group.append(torch.full((len(found[-1]),), float(len(found))))
        together = _Candidates(
            *(torch.cat(parts) for parts in zip(*(vars(each).values() for each in found), strict=True))
        )
        return together.apart(torch.cat(group), 0.5)  # within each size of each picture

    def _faces_on(self, sums: list[np.ndarray], proposed: "_Candidates") -> "_Candidates":
        """Keep what the second net takes for faces."""
        candidates, pixels = _cut_out(sums, proposed, 24)
        if not len(candidates):
            return candidates
        shifts, chances = self._ask(self._refine, pixels)
        return replace(candidates, scores=chances[:, 1], shifts=shifts)[chances[:, 1] > THRESHOLDS[1]]

    def _located(self, sums: list[np.ndarray], refined: "_Candidates") -> list[Faces]:
        """Keep what the third net takes for faces, with the landmarks that it sees."""
        candidates, pixels = _cut_out(sums, refined, 48)
        if not len(candidates):
            return [Faces(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2))) for _ in sums]
        shifts, points, chances = self._ask(self._locate, pixels)
        boxes = candidates.boxes
        size = boxes[:, 2:] - boxes[:, :2] + 1
        landmarks = boxes[:, None, :2] - 1 + size[:, None] * points.view(-1, 2, 5).transpose(1, 2)  # 5 x, then 5 y
        faces = replace(candidates, scores=chances[:, 1], shifts=shifts).shifted(extra_px=1)
        found = []
        for picture in range(len(sums)):
            here = ((candidates.picture == picture) & (faces.scores > THRESHOLDS[2])).nonzero()[:, 0]
            kept = here[_surest_apart(faces.boxes[here], faces.scores[here], MAX_OVERLAP)]
            found.append(Faces(*(part[kept].double().numpy() for part in (faces.boxes, faces.scores, landmarks))))
        return found

    def _apart(self, candidates: "_Candidates") -> "_Candidates":
        return candidates.apart(candidates.picture, MAX_OVERLAP)

    def _scales(self, shorter_px: int) -> list[float]:
        scales = [_CELL_PX / MIN_FACE_PX]
        while shorter_px * scales[-1] >= _CELL_PX:
            scales.append(scales[-1] * FACTOR)
        return scales[:-1]

    def _ask(self, net: nn.Module, pixels: np.ndarray) -> list[Tensor]:
        """Ask a net about pixels (n, height, width, 3) from 0 to 255, which it gets from -1 to 1 and channels last."""
        batches = [pixels[first : first + _AT_ONCE] for first in range(0, len(pixels), _AT_ONCE)]
        inputs = (torch.from_numpy((batch - 127.5) * np.float32(1 / 128)).permute(0, 3, 1, 2) for batch in batches)
        answers = [net(each.to(self.device)) for each in inputs]
        return [torch.cat(each).cpu() for each in zip(*answers, strict=True)]


@dataclass(frozen=True)
class _Candidates:
    """Boxes (n, 4), their scores (n,), the shifts of their sides in box sizes (n, 4), and whose they are (n,)."""

    boxes: Tensor
    scores: Tensor
    shifts: Tensor
    picture: Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, kept: Tensor) -> "_Candidates":
        return _Candidates(*(part[kept] for part in vars(self).values()))

    def apart(self, group: Tensor, max_overlap: float) -> "_Candidates":
        """Of candidates of one group that overlap, keep the surest; surest first."""
        return self[batched_nms(self.boxes.double(), self.scores.double(), group, max_overlap)]  # float32 is too coarse

    def shifted(self, extra_px: int) -> "_Candidates":
        """Move each side by its shift; a box of pixels 3 to 5 is 2 + ``extra_px`` wide."""
        size = self.boxes[:, 2:] - self.boxes[:, :2] + extra_px
        return replace(self, boxes=self.boxes + self.shifts * size.repeat(1, 2))

    def squared(self) -> "_Candidates":
        """Make each box a square around its centre, as large as its longer side."""
        size = self.boxes[:, 2:] - self.boxes[:, :2]
        side = size.amax(1, keepdim=True)
        corner = self.boxes[:, :2] + size * 0.5 - side * 0.5
        return replace(self, boxes=torch.cat([corner, corner + side], 1))


def _published_nets() -> tuple[nn.Module, nn.Module, nn.Module]:
    try:
        from facenet_pytorch.models.mtcnn import ONet, PNet, RNet  # here, as only those who look for faces need it
    except ImportError as error:
        raise ImportError(f"finding faces needs facenet-pytorch ({error}); install it with: {INSTALL}") from error
    return PNet(), RNet(), ONet()


def _windows(shifts: Tensor, chances: Tensor, scale: float, threshold: float, picture: int) -> _Candidates:
    """Return the windows of the whole picture in which the first net sees a face.

    ``shifts`` (4, rows, columns), ``chances`` (rows, columns); ``scale`` is shrunken / whole.
    """
    place = (chances >= threshold).nonzero()
    rows, columns = place.T
    corner = place.flip(1).float() * _STRIDE_PX
    boxes = torch.cat([((corner + 1) / scale).floor(), ((corner + _CELL_PX) / scale).floor()], 1)
    return _Candidates(boxes, chances[rows, columns], shifts[:, rows, columns].T, torch.full((len(place),), picture))


def _cut_out(sums: list[np.ndarray], candidates: _Candidates, size_px: int) -> tuple[_Candidates, np.ndarray]:
    """Return the candidates that lie in their picture at least in part, and these parts as ``size_px`` pixels."""
    sizes = np.array([[table.shape[1] - 1, table.shape[0] - 1] for table in sums]).reshape(-1, 2)
    size = torch.from_numpy(sizes)[candidates.picture]
    corner = candidates.boxes[:, :2].long().clamp(min=1) - 1
    end = torch.minimum(candidates.boxes[:, 2:].long(), size)
    is_inside = (end > corner).all(1)
    candidates, boxes = candidates[is_inside], torch.cat([corner, end], 1)[is_inside]
    pixels = np.empty((len(candidates), size_px, size_px, 3), np.float32)
    for picture in candidates.picture.unique().tolist():
        here = (candidates.picture == picture).numpy()
        pixels[here] = cut_out(sums[picture], boxes.numpy()[here], size_px)
    return candidates, pixels


def _surest_apart(boxes: Tensor, scores: Tensor, max_overlap: float) -> Tensor:
    """Return the numbers of the boxes that overlap no surer one, surest first; overlap is over the smaller area."""
    order = scores.argsort(descending=True)
    area = (boxes[:, 2:] - boxes[:, :2] + 1).prod(1)
    kept: list[int] = []
    while len(order):
        first, order = int(order[0]), order[1:]
        kept.append(first)
        shared = torch.minimum(boxes[first, 2:], boxes[order, 2:]) - torch.maximum(boxes[first, :2], boxes[order, :2])
        overlap = (shared + 1).clamp(min=0).prod(1) / torch.minimum(area[first], area[order])
        order = order[overlap <= max_overlap]
    return torch.tensor(kept, dtype=torch.int64)
