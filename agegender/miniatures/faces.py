"""People who do not exist: who they are, and how one photograph of them differs from the next.

A person's features depend on age and gender as in real faces. Children have large eyes that lie low, soft chins and no
lines; grey hair, lines and high foreheads come with the years, for some earlier than for others; jaws, brows, lips and
hair differ between the genders on average and overlap. None of it is exact: a model can learn both labels, but cannot
always be right.
"""

from dataclasses import dataclass

import numpy as np

from agegender.miniatures.canvas import Colour, mix

SKIN_TONES: tuple[Colour, ...] = (
    (250, 222, 200),
    (243, 205, 176),
    (228, 182, 146),
    (205, 154, 114),
    (168, 116, 80),
    (124, 82, 56),
    (92, 60, 44),
)
_HAIR: tuple[Colour, ...] = (
    (38, 30, 32),
    (66, 44, 36),
    (104, 68, 44),
    (150, 102, 58),
    (206, 164, 98),
    (170, 80, 44),
)
_GREY: Colour = (222, 221, 224)
_EYES: tuple[Colour, ...] = ((84, 54, 36), (60, 40, 30), (74, 112, 84), (70, 110, 150), (118, 96, 56))
_CLOTHES: tuple[Colour, ...] = (
    (82, 121, 111),
    (188, 108, 78),
    (73, 95, 140),
    (214, 165, 82),
    (132, 88, 122),
    (96, 108, 118),
    (176, 84, 92),
    (238, 232, 220),
)
_BACKGROUNDS: tuple[Colour, ...] = (
    (214, 226, 222),
    (240, 226, 204),
    (206, 216, 232),
    (236, 214, 210),
    (222, 220, 206),
    (198, 212, 200),
    (226, 216, 234),
)
_STYLES = ("wisp", "bald", "buzz", "short", "side", "curly", "bob", "long", "ponytail", "bun")
_STYLE_WEIGHTS = {  # in the order of _STYLES
    "baby": (7, 0, 0, 3, 0, 1, 0.5, 0, 0, 0),
    "girl": (0, 0, 0, 2, 1, 1.5, 3, 3.5, 2.5, 0.5),
    "boy": (0, 0, 1, 5, 3, 1.5, 1, 0.5, 0, 0),
    "woman": (0, 0, 0.2, 1.6, 0.6, 1.2, 2.6, 3, 1.2, 1.2),
    "man": (0, 0.7, 1.3, 4.5, 2.5, 0.8, 0.2, 0.4, 0.1, 0.1),
}


@dataclass(frozen=True)
class Person:
    """One drawn person. Sizes are factors around 1 or shares from 0 to 1; ``age`` is in years."""

    age: float
    gender: str
    tone: int
    skin: Colour
    hair: Colour
    hair_style: str
    brow_colour: Colour
    eyes: Colour
    lips: Colour
    face_width: float
    jaw: float
    eye_size: float
    eye_spacing: float
    brow: float
    lashes: float
    nose: float
    mouth: float
    lip_fullness: float
    wrinkles: float
    hairline: float
    beard: float
    freckles: int
    has_glasses: bool

    @property
    def childness(self) -> float:
        """From 1 at birth to 0 at 18 years, falling faster at first."""
        return max(0.0, 1 - self.age / 18) ** 1.3


@dataclass(frozen=True)
class Photo:
    """What is different in each photograph of a person: pose, light, expression, surroundings."""

    yaw: float
    roll: float
    scale: float
    centre: tuple[float, float]
    light: tuple[float, float]
    exposure: float
    warmth: float
    smile: float
    is_mouth_open: bool
    gaze: float
    clothes: Colour
    background: Colour
    pattern: int
    grain: float
    seed: int


