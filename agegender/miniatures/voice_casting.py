"""Who speaks in a miniature: synthetic people whose ages and genders are spread evenly over what a corpus has."""

import numpy as np

from agegender.miniatures.voices import Voice, random_voice


def cast_voices(
    num_subjects: int, seed: int, ages: tuple[float, float] = (18.0, 75.0), female_share: float = 0.5
) -> list[Voice]:
    """Return ``num_subjects`` people between the two ages in years; the same arguments, the same people.

    Ages and genders are spread as evenly as their number allows, independently of each other. Raises ``ValueError``
    for fewer than 2 subjects.
    """
    if num_subjects < 2:
        raise ValueError(f"a miniature needs at least 2 subjects, got {num_subjects}")
    rng = np.random.default_rng([seed, 10])
    age_ranks, gender_ranks = ((rng.permutation(num_subjects) + rng.random(num_subjects)) / num_subjects for _ in "ab")
    return [
        random_voice(
            np.random.default_rng([seed, 11, number]),
            ages[0] + float(age_ranks[number]) * (ages[1] - ages[0]),
            "female" if gender_ranks[number] < female_share else "male",
        )
        for number in range(num_subjects)
    ]
