import numpy as np
import pytest
from numpy.testing import assert_allclose

from agegender.data.audio_augmentation import (
    BABBLE_SNR_DB,
    MUSIC_SNR_DB,
    NOISE_SNR_DB,
    NUM_BABBLING,
    AddedSound,
    AudioAugmentation,
    ChannelAugmentation,
    Reverberation,
    published_augmentation,
)

NUM_SAMPLES = 4000


def loud(number, length=NUM_SAMPLES, peak=8000):
    return np.random.default_rng(number).integers(-peak, peak, length).astype(np.int16)


@pytest.fixture
def voice():
    rng = np.random.default_rng(99)
    return (0.1 * rng.standard_normal(NUM_SAMPLES)).astype(np.float32)


def power_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


def ratios(effect, voice, num_draws=300):
    """The ratio of the voice to what was added, in decibels, for many draws."""
    added = [effect.apply(voice, np.random.default_rng(seed)) - voice for seed in range(num_draws)]
    return np.array([power_db(voice) - power_db(sound) for sound in added])


def test_one_sound_is_added_as_the_published_formula_says(cache_of, voice):
    """``sqrt(10 ** ((clean_dB - noise_dB - snr) / 10))``, with levels in 16-bit units and 1e-4 added to the power."""
    sound = loud(0)
    snr = 7.25
    clean_db = 10 * np.log10(np.mean((voice * 32768.0) ** 2) + 1e-4)
    noise_db = 10 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-4)
    expected = voice * 32768.0 + np.sqrt(10 ** ((clean_db - noise_db - snr) / 10)) * sound
    effect = AddedSound(cache_of([sound]), (snr, snr))
    mixed = effect.apply(voice, np.random.default_rng(0))
    assert mixed.dtype == np.float32
    assert_allclose(mixed * 32768.0, expected, rtol=1e-5, atol=0.01)


@pytest.mark.parametrize("snr_db", [MUSIC_SNR_DB, NOISE_SNR_DB])
def test_the_ratio_spreads_evenly_over_its_range(cache_of, voice, snr_db):
    found = ratios(AddedSound(cache_of([loud(0), loud(1, peak=100)]), snr_db), voice, 400)
    low, high = snr_db
    assert low <= found.min() + 1e-3
    assert found.max() - 1e-3 <= high
    assert np.abs(np.histogram(found, 4, snr_db)[0] - 100).max() < 5 * np.sqrt(100)


def test_the_published_ranges():
    assert (MUSIC_SNR_DB, BABBLE_SNR_DB, NOISE_SNR_DB, NUM_BABBLING) == ((5, 10), (10, 15), (0, 10), (3, 7))


def test_babble_is_three_to_seven_different_voices_each_at_its_own_ratio(cache_of):
    """Each voice is a click at a place of its own, so that they can be told apart in the mixture."""
    clicks = np.zeros((9, NUM_SAMPLES), np.int16)
    clicks[np.arange(9), 100 + np.arange(9)] = 32767
    voice = np.full(NUM_SAMPLES, 0.1, np.float32)
    effect = AddedSound(cache_of(list(clicks)), BABBLE_SNR_DB, NUM_BABBLING)
    counts = []
    for seed in range(200):
        added = effect.apply(voice, np.random.default_rng(seed)) - voice
        heard = np.flatnonzero(np.abs(added) > 1e-4)
        assert set(heard) <= set(range(100, 109))
        ratio = -20 - 10 * np.log10(np.square(added[heard].astype(np.float64)) / NUM_SAMPLES)
        assert ratio.min() > BABBLE_SNR_DB[0] - 0.01
        assert ratio.max() < BABBLE_SNR_DB[1] + 0.01
        assert len({round(value, 2) for value in ratio.tolist()}) > 1
        counts.append(len(heard))
    assert sorted(set(counts)) == [3, 4, 5, 6, 7]


def test_fewer_recordings_than_voices_are_all_taken(cache_of, voice):
    effect = AddedSound(cache_of([loud(0)]), BABBLE_SNR_DB, NUM_BABBLING)
    assert np.isfinite(effect.apply(voice, np.random.default_rng(0))).all()
    assert ratios(effect, voice, 20).min() > BABBLE_SNR_DB[0] - 1e-3


