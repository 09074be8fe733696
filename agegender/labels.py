"""The closed sets of labels: genders, age-group schemes, and the way from a number of years to a group.

Everything that enters the project as text is parsed here or refused here. A label is what a corpus recorded;
its data card says whether it was self-reported or perceived by an annotator.
"""

import math
from dataclasses import dataclass

GENDERS: tuple[str, str] = ("male", "female")
"""Index 0 is male and index 1 is female, as in the published Adience lists."""

_GENDER_SPELLINGS = {
    "m": "male",
    "male": "male",
    "male_masculine": "male",
    "f": "female",
    "female": "female",
    "female_feminine": "female",
}


def parse_gender(text: str) -> str:
    """Return ``"male"`` or ``"female"`` for a corpus's spelling of it; raise ``ValueError`` for anything else.

    >>> parse_gender(" F ")
    'female'
    """
    gender = _GENDER_SPELLINGS.get(text.strip().lower())
    if gender is None:
        raise ValueError(f"unknown gender {text!r}: expected one of {sorted(_GENDER_SPELLINGS)}")
    return gender


def check_age(years: float) -> float:
    """Return ``years`` if it can be the age of a person (0 to 120), raise ``ValueError`` otherwise (also for NaN)."""
    if not 0 <= years <= 120:  # written this way round so that NaN is refused
        raise ValueError(f"impossible age {years!r}: expected 0 to 120 years")
    return float(years)


@dataclass(frozen=True)
class AgeScheme:
    """An ordered list of age groups.

    ``labels[i]`` names group ``i``; it holds the ages of ``lower[i]`` up to, not including, ``upper[i]`` in years.
    Groups may leave gaps (Adience has none between 13 and 15, for example): an age in a gap has no group.
    """

    name: str
    labels: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("labels", "lower", "upper"):  # lists, where a scheme was read from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not len(self.labels) == len(self.lower) == len(self.upper):
            raise ValueError(f"{self.name}: labels, lower and upper must have one entry for each group")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def midpoints(self) -> tuple[float, ...]:
        """The age in years that stands for each group when a group has to be read as a number."""
        return tuple((low + high) / 2 for low, high in zip(self.lower, self.upper, strict=True))

    def index(self, label: str) -> int:
        """Return the group of a label; raise ``ValueError`` when the scheme does not have it.

        >>> ADIENCE_8.index("(8, 12)")
        2
        """
        if label not in self.labels:
            raise ValueError(f"unknown age group {label!r}: {self.name} has {', '.join(self.labels)}")
        return self.labels.index(label)

    def group_of(self, years: float) -> int | None:
        """Return the group that holds an age in years, or ``None`` for an age in a gap or NaN.

        >>> FAIRFACE_9.group_of(9.5), ADIENCE_8.group_of(13.5)
        (1, None)
        """
        if math.isnan(years):
            return None
        check_age(years)
        for group, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            if low <= years < high:
                return group
        return None


ADIENCE_8 = AgeScheme(
    "adience-8",
    ("(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)", "(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)"),
    (0, 4, 8, 15, 25, 38, 48, 60),
    (3, 7, 13, 21, 33, 44, 54, 101),
)
"""Eidinger, Enbar and Hassner (2014): eight groups with gaps between them."""

COMMON_VOICE_6 = AgeScheme(
    "common-voice-6",
    ("teens", "twenties", "thirties", "fourties", "fifties", "sixties"),
    (10, 20, 30, 40, 50, 60),
    (20, 30, 40, 50, 60, 70),
)
"""The six groups of the Common Voice pipeline; ``fourties`` is the corpus's own spelling."""

FAIRFACE_9 = AgeScheme(
    "fairface-9",
    ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"),
    (0, 3, 10, 20, 30, 40, 50, 60, 70),
    (3, 10, 20, 30, 40, 50, 60, 70, 101),
)
"""Karkkainen and Joo (2021): nine groups without gaps."""

SPEECHOCEAN_6 = AgeScheme(
    "speechocean-6",
    ("0-7", "8-10", "11-14", "15-20", "21-22", "23+"),
    (0, 8, 11, 15, 21, 23),
    (8, 11, 15, 21, 23, 44),
)
"""Six groups of nearly equal size for speechocean762, half of whose subjects are children; nobody in it is above 43."""

SCHEMES = {scheme.name: scheme for scheme in (ADIENCE_8, COMMON_VOICE_6, FAIRFACE_9, SPEECHOCEAN_6)}


def scheme_named(name: str) -> AgeScheme:
    """Return one of the schemes above; raise ``ValueError`` for a name that is not one of them."""
    if name not in SCHEMES:
        raise ValueError(f"unknown age-group scheme {name!r}: expected one of {sorted(SCHEMES)}")
    return SCHEMES[name]
