"""A miniature of VoxCeleb1: synthetic celebrities, clips as ``<id>/<video>/<clip>.wav``, the table and a trial list."""

from pathlib import Path

import numpy as np

from agegender.files import write_text
from agegender.miniatures.recording import write_clip
from agegender.miniatures.voice_casting import cast_voices
from agegender.miniatures.voices import speak
from agegender.miniatures.writing import write_once, write_table

_HEADER = ("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set")
_TEST_SHARE = 0.25
_TRIALS_PER_CLIP = 4


def write_voxceleb(
    folder: Path, num_subjects: int = 24, seed: int = 0, num_videos: int = 3, clips_per_video: int = 2
) -> Path:
    """Write ``vox1_meta.csv``, ``wav/<id>/<video>/<clip>.wav`` (16 kHz, 2 to 3.5 s) and ``veri_test.txt``.

    The last quarter of the subjects (two at least) are the set ``test``, on which the trials are made: half of them of
    the same subject, from another video. Returns ``folder``. Raises ``ValueError`` for fewer than 4 subjects and fewer
    than 2 videos.
    """
    if num_subjects < 4 or num_videos < 2:
        raise ValueError(f"expected at least 4 subjects and 2 videos, got {num_subjects} and {num_videos}")

    def write(into: Path) -> None:
        num_test = max(2, round(_TEST_SHARE * num_subjects))
        meta, tested = [], []
        for number, voice in enumerate(cast_voices(num_subjects, seed, (20.0, 75.0), 561 / 1251)):
            name, is_test = f"id{10_001 + number}", number >= num_subjects - num_test
            meta.append((name, f"Nobody_{number}", voice.gender[0], "None", "test" if is_test else "dev"))
            for video in range(num_videos):
                rng = np.random.default_rng([seed, 14, number, video])
                for clip in range(clips_per_video):
                    path = f"{name}/v{number:04d}{video:03d}drawn/{clip + 1:05d}.wav"
                    take = 1000 * number + 10 * video + clip
                    samples = speak(voice, float(rng.uniform(2.0, 3.5)), seed=take)
                    write_clip(into / "wav" / path, samples, 16_000)
                    tested += [(name, video, path)] if is_test else []
        write_table(into / "vox1_meta.csv", _HEADER, meta, "\t")
        write_text(into / "veri_test.txt", _trials(tested, seed))

    parameters = {
        "layout": "voxceleb", "num_subjects": num_subjects, "seed": seed, "num_videos": num_videos,
        "clips_per_video": clips_per_video,
    }  # fmt: skip
    return write_once(Path(folder), parameters, write)


def _trials(clips: list[tuple[str, int, str]], seed: int) -> str:
    rng = np.random.default_rng([seed, 15])
    lines = []
    for name, video, path in clips:
        same = [other for who, where, other in clips if who == name and where != video]
        others = [other for who, _, other in clips if who != name]
        for place in range(_TRIALS_PER_CLIP):
            pool = same if place % 2 == 0 else others
            lines.append(f"{1 - place % 2} {path} {pool[int(rng.integers(len(pool)))]}\n")
    return "".join(lines)
