"""Trained models on recordings: the answers are those of the test, and a file that cannot be used says why."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import torch
from torch.testing import assert_close

from agegender.data.audio import Crop, as_int16, cache_clips
from agegender.data.cache import examples_in_memory
from agegender.data.manifest import build_manifest
from agegender.data.splits import Split
from agegender.labels import SPEECHOCEAN_6
from agegender.miniatures.voices import random_voice, speak
from agegender.pipelines import commonvoice, timit
from agegender.training.checkpoints import save_weights
from agegender.training.prediction import predict
from agegender.use.model import load_model
from agegender.use.saved import model_of

RATE = 16_000
CROP = Crop(4_000)
_, RECIPE = timit.recipe_of("scratch-mel", "as_intended", {"num_mels": 40, "unit_years": 100.0})
TIMIT = {
    "paper": "timit",
    "build_model": timit.model_facts(RECIPE, pd.Series([35.0])),
    "prepare": {},
    "input": timit.input_facts(RECIPE, CROP),
}
AUDIO = commonvoice.AUDIO_INPUTS["speechocean762"]
INTENDED = commonvoice.RECIPES["as_intended"]


def of_weights(path):
    """The model in the precision of the test."""
    return load_model(path, precision="32-true")


def facts_of(encoder, recipe=INTENDED):
    """What a run of the Common Voice pipeline saves of its net."""
    facts = {
        "paper": "commonvoice",
        "build_model": commonvoice.model_facts(recipe, encoder, AUDIO, SPEECHOCEAN_6),
        "prepare": commonvoice.prepare_facts(encoder, AUDIO),
        "input": commonvoice.input_facts(recipe, encoder, AUDIO),
    }
    return json.loads(json.dumps(facts))


def say(number, seconds=0.8):
    voice = random_voice(np.random.default_rng(number), 20 + 20 * number, ("female", "male")[number % 2])
    return speak(voice, seconds, RATE, seed=number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three recordings, and one of them in other formats; files that are none."""
    folder = tmp_path_factory.mktemp("voices")
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", say(number, 0.8 + 0.3 * number), RATE)
    one = say(1, 1.1)
    for name, kind in (("1.flac", "FLAC"), ("1.ogg", "OGG"), ("1.mp3", "MP3")):
        soundfile.write(folder / name, one, RATE, format=kind)
    soundfile.write(folder / "stereo.wav", np.stack([one, one], axis=1), RATE)
    soundfile.write(folder / "8khz.wav", soxr.resample(one, RATE, 8_000), 8_000)
    soundfile.write(folder / "short.wav", one[:800], RATE)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no sound at all")
    return folder


@pytest.fixture(scope="module")
def of_timit(tmp_path_factory):
    """The file of a model of the TIMIT pipeline, and the model."""
    torch.manual_seed(0)
    model = timit.build_model(**TIMIT["build_model"])
    for head in model.heads.values():
        torch.nn.init.normal_(head.linear.weight, std=0.5)  # so that voices are told apart without training
    path = tmp_path_factory.mktemp("timit") / "model.safetensors"
    save_weights(model, path, TIMIT)
    return path, model.eval()


