"""Finding and aligning faces, many pictures at a time, against the detector's own call for one after another."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from agegender.data.face_alignment import align_face
from agegender.data.mtcnn import FaceDetector
from agegender.miniatures.portrait import draw_face
from agegender.miniatures.subjects import random_subjects, take_photos
from benchmarks.harness import Comparison, compare

NUM_PICTURES = 32
FACE_PX = 224


def photographs(num_subjects: int) -> list[np.ndarray]:
    """Drawn people before a plain wall, three shapes of pictures, as album photographs have several."""
    faces = take_photos(random_subjects(max(num_subjects, 5), seed=0), seed=0)[:NUM_PICTURES]
    pictures = []
    for number, face in enumerate(faces):
        photo = Image.new("RGB", ((300, 300), (360, 280), (280, 400))[number % 3], (196, 205, 200))
        photo.paste(draw_face(face.subject.person, face.photo, FACE_PX), (30, 30))
        pictures.append(np.asarray(photo))
    return pictures


def _landmarks(plain: torch.nn.Module, image: Image.Image) -> np.ndarray:
    landmarks = plain.detect(image, landmarks=True)[2]
    return np.zeros((0, 5, 2)) if landmarks is None else landmarks.astype(float)


def measure(folder: Path, num_subjects: int, rounds: int) -> list[Comparison]:
    """Compare on one core; print the rate of each arm. ``folder`` is not needed: the pictures are in memory."""
    from facenet_pytorch import MTCNN  # the plain arm: the library as its page shows it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pictures = photographs(num_subjects)
    detector = FaceDetector()
    plain = MTCNN(keep_all=True, select_largest=False, thresholds=[0.6, 0.7, 0.8]).eval()
    images = [Image.fromarray(picture) for picture in pictures]

    def ours() -> None:
        for picture, faces in zip(pictures, detector.find(pictures), strict=True):
            for landmarks in faces.landmarks:
                align_face(picture, landmarks, 112, "tight")

    def one_by_one() -> None:
        for picture, image in zip(pictures, images, strict=True):
            for landmarks in _landmarks(plain, image):
                align_face(picture, landmarks, 112, "tight")

    try:
        result = compare("faces found and aligned, together vs one by one", ours, one_by_one, 1.5, rounds)
    finally:
        torch.set_num_threads(threads)
    rates = (len(pictures) / seconds for seconds in (result.ours_s, result.plain_s))
    print("  pictures per second and core: ours {:.0f}, one by one {:.0f}".format(*rates), flush=True)
    return [result]
