"""Synthetic voices: what is heard of age, gender and person in the samples themselves."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import detrend, sosfreqz

from agegender.miniatures.voices import (
    REFERENCE_CM,
    TYPICAL,
    VOWELS_HZ,
    formants_hz,
    glottal_pulses,
    random_voice,
    resonator,
    speak,
    typical,
)

RATE_HZ = 16_000
_WINDOW = np.hanning(800)


def voice_of(age, gender, number=0):
    return random_voice(np.random.default_rng([7, number]), age, gender)


def pitch_hz(samples):
    """The median pitch of the loud frames, each by the first high peak of its autocorrelation."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, len(_WINDOW))[::400]
    frames = frames[np.std(frames, axis=1) > 0.5 * np.std(samples)] * _WINDOW
    powers = np.abs(np.fft.rfft(np.concatenate([frames, [_WINDOW]]), 2048)) ** 2
    correlation = np.fft.irfft(powers)[:, :400]
    correlation = correlation[:-1] / correlation[:-1, :1] / (correlation[-1] / correlation[-1, 0])
    found = []
    for row in correlation[:, RATE_HZ // 500 : RATE_HZ // 65]:
        place = np.flatnonzero(row > 0.9 * row.max())[0]
        while place + 1 < len(row) and row[place + 1] > row[place]:
            place += 1
        found.append(RATE_HZ / (RATE_HZ // 500 + place))
    return float(np.median(found))


def spectrum(samples, low_hz=300, num_bands=120):
    """The mean spectrum in dB, smoothed, on a logarithmic axis up to 20 times ``low_hz``."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, len(_WINDOW))[::200] * _WINDOW
    power = np.mean(np.abs(np.fft.rfft(frames, 2048)) ** 2, axis=0)
    power = np.convolve(power, np.hanning(15), "same")
    axis = np.geomspace(low_hz, 20 * low_hz, num_bands)
    return 10 * np.log10(np.interp(axis, np.fft.rfftfreq(2048, 1 / RATE_HZ), power))


def stretch(samples, others):
    """By which factor the formants of the second clip are higher: the best shift along the logarithmic axis."""
    first, second = spectrum(samples, 370, 240), spectrum(others, 370, 240)
    shifts = range(60)
    fits = [np.corrcoef(detrend(first[: 240 - shift]), detrend(second[shift:]))[0, 1] for shift in shifts]
    return 20 ** (int(np.argmax(fits)) / 239)


def whisper(voice, sentence=3):
    """A clip without a pitch: only the breath sounds, so that the spectrum shows the formants alone."""
    return speak(replace(voice, breathiness=1e4), 4.0, RATE_HZ, seed=1, sentence=sentence)


def test_the_same_arguments_give_the_same_samples_and_any_other_gives_others():
    voice = voice_of(30, "female")
    clip = speak(voice, 1.0, seed=4)
    assert clip.dtype == np.float32
    assert np.array_equal(clip, speak(voice_of(30, "female"), 1.0, seed=4))
    others = [
        speak(voice, 1.0, seed=5),
        speak(voice_of(30, "female", 1), 1.0, seed=4),
        speak(voice, 1.0, seed=4, sentence=1),
    ]
    assert all(not np.array_equal(clip, other) for other in others)


@pytest.mark.parametrize(("seconds", "rate_hz"), [(0.05, 16_000), (0.4, 8_000), (1.3, 44_100), (2.0, 48_000)])
def test_a_clip_is_as_long_as_asked_and_lies_within_full_scale(seconds, rate_hz):
    clip = speak(voice_of(8, "male"), seconds, rate_hz, seed=2)
    assert clip.shape == (round(seconds * rate_hz),)
    assert np.isfinite(clip).all()
    assert 0.2 < np.abs(clip).max() <= 1


@pytest.mark.parametrize(("age", "gender"), [(6, "male"), (10, "female"), (25, "male"), (25, "female"), (80, "male")])
def test_the_pitch_of_the_samples_is_that_of_the_voice(age, gender):
    voices = [voice_of(age, gender, number) for number in range(4)]
    ratios = [pitch_hz(speak(voice, 3.0, seed=number)) / voice.pitch_hz for number, voice in enumerate(voices)]
    assert abs(np.log(np.median(ratios))) < 0.05
    assert np.abs(np.log(ratios)).max() < 0.2


def test_pitch_falls_by_an_octave_in_boys_a_little_in_girls_and_moves_apart_in_old_age():
    assert typical("pitch_hz", 18, "male") == pytest.approx(typical("pitch_hz", 10, "male") / 2, rel=0.05)
    assert 0.85 < typical("pitch_hz", 18, "female") / typical("pitch_hz", 10, "female") < 0.95
    assert typical("pitch_hz", 85, "male") > 1.25 * typical("pitch_hz", 45, "male")
    assert typical("pitch_hz", 85, "female") < 0.95 * typical("pitch_hz", 45, "female")


def test_the_stated_changes_are_heard_in_the_samples():
    def heard(age, gender):
        clips = [speak(voice_of(age, gender, number), 2.0, seed=number) for number in range(6)]
        return float(np.median([pitch_hz(clip) for clip in clips]))

    child, man, woman, old_man = heard(6, "male"), heard(40, "male"), heard(40, "female"), heard(88, "male")
    assert child > 1.15 * woman > 1.5 * man
    assert old_man > 1.1 * man


def test_people_differ_around_the_mean_and_genders_overlap():
    pitch = {gender: [voice_of(40, gender, number).pitch_hz for number in range(200)] for gender in ("male", "female")}
    for gender, values in pitch.items():
        assert np.exp(np.mean(np.log(values))) == pytest.approx(typical("pitch_hz", 40, gender), rel=0.03)
        assert 0.08 < np.std(np.log(values)) < 0.13
    children = [voice_of(7, gender, number).pitch_hz for gender in ("male", "female") for number in range(100)]
    assert abs(np.mean(children[:100]) - np.mean(children[100:])) < 0.5 * np.std(children)


def test_formants_stand_in_inverse_proportion_to_the_length_of_the_tract():
    assert formants_hz(0, REFERENCE_CM, (), RATE_HZ)[:3].tolist() == list(VOWELS_HZ[0])
    long, short = (formants_hz(2, length, (1.05, 0.97), 48_000) for length in (16.0, 12.0))
    np.testing.assert_allclose(short, long[: len(short)] * 16 / 12)
    voice = voice_of(30, "male")
    shorter = replace(voice, tract_cm=voice.tract_cm / 1.25)
    assert stretch(whisper(voice), whisper(shorter)) == pytest.approx(1.25, rel=0.04)


def test_formants_are_higher_in_women_than_in_men_and_highest_in_children():
    man, woman, child = (voice_of(age, gender) for age, gender in ((30, "male"), (30, "female"), (7, "female")))
    assert stretch(whisper(man), whisper(woman)) == pytest.approx(man.tract_cm / woman.tract_cm, rel=0.06)
    assert stretch(whisper(woman), whisper(child)) == pytest.approx(woman.tract_cm / child.tract_cm, rel=0.06)
    assert man.tract_cm > woman.tract_cm > child.tract_cm


def test_a_resonator_is_strongest_at_its_formants():
    formants = np.array([500.0, 1500.0, 2500.0])
    hz, response = sosfreqz(resonator(formants, RATE_HZ), worN=4000, fs=RATE_HZ)
    size = np.abs(response)
    peaks = hz[1:-1][(size[1:-1] > size[:-2]) & (size[1:-1] > size[2:])]
    np.testing.assert_allclose(peaks, formants, atol=25)


def test_jitter_is_the_spread_of_the_cycles_and_none_is_left_without_it():
    pitch = np.full(4 * RATE_HZ, 100.0)
    spreads = []
    for jitter in (0.0, 0.03):
        pulses = glottal_pulses(pitch, RATE_HZ, jitter, 0.0, np.random.default_rng(0))
        falls = np.flatnonzero((pulses[:-1] < -0.5 * np.abs(pulses).max()) & (pulses[1:] == 0))
        lengths = np.diff(falls) / RATE_HZ * 100
        assert np.mean(lengths) == pytest.approx(1, abs=0.01)
        spreads.append(np.std(lengths))
    assert spreads[0] < 0.004
    # from closing to closing: the open 60 % of one cycle and the closed 40 % of another
    assert spreads[1] == pytest.approx(0.03 * np.hypot(0.6, 0.4), rel=0.1)


def test_the_old_are_rougher_breathier_and_slower_than_the_young():
    for gender in ("male", "female"):
        for feature in ("jitter", "shimmer", "breathiness"):
            assert typical(feature, 85, gender) > 1.3 * typical(feature, 30, gender)
        assert typical("syllables_per_s", 85, gender) < 0.85 * typical("syllables_per_s", 30, gender)
        assert typical("syllables_per_s", 5, gender) < typical("syllables_per_s", 12, gender)
    assert typical("breathiness", 30, "female") > typical("breathiness", 30, "male")


def test_faster_people_make_more_syllables():
    def loud_starts(rate):
        clip = speak(replace(voice_of(30, "male"), syllables_per_s=rate), 6.0, seed=3)
        level = np.convolve(np.abs(clip), np.hanning(800) / 400, "same")
        is_loud = level > 0.6 * np.median(level[level > 0.2 * level.max()])
        return int(np.sum(is_loud[1:] & ~is_loud[:-1]))

    assert loud_starts(5.5) > 1.3 * loud_starts(3.0)


def test_clips_of_one_person_are_closer_to_each_other_than_to_those_of_others():
    voices = [voice_of(30, gender, number) for number, gender in enumerate(("male", "female") * 4)]
    clips = [speak(voice, 5.0, seed=10 * number + take) for number, voice in enumerate(voices) for take in range(3)]
    shapes = np.array([spectrum(clip)[70:] for clip in clips])  # above 1700 Hz vowels differ less than people do
    shapes = np.fft.rfft(shapes)[:, 1:8]
    features = np.column_stack([[np.log(pitch_hz(clip)) for clip in clips], shapes.real, shapes.imag])
    distances = np.linalg.norm((features[:, None] - features) / features.std(axis=0), axis=-1)
    np.fill_diagonal(distances, np.nan)
    who = np.repeat(np.arange(len(voices)), 3)
    is_same = who[:, None] == who
    assert np.nanmean(distances[is_same]) < 0.75 * np.nanmean(distances[~is_same])
    assert np.mean(who[np.nanargmin(distances, axis=1)] == who) > 0.5  # by chance 0.09


def test_every_feature_is_stated_for_the_same_ages_of_both_genders():
    for feature, table in TYPICAL.items():
        ages, men, women = table
        assert len(ages) == len(men) == len(women), feature
        assert list(ages) == sorted(ages)


@pytest.mark.parametrize(
    ("age", "gender", "message"),
    [(-1, "male", "impossible age"), (float("nan"), "male", "impossible age"), (30, "other", "unknown gender 'other'")],
)
def test_nobody_has_such_an_age_or_gender(age, gender, message):
    with pytest.raises(ValueError, match=message):
        voice_of(age, gender)


@pytest.mark.parametrize(("seconds", "rate_hz"), [(0.04, 16_000), (-1, 16_000), (float("nan"), 16_000), (1.0, 4_000)])
def test_too_short_a_clip_and_too_low_a_rate_are_refused(seconds, rate_hz):
    with pytest.raises(ValueError, match=r"expected at least 0.05 s at 8000 Hz"):
        speak(voice_of(30, "male"), seconds, rate_hz)
