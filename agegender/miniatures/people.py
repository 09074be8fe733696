"""People who do not exist: who they are, and how one photograph of them differs from the next.

A person's features depend on age and gender as in real faces: on average, with overlap.
"""

from dataclasses import dataclass

import numpy as np

from agegender.miniatures.canvas import Colour, mix


def _palette(colours: str) -> tuple[Colour, ...]:
    return tuple((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in colours.split())


SKIN_TONES = _palette("fadec8 f3cdb0 e4b692 cd9a72 a87450 7c5238 5c3c2c")
_HAIR = _palette("261e20 422c24 68442c 96663a cea462 aa502c")
_EYES = _palette("543624 3c281e 4a7054 466e96 766038")
_CLOTHES = _palette("52796f bc6c4e 495f8c d6a552 84587a 606c76 b0545c eee8dc")
_BACKGROUNDS = _palette("d6e2de f0e2cc ced8e8 ecd6d2 dedcce c6d4c8 e2d8ea")
_GREY: Colour = (222, 221, 224)
_STYLES = ("bald", "buzz", "short", "curly", "bob", "long", "ponytail")
_STYLE_WEIGHTS = {  # in the order of _STYLES
    "baby": (1, 7, 3, 1, 0.5, 0, 0),
    "girl": (0, 0, 3, 1.5, 3, 4, 2.5),
    "boy": (0, 1, 8, 1.5, 1, 0.5, 0),
    "woman": (0, 0.2, 2.2, 1.2, 2.6, 3.6, 1.8),
    "man": (0.7, 1.3, 7, 0.8, 0.2, 0.4, 0.1),
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
    beard: float  # 0 for none, up to 0.4 for stubble
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
    clothes: Colour
    background: Colour
    grain: float
    seed: int


def random_person(rng: np.random.Generator, age: float, gender: str) -> Person:
    """Return a person of the given age (years) and gender (``female`` / ``male``), everything else drawn at random."""
    grown = float(np.clip((age - 9) / 9, 0, 1))
    manliness = grown * (1 if gender == "male" else -1) * 0.5 + rng.normal(0, 0.45)
    look_age = age * np.exp(rng.normal(0, 0.1)) + rng.normal(0, 1.5) * grown  # some look older than they are
    tone = int(rng.integers(len(SKIN_TONES)))
    skin = mix(SKIN_TONES[tone], (236, 168, 150), float(rng.uniform(0, 0.12)))
    hair_chances = (3, 3, 2, 2, 2, 1) if tone < 3 else (6, 3, 1, 0.2, 0, 0) if tone < 5 else (9, 1, 0, 0, 0, 0)
    natural = _HAIR[_choice(rng, hair_chances)]
    grey = float(np.clip((look_age - rng.uniform(34, 58)) / 24, 0, 1))
    wears_lipstick = gender == "female" and age > 15 and rng.random() < 0.35
    is_bearded, beard = rng.random() < 0.38 and gender == "male" and look_age > 19, float(rng.uniform(0.15, 1))
    return Person(
        age=float(age),
        gender=gender,
        tone=tone,
        skin=skin,
        hair=mix(natural, _GREY, 0.92 * grey),
        hair_style=_hair_style(rng, age, gender),
        brow_colour=mix(mix(natural, (60, 44, 38), 0.4), _GREY, 0.6 * grey),
        eyes=_EYES[_choice(rng, (1, 9, 0, 0, 0) if tone > 3 else (6, 4, 3, 4, 3))],
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
        beard=beard if is_bearded else 0.0,
        has_glasses=bool(rng.random() < 0.08 + 0.3 * np.clip((age - 8) / 70, 0, 1)) and age > 4,
    )


def random_photo(rng: np.random.Generator) -> Photo:
    """Return the conditions of one photograph."""
    direction, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.22)
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
        clothes=_CLOTHES[int(rng.integers(len(_CLOTHES)))],
        background=_BACKGROUNDS[int(rng.integers(len(_BACKGROUNDS)))],
        grain=float(rng.uniform(1.5, 5)),
        seed=int(rng.integers(2**31)),
    )


def _choice(rng: np.random.Generator, weights: tuple[float, ...]) -> int:
    return int(rng.choice(len(weights), p=np.array(weights) / sum(weights)))


def _hair_style(rng: np.random.Generator, age: float, gender: str) -> str:
    child, grown = ("girl", "woman") if gender == "female" else ("boy", "man")
    kind = "baby" if age < 2 else child if age < 14 else grown
    weights = np.array(_STYLE_WEIGHTS[kind], dtype=np.float64)
    if kind == "man":
        weights[0] *= 1 + max(0.0, age - 35) / 10
    if kind == "woman" and age > 55:  # shorter hair in later years
        weights *= (1, 1, 2.2, 2, 1.3, 0.3, 0.4)
    return _STYLES[_choice(rng, tuple(weights))]
