"""Speed of prediction about faces that are already cut out, against torch as it comes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from agegender.data.images import IMAGENET_MEAN, IMAGENET_STD
from agegender.pipelines import face
from agegender.training.config import precision_here
from agegender.use.model import Model
from agegender.use.saved import SavedModel
from benchmarks.harness import Comparison, compare

BATCH, SIDE_PX = 64, face.RECIPE.side_px


def measure(folder: Path, num_subjects: int, rounds: int) -> list[Comparison]:
    """Compare 64 faces from pixels to a table with 64 from pixels to probabilities; no weight is trained for it."""
    faces = list(np.random.default_rng(0).integers(0, 256, (BATCH, 128, 128, 3), dtype=np.uint8))
    reads = {"decoded_px": 128, "crop_px": None, "resize": "filtered"}
    reads["resized"] = {"side_px": SIDE_PX, "share": face.RECIPE.test_share}
    net = face.build_model().eval()
    ours_net = face.build_model().eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    saved = SavedModel(ours_net, face.prepare(), {"paper": "face", "input": reads})
    ours = Model(saved, torch.device("cpu"), precision_here("bf16-mixed"))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))

    @torch.no_grad()
    def plain() -> object:
        small = [np.asarray(Image.fromarray(each).resize((SIDE_PX, SIDE_PX))) for each in faces]
        images = torch.stack([torch.from_numpy(each).permute(2, 0, 1).float() / 255 for each in small])
        return {task: logits.softmax(1) for task, logits in net((images - mean) / std).items()}

    result = compare("prediction, 64 faces (bf16 NHWC vs fp32 NCHW)", lambda: ours.predict(faces), plain, 3, 2 * rounds)
    print(f"{'':<58} {BATCH / result.ours_s:.0f} faces a second")
    return [result]