def random_person(rng: np.random.Generator, age: float, gender: str) -> Person:
    """Return a person of the given age (years) and gender (``female`` / ``male``), everything else drawn at random."""
    grown = float(np.clip((age - 9) / 9, 0, 1))
    manliness = grown * (1 if gender == "male" else -1) * 0.5 + rng.normal(0, 0.45)
    look_age = age * np.exp(rng.normal(0, 0.1)) + rng.normal(0, 1.5) * grown  # some look older than they are
    tone = int(rng.integers(len(SKIN_TONES)))
    skin = mix(SKIN_TONES[tone], (236, 168, 150), float(rng.uniform(0, 0.12)))
    natural = _HAIR[int(rng.choice(len(_HAIR), p=_hair_chances(tone)))]
    grey = float(np.clip((look_age - rng.uniform(34, 58)) / 24, 0, 1))
    wears_lipstick = gender == "female" and age > 15 and rng.random() < 0.35
    return Person(
        age=float(age),
        gender=gender,
        tone=tone,
        skin=skin,
        hair=mix(natural, _GREY, 0.92 * grey),
        hair_style=_hair_style(rng, age, gender),
        brow_colour=mix(mix(natural, (60, 44, 38), 0.4), _GREY, 0.6 * grey),
        eyes=_EYES[int(rng.choice(len(_EYES), p=(0.1, 0.9, 0, 0, 0) if tone > 3 else (0.3, 0.2, 0.15, 0.2, 0.15)))],
        lips=mix(mix(skin, (150, 62, 62), 0.5), (178, 36, 60), 0.6 * wears_lipstick),
        face_width=float(rng.normal(0.76, 0.025)),
        jaw=float(np.clip(0.45 + 0.5 * manliness, 0, 1)),
        eye_size=float(rng.normal(1 - 0.06 * manliness, 0.06)),
        eye_spacing=float(rng.normal(1, 0.04)),
        brow=float(np.clip(1 + 0.75 * manliness + rng.normal(0, 0.12), 0.45, 1.9)),
        lashes=float(np.clip(0.5 - 0.7 * manliness + rng.normal(0, 0.2), 0, 1)),
        nose=float(rng.normal(1 + 0.1 * manliness + 0.002 * max(0, age - 30), 0.07)),
        mouth=float(rng.normal(1, 0.07)),
        lip_fullness=float(np.clip(rng.normal(1 - 0.4 * manliness - 0.006 * max(0, look_age - 35), 0.13), 0.4, 1.7)),
        wrinkles=float(np.clip((look_age - 26) / 50, 0, 1.1)),
        hairline=float(np.clip((look_age - 25) / 60 * rng.uniform(0, 1.8), 0, 1)) if gender == "male" else 0.0,
        beard=_beard(rng, look_age, gender),
        freckles=int(rng.integers(8, 18)) if tone < 3 and rng.random() < 0.15 else 0,
        has_glasses=bool(rng.random() < 0.08 + 0.3 * np.clip((age - 8) / 70, 0, 1)) and age > 4,
    )


def random_photo(rng: np.random.Generator) -> Photo:
    """Return the conditions of one photograph."""
    direction = rng.uniform(0, 2 * np.pi)
    strength = rng.uniform(0.02, 0.22)
    return Photo(
        yaw=float(np.clip(rng.normal(0, 0.28), -0.65, 0.65)),
        roll=float(rng.normal(0, 0.08)),
        scale=float(rng.uniform(0.255, 0.305)),
        centre=(float(rng.normal(0.5, 0.015)), float(rng.normal(0.51, 0.015))),
        light=(float(strength * np.cos(direction)), float(strength * np.sin(direction))),
        exposure=float(rng.uniform(0.84, 1.1)),
        warmth=float(rng.normal(0, 0.035)),
        smile=float(np.clip(rng.normal(0.45, 0.4), -0.35, 1.1)),
        is_mouth_open=bool(rng.random() < 0.3),
        gaze=float(rng.normal(0, 0.25)),
        clothes=_CLOTHES[int(rng.integers(len(_CLOTHES)))],
        background=_BACKGROUNDS[int(rng.integers(len(_BACKGROUNDS)))],
        pattern=int(rng.integers(4)),
        grain=float(rng.uniform(1.5, 5)),
        seed=int(rng.integers(2**31)),
    )


def _hair_chances(tone: int) -> np.ndarray:
    chances = np.array((3, 3, 2, 2, 2, 1) if tone < 3 else (6, 3, 1, 0.2, 0, 0) if tone < 5 else (9, 1, 0, 0, 0, 0))
    return chances / chances.sum()


def _hair_style(rng: np.random.Generator, age: float, gender: str) -> str:
    if age < 2:
        kind = "baby"
    elif age < 14:
        kind = "girl" if gender == "female" else "boy"
    else:
        kind = "woman" if gender == "female" else "man"
    weights = np.array(_STYLE_WEIGHTS[kind], dtype=np.float64)
    if kind == "man":
        weights[1] *= 1 + max(0.0, age - 35) / 10
    if kind == "woman" and age > 55:  # shorter hair in later years
        weights *= (1, 1, 1, 2.5, 1, 2, 1.3, 0.3, 0.4, 1.3)
    return _STYLES[int(rng.choice(len(_STYLES), p=weights / weights.sum()))]


def _beard(rng: np.random.Generator, look_age: float, gender: str) -> float:
    """Return 0 for none, up to 0.4 for stubble, above for a beard."""
    wanted, amount = rng.random(), rng.uniform(0.15, 1)
    return float(amount) if gender == "male" and look_age > 19 and wanted < 0.38 else 0.0
