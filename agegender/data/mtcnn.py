"""Finding faces and five landmarks in pictures: a cascade of three nets, over many pictures at a time.

Source: Zhang, Zhang, Li and Qiao (2016), Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks, IEEE Signal Processing Letters 23(10). The nets, their weights and the steps between them are those of
facenet-pytorch (MIT). Its own cascade finds the same, one picture at a time: ``make bench`` compares the two. Here
boxes are (n, 9): four sides, the score, and the shifts of the sides in box sizes; ``picture`` (n,) says whose they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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

_CELL_PX = 12  # the field of view of the first net


@dataclass(frozen=True)
class Faces:
    """The faces in one picture of ``width_px`` by ``height_px``, the surest first, in its pixels.

    ``boxes`` (faces, 4): left, top, right, bottom. ``scores`` (faces,): 0 to 1. ``landmarks`` (faces, 5, 2): x and y of
    left eye, right eye, tip of the nose, left and right corner of the mouth, left and right as the viewer sees them.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    width_px: int
    height_px: int

    def __len__(self) -> int:
        return len(self.boxes)


class FaceDetector:
    """The three nets, in eval mode; ``ImportError`` with the command to run when facenet-pytorch is not installed."""

    def __init__(self, device: str = "cpu") -> None:
        try:  # here, as only those who look for faces need it
            from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
            from facenet_pytorch.models.utils import detect_face
        except ImportError as error:
            raise ImportError(f"finding faces needs facenet-pytorch ({error}); install it with: {INSTALL}") from error
        self.device, self._cascade = device, detect_face
        self._propose, self._refine, self._locate = (net().eval().to(device) for net in (PNet, RNet, ONet))

    @property
    def name(self) -> str:
        """What a result depends on: the nets with their version, and the settings."""
        settings = f"{MIN_FACE_PX} {THRESHOLDS} {MAX_OVERLAP:g} {FACTOR:g}"
        return f"mtcnn of facenet-pytorch {version('facenet-pytorch')}, {settings}"

    @torch.inference_mode()
    def find(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Return the faces in each picture; ``images`` are uint8 RGB (height, width, 3), each of its own size."""
        sums = [integral_image(image) for image in images]
        boxes, picture = _apart(*self._proposals(sums), MAX_OVERLAP)
        boxes[:, :4] += boxes[:, 5:] * (boxes[:, 2:4] - boxes[:, :2]).repeat(1, 2)
        boxes, picture, _ = self._faces_on(self._refine, 24, THRESHOLDS[1], sums, self._cascade.rerec(boxes), picture)
        boxes, picture = _apart(boxes, picture, MAX_OVERLAP)
        return self._located(sums, self._cascade.rerec(self._cascade.bbreg(boxes, boxes[:, 5:])), picture)

    def _proposals(self, sums: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Slide the first net over each size of each picture; pictures of one shape go together."""
        found, pictures = [torch.zeros(0, 9)], [torch.zeros(0, dtype=torch.int64)]
        shapes = [table.shape for table in sums]
        for shape in sorted(set(shapes)):
            alike = [picture for picture, other in enumerate(shapes) if other == shape]
            height, width = shape[0] - 1, shape[1] - 1
            scale = _CELL_PX / MIN_FACE_PX
            while min(height, width) * scale >= _CELL_PX:
                size = int(height * scale + 1), int(width * scale + 1)
                pixels = np.stack([area_resize(sums[picture], *size) for picture in alike])
                shifts, chances = self._ask(self._propose, pixels)
                boxes, place = self._cascade.generateBoundingBox(shifts, chances[:, 1], scale, THRESHOLDS[0])
                boxes, place = _apart(boxes, place, 0.5)
                found.append(boxes)
                pictures.append(torch.tensor(alike)[place])
                scale *= FACTOR
        return torch.cat(found), torch.cat(pictures)

    def _faces_on(
        self, net: nn.Module, size_px: int, threshold: float, sums: list[np.ndarray], boxes: Tensor, picture: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Keep what the second or third net takes for faces, with all that it says before the chances."""
        boxes, picture, pixels = _cut_out(sums, boxes, picture, size_px)
        if not len(boxes):
            return boxes, picture, torch.zeros(0, 14)
        *said, chances = self._ask(net, pixels)
        is_face = chances[:, 1] > threshold
        boxes = torch.cat([boxes[:, :4], chances[:, 1:], said[0]], 1)
        return boxes[is_face], picture[is_face], torch.cat(said, 1)[is_face]

    def _located(self, sums: list[np.ndarray], boxes: Tensor, picture: Tensor) -> list[Faces]:
        """Keep what the third net takes for faces, with the landmarks that it sees."""
        boxes, picture, said = self._faces_on(self._locate, 48, THRESHOLDS[2], sums, boxes, picture)
        size = boxes[:, 2:4] - boxes[:, :2] + 1
        points = said[:, 4:].view(-1, 2, 5).transpose(1, 2)  # 5 x, then 5 y
        landmarks = boxes[:, None, :2] - 1 + size[:, None] * points
        boxes = self._cascade.bbreg(boxes, boxes[:, 5:])
        corners, scores = boxes[:, :4].double(), boxes[:, 4].double()
        kept = self._cascade.batched_nms_numpy(corners, scores, picture, MAX_OVERLAP, "Min")
        found = []
        for number, table in enumerate(sums):
            here = kept[picture[kept] == number]
            where, how_sure, eyes_to_mouth = (part[here].double().numpy() for part in (corners, scores, landmarks))
            found.append(Faces(where, how_sure, eyes_to_mouth, table.shape[1] - 1, table.shape[0] - 1))
        return found

    def _ask(self, net: nn.Module, pixels: np.ndarray) -> list[Tensor]:
        """Ask a net about pixels (n, height, width, 3) from 0 to 255, which it gets from -1 to 1 and channels last."""
        inputs = torch.from_numpy((pixels - 127.5) * np.float32(1 / 128)).permute(0, 3, 1, 2).to(self.device)
        return [each.cpu() for each in self._cascade.fixed_batch_process(inputs, net)]


def _apart(boxes: Tensor, group: Tensor, max_overlap: float) -> tuple[Tensor, Tensor]:
    """Of boxes of one group that overlap, keep the surest; surest first. float32 is too coarse for it."""
    kept = batched_nms(boxes[:, :4].double(), boxes[:, 4].double(), group, max_overlap)
    return boxes[kept], group[kept]


def _cut_out(sums: list[np.ndarray], boxes: Tensor, picture: Tensor, size_px: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """Keep the boxes that lie in their picture at least in part; return these parts as ``size_px`` pixels too."""
    sizes = np.array([[table.shape[1] - 1, table.shape[0] - 1] for table in sums]).reshape(-1, 2)
    corner = boxes[:, :2].long().clamp(min=1) - 1
    end = torch.minimum(boxes[:, 2:4].long(), torch.from_numpy(sizes)[picture])
    is_inside = (end > corner).all(1)
    picture, parts = picture[is_inside], torch.cat([corner, end], 1)[is_inside].numpy()
    pixels = np.empty((len(parts), size_px, size_px, 3), np.float32)
    for number in picture.unique().tolist():
        here = (picture == number).numpy()
        pixels[here] = cut_out(sums[number], parts[here], size_px)
    return boxes[is_inside], picture, pixels