def test_equals_the_crops_given_to_the_model_by_hand_and_averaged(folder, of_timit):
    path, model = of_timit
    samples = torch.from_numpy(as_int16(soundfile.read(folder / "2.wav", dtype="float32")[0]))
    last = len(samples) - 4_000
    crops = torch.stack([samples[start : start + 4_000] for start in (0, last // 2, last)])
    with torch.no_grad():
        said = model.decode(model(crops))
    table = of_weights(path).predict([folder / "2.wav"])
    assert table[["kind", "index", "box"]].iloc[0].tolist() == ["voice", 0, None]
    assert table["age"][0] == pytest.approx(float(said["age"].mean()), abs=1e-2)
    assert table["p_female"][0] == pytest.approx(float(said["p_female"].mean()), abs=1e-4)


def test_a_recording_gets_the_answer_that_the_test_of_its_run_gave(folder, of_timit, tmp_path):
    path, model = of_timit
    names = ["0.wav", "1.wav", "2.wav"]
    heard = [*names, "1.flac", "1.mp3"]
    rows = pd.DataFrame({"path": heard, "subject": heard, "age": 30.0, "gender": "female"})
    clips = cache_clips(build_manifest(rows.assign(corpus="spoken", modality="voice"), root=folder), tmp_path, RATE)
    parts = Split(np.array([3]), validation=np.array([4]), test=np.arange(3))
    _, _, test = timit.batches(RECIPE, clips, parts, CROP, 1, None, 0)
    tested = predict(model, lambda batch: batch["clips"], test)
    table = of_weights(path).predict([folder / name for name in names])
    assert table["age"].to_numpy() == pytest.approx(tested["age"], abs=1e-2)
    assert table["p_female"].to_numpy() == pytest.approx(tested["p_female"], abs=1e-4)
    assert table["age"].std() > 0.1  # else the test could not fail


def test_formats_channels_and_rates_change_little_and_company_nothing(folder, of_timit):
    predictor = of_weights(of_timit[0])
    alike = ["1.wav", "1.flac", "stereo.wav", "1.ogg", "1.mp3", "8khz.wav"]
    table = predictor.predict([folder / name for name in alike]).set_index(pd.Index(alike))
    assert table["problem"].isna().all()
    alone = predictor.predict([folder / "1.wav"])["age"][0]
    for name in ("1.wav", "1.flac", "stereo.wav"):
        assert table["age"][name] == pytest.approx(alone, abs=1e-2)
    assert table["age"].notna().all()


def test_files_that_cannot_be_used_keep_their_rows_and_say_why(folder, of_timit):
    files = ["empty.wav", "0.wav", "text.wav", "short.wav", "missing.wav"]
    table = of_weights(of_timit[0]).predict([folder / name for name in files])
    assert table["path"].tolist() == [str(folder / name) for name in files]
    assert table["age"].notna().tolist() == [False, True, False, False, False]
    said = ["an empty file", "", "neither a picture nor a recording", "0.05 s of sound", "no such file"]
    assert [part in (problem or "") for part, problem in zip(said, table["problem"].fillna(""), strict=True)] == [
        True
    ] * 5


def trained(encoder, recipe=INTENDED):
    torch.manual_seed(0)
    return commonvoice.build_model(**facts_of(encoder, recipe)["build_model"]).eval()


@pytest.mark.parametrize("encoder", commonvoice.ENCODERS)
def test_a_net_of_age_groups_is_the_one_that_was_saved(encoder):
    model, saved = trained(encoder), model_of(facts_of(encoder))
    saved.model.load_state_dict(model.state_dict())
    clips = torch.from_numpy(np.stack([as_int16(np.resize(say(number), AUDIO.num_samples)) for number in (0, 1)]))
    heard = commonvoice.prepare(**commonvoice.prepare_facts(encoder, AUDIO))
    with torch.no_grad():
        expected = model.decode(model(heard({"clips": clips})))
        said = saved.model.eval().decode(saved.model(saved.prepare({"clips": clips})))
    assert_close(said["p_group"], expected["p_group"])
    assert Crop(**saved.reads["crop"]) == AUDIO.crop
    assert (saved.reads["rate_hz"], saved.reads["num_crops"], saved.scheme) == (RATE, 1, SPEECHOCEAN_6)


def test_a_model_of_age_groups_says_groups_and_no_gender(folder, tmp_path):
    model = trained("bigru")
    save_weights(model, tmp_path / "model.safetensors", facts_of("bigru"))
    table = of_weights(tmp_path / "model.safetensors").predict([folder / "0.wav"], distributions=True)
    said = soundfile.read(folder / "0.wav", dtype="float32")[0]
    clip = torch.from_numpy(np.pad(as_int16(said), (0, AUDIO.num_samples - len(said))))[None]
    heard = commonvoice.prepare(**commonvoice.prepare_facts("bigru", AUDIO))
    with torch.no_grad():
        p_group = model.decode(model(heard({"clips": clip})))["p_group"][0]
    assert table["p_female"].isna().all()
    assert table["age_group"][0] == SPEECHOCEAN_6.labels[int(p_group.argmax())]
    assert 1 - table["p_age_below"][0][23] == pytest.approx(float(p_group[-1]), abs=1e-4)


def test_a_net_that_is_recurrent_over_its_batch_hears_every_clip_alone(folder, tmp_path):
    published = commonvoice.RECIPES["as_published"]
    save_weights(trained("tcn1", published), tmp_path / "t.safetensors", facts_of("tcn1", published))
    predictor = of_weights(tmp_path / "t.safetensors")
    files = [folder / f"{number}.wav" for number in range(3)]
    together, alone = predictor.predict(files), predictor.predict(files[2:])
    assert alone["age"][0] == pytest.approx(together["age"][2], abs=1e-5)


def of_encoder(**changes):
    return TIMIT | {"build_model": TIMIT["build_model"] | {"encoder": TIMIT["build_model"]["encoder"] | changes}}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (of_encoder(pooling="max"), "unknown pooling 'max'"),
        (of_encoder(layers=3), "does not describe a model of this version: .*'layers'"),
        (
            facts_of("cnn") | {"build_model": {"encoder": "cnn"}},
            "a model of this version: .*'scheme'",
        ),
        (facts_of("cnn") | {"prepare": {"encoder": "cnn"}}, "a model of this version: .*'rate_hz'"),
        (
            TIMIT | {"input": {"rate_hz": RATE, "num_crops": 1}},
            "the model's input: batch_size, crop is missing",
        ),
        ({"name": "speech net", "corpus": "speechocean762", "model": "cnn"}, "saved by an older version"),
    ],
)
def test_facts_that_describe_no_model_of_voices_are_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        model_of(facts)


def test_recordings_of_all_lengths_keep_their_order(folder, of_timit):
    predictor = of_weights(of_timit[0])
    soundfile.write(folder / "long.wav", np.tile(say(2), 50), RATE)  # 40 s: heard in four crops
    files = [folder / name for name in ("0.wav", "empty.wav", "long.wav", "1.wav", "0.wav")]
    table = predictor.predict(files)
    alone = [predictor.predict(file)["age"][0] for file in files]
    assert table["age"].to_numpy() == pytest.approx(alone, abs=1e-3, nan_ok=True)
    assert predictor.saved.num_crops(np.zeros(40 * RATE)) == 4
    assert predictor.saved.num_crops(np.zeros(RATE)) == TIMIT["input"]["num_crops"] == 3
    assert table["age"].std() > 0.1  # else the order could not be told


def test_faces_need_no_package_of_voices_and_voices_name_what_to_install(of_timit, monkeypatch):
    absent = ("soundfile", "soxr", "librosa", "torchaudio")
    program = f"import sys\nfor name in {absent}: sys.modules[name] = None\nimport agegender.use.model"
    subprocess.run([sys.executable, "-c", program], check=True)
    monkeypatch.setitem(sys.modules, "agegender.pipelines.timit", None)
    with pytest.raises(ImportError, match=r"pip install 'agegender\[voice\]'"):
        load_model(of_timit[0])


def test_recordings_in_memory_are_clips_one_after_the_other():
    recordings = [np.arange(5, dtype=np.int16), np.arange(3, dtype=np.int16) + 100]
    clips = examples_in_memory(recordings, RATE)
    assert (len(clips), clips.lengths.tolist(), clips.rate_hz) == (2, [5, 3], RATE)
    assert clips[1].tolist() == [100, 101, 102]
    assert Crop(5).of(clips[1]).tolist() == [100, 101, 102, 100, 101]