def test_a_long_sound_is_heard_from_a_random_place_and_a_short_one_again_and_again(cache_of, voice):
    ramp = np.arange(1, 20_001).astype(np.int16)
    effect = AddedSound(cache_of([ramp]), (0, 0))
    starts = []
    for seed in range(50):
        added = effect.apply(voice, np.random.default_rng(seed)) - voice
        step = (added[-1] - added[0]) / (NUM_SAMPLES - 1)
        starts.append(round(float(added[0] / step)) - 1)
    assert min(starts) >= 0
    assert max(starts) <= 20_000 - NUM_SAMPLES
    assert np.ptp(starts) > 10_000
    short = AddedSound(cache_of([loud(0, 700)]), (0, 0))
    added = short.apply(voice, np.random.default_rng(0)) - voice
    assert_allclose(added[700:], added[:-700], atol=1e-6)


@pytest.mark.parametrize("silent", ["voice", "sound", "both"])
def test_silence_gives_numbers(cache_of, voice, silent):
    """The published floor of the power: neither the level of nothing nor the gain that it asks for is infinite."""
    clip = np.zeros_like(voice) if silent != "sound" else voice
    sound = np.zeros(NUM_SAMPLES, np.int16) if silent != "voice" else loud(0)
    mixed = AddedSound(cache_of([sound]), (0, 0)).apply(clip, np.random.default_rng(0))
    assert np.isfinite(mixed).all()
    assert np.abs(mixed).max() < 1
    if silent == "voice":  # the sound is as loud as the floor
        assert np.mean((mixed * 32768.0) ** 2) == pytest.approx(1e-4, rel=1e-3)


def test_a_room_is_a_convolution_with_its_response_of_energy_one(cache_of, voice):
    response = loud(0, 900)
    norm = np.sqrt(np.sum(response.astype(np.float64) ** 2))
    expected = np.convolve(voice.astype(np.float64), response / norm)[:NUM_SAMPLES]
    heard = Reverberation(cache_of([response])).apply(voice, np.random.default_rng(0))
    assert heard.dtype == np.float32
    assert heard.shape == voice.shape
    assert_allclose(heard, expected, rtol=0, atol=1e-6)


def test_the_strength_of_a_response_does_not_matter_and_an_echo_of_none_changes_nothing(cache_of, voice):
    for strength in (500, 30_000):
        click = np.zeros(300, np.int16)
        click[0] = strength
        heard = Reverberation(cache_of([click])).apply(voice, np.random.default_rng(0))
        assert_allclose(heard, voice, rtol=0, atol=1e-6)


def test_a_response_longer_than_the_clip_is_no_difficulty(cache_of, voice):
    heard = Reverberation(cache_of([loud(0, 3 * NUM_SAMPLES)])).apply(voice, np.random.default_rng(0))
    assert heard.shape == voice.shape


def test_a_fifth_of_the_clips_stays_as_it_is_and_each_effect_has_a_fifth(cache_of, voice):
    rooms, click = np.zeros(50, np.int16), np.zeros(NUM_SAMPLES, np.int16)
    rooms[10], click[0] = 9000, 9000
    sounds = [cache_of([rooms]), cache_of([click]), cache_of([np.roll(click, 1)] * 3), cache_of([np.roll(click, 2)])]
    around = published_augmentation(*sounds)
    counts = dict.fromkeys(("none", "room", "music", "babble", "noise"), 0)
    for seed in range(500):
        heard = around.apply(voice, np.random.default_rng(seed))
        changed = np.flatnonzero(heard != voice)
        if len(changed) > 1:
            assert_allclose(heard[10:], voice[:-10], atol=1e-6)
            counts["room"] += 1
        else:
            counts["none" if len(changed) == 0 else ("music", "babble", "noise")[changed[0]]] += 1
    assert np.abs(np.array(list(counts.values())) - 100).max() < 5 * np.sqrt(100 * 0.8)


