"""A run that was killed and started again ends bit-equal to one that was not."""

import json
import multiprocessing
import shutil
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file

from tests.training.small_run import run, run_with_output

# a server that has imported everything once: each run in a process of its own then starts at once
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.training.small_run"])


def start(folder, num_workers=0, kill_after=0):
    """Run in a process of its own; return its exit status and what it printed."""
    output = folder / "output.txt"
    process = SERVER.Process(target=run_with_output, args=(output, folder, num_workers, kill_after))
    process.start()
    process.join()
    return process.exitcode, output.read_text()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert start(folder)[0] == 0
    return folder


def final_state(folder):
    return load_file(folder / "model.safetensors"), json.loads((folder / "ended.json").read_text())["result"]["history"]


def assert_same_end(folder, expected_folder):
    weights, history = final_state(folder)
    expected_weights, expected_history = final_state(expected_folder)
    assert weights.keys() == expected_weights.keys()
    for name, value in expected_weights.items():
        assert torch.equal(weights[name], value), name
    assert [line["step"] for line in expected_history] == [5, 10, 15, 20]
    assert history == expected_history  # momentum too: the losses of the later steps come of it


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_killed_and_resumed_run_ends_bit_equal(uninterrupted, tmp_path, num_workers):
    status, _ = start(tmp_path, num_workers, kill_after=13)  # mid-epoch, three steps after a checkpoint
    assert status == 9
    status, output = start(tmp_path, num_workers)
    assert status == 0
    assert "going on at step 10 of 20" in output
    assert_same_end(tmp_path, uninterrupted)


def test_a_run_with_workers_ends_bit_equal_to_one_without(uninterrupted, tmp_path):
    run(tmp_path, num_workers=2)
    assert_same_end(tmp_path, uninterrupted)


class StoppedError(BaseException):
    """Stands for a signal: nothing catches it."""


@pytest.mark.parametrize("stop_after", [3, 6, 10, 11, 20])
def test_a_run_stopped_anywhere_ends_bit_equal(uninterrupted, tmp_path, stop_after):
    with pytest.raises(StoppedError):
        run(tmp_path, kill_after=stop_after, stop=StoppedError)
    run(tmp_path)
    assert_same_end(tmp_path, uninterrupted)


def test_a_finished_run_is_not_trained_again(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    again = run(tmp_path, kill_after=1, stop=AssertionError("trained on"))
    assert_same_end(tmp_path, uninterrupted)
    assert asdict(again) == json.loads((uninterrupted / "ended.json").read_text())["result"]


def test_a_finished_run_keeps_its_weights_and_no_checkpoint(uninterrupted):
    kept = sorted(path.name for path in uninterrupted.iterdir())
    assert kept == ["ended.json", "events", "last.safetensors", "model.safetensors", "output.txt"]


@pytest.mark.parametrize("change", [{"seed": 4}, {"learning_rate": 0.5}, {"num_steps": 25}])
def test_a_finished_run_of_another_kind_is_not_taken_for_this_one(uninterrupted, tmp_path, change):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    with pytest.raises(StoppedError):
        run(tmp_path, kill_after=1, stop=StoppedError, **change)
    run(tmp_path)  # what was left behind by the other is not taken for the end of the first either
    assert_same_end(tmp_path, uninterrupted)


def test_a_finished_run_without_its_weights_is_trained_again(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").unlink()
    run(tmp_path)
    assert_same_end(tmp_path, uninterrupted)


def test_a_checkpoint_of_another_run_is_set_aside(tmp_path, capfd):
    with pytest.raises(StoppedError):
        run(tmp_path, kill_after=13, stop=StoppedError)
    before = (tmp_path / "last.ckpt").read_bytes()
    capfd.readouterr()
    run(tmp_path, seed=4)
    said = "starting anew: last.ckpt is of a run with seed 3, not 4; kept as last.before.ckpt"
    assert capfd.readouterr().out.splitlines()[0] == said
    assert (tmp_path / "last.before.ckpt").read_bytes() == before


def test_a_damaged_checkpoint_is_named_and_not_passed_over(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged .* delete it to start this run anew"):
        run(tmp_path)