def test_the_clip_that_comes_in_is_left_alone(cache_of, voice):
    before = voice.copy()
    effects = (AddedSound(cache_of([loud(0)]), (0, 0)), Reverberation(cache_of([loud(1, 100)])))
    for seed in range(10):
        AudioAugmentation(effects).apply(voice, np.random.default_rng(seed))
    assert np.array_equal(voice, before)


def test_the_text_of_an_augmentation_tells_other_sounds_ranges_and_effects_apart(cache_of):
    one, other = cache_of([loud(0)]), cache_of([loud(0, 3999)])
    found = {
        repr(AudioAugmentation(effects))
        for effects in [
            (AddedSound(one, (0, 5)),),
            (AddedSound(other, (0, 5)),),
            (AddedSound(one, (0, 6)),),
            (AddedSound(one, (0, 5), (1, 2)),),
            (Reverberation(one),),
            (Reverberation(one), AddedSound(one, (0, 5))),
        ]
    }
    assert len(found) == 6


def test_nothing_to_draw_from_and_ranges_upside_down_are_refused(cache_of):
    for effect in (Reverberation, lambda cache: AddedSound(cache, (0, 5))):
        with pytest.raises(ValueError, match="no recordings to draw from"):
            effect(cache_of([]))
    for ranges in (
        {"snr_db": (5, 0)},
        {"snr_db": (0, 5), "num_at_once": (0, 1)},
        {"snr_db": (0, 5), "num_at_once": (3, 2)},
    ):
        with pytest.raises(ValueError, match="not from low to high"):
            AddedSound(cache_of([loud(0)]), **ranges)


def test_noise_of_a_channel_is_at_a_ratio_within_its_range(voice):
    effect = ChannelAugmentation(noisy=1.0, snr_db=(5.0, 12.0), band_limited=0.0)
    found = ratios(effect, voice)
    assert found.min() > 4.8
    assert found.max() < 12.2
    assert found.max() - found.min() > 6


@pytest.mark.parametrize(("lowest_hz", "from_hz", "to_hz"), [(0.0, 4_000, 8_000), (900.0, 0, 100)])
def test_a_limited_band_holds_nothing_outside(voice, lowest_hz, from_hz, to_hz):
    effect = ChannelAugmentation(noisy=0.0, band_limited=1.0, highest_hz=(3_900.0, 4_000.0), lowest_hz=lowest_hz)
    hz = np.fft.rfftfreq(NUM_SAMPLES, 1 / 16_000)
    powers = [np.abs(np.fft.rfft(effect.apply(voice, np.random.default_rng(seed)))) ** 2 for seed in range(40)]
    outside = [power[(hz > from_hz) & (hz < to_hz)].mean() / power.mean() for power in powers]
    is_cut = np.array(outside) < 1e-6
    if from_hz:
        assert is_cut.all()
    else:  # half as many lose what is low, most of them up to more than 100 Hz
        assert 0.2 < is_cut.mean() < 0.7


def test_the_noise_of_a_channel_rises_or_falls_over_the_frequencies(voice):
    effect = ChannelAugmentation(noisy=1.0, tilt_db=20.0, band_limited=0.0)
    tilts = []
    for seed in range(60):
        noise = np.abs(np.fft.rfft(effect.apply(voice, np.random.default_rng(seed)) - voice)) ** 2
        tilts.append(10 * np.log10(noise[-200:].mean() / noise[:200].mean()))
    assert -21 < min(tilts) < -12
    assert 12 < max(tilts) < 21


def test_a_share_of_the_clips_stays_as_it_is_and_the_draws_decide(voice):
    effect = ChannelAugmentation(noisy=0.5, band_limited=0.2)
    kept = [effect.apply(voice, np.random.default_rng(seed)) is voice for seed in range(200)]
    assert np.mean(kept) == pytest.approx(0.5 * 0.8 * 0.9, abs=0.1)
    first, again = (effect.apply(voice, np.random.default_rng(3)) for _ in range(2))
    assert_allclose(first, again)
    assert first.dtype == np.float32
