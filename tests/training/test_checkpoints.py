import pytest
import torch
from safetensors import safe_open
from torch import nn

from agegender.models.heads import ClassHead, TwoClasses
from agegender.models.multitask import MultiTaskModel
from agegender.training import checkpoints
from agegender.training.checkpoints import load_encoder, load_weights, read_facts, save_weights, step_to_go_on_from


def net(width=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, width, 3), nn.BatchNorm2d(width))


def test_weights_and_buffers_come_back_as_they_were(tmp_path):
    saved, loaded = net(seed=0), net(seed=1)
    saved(torch.randn(4, 2, 5, 5))  # moves the running averages, which are buffers
    save_weights(saved, tmp_path / "w.safetensors")
    load_weights(loaded, tmp_path / "w.safetensors")
    assert "1.running_mean" in saved.state_dict()
    for name, value in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_facts_travel_in_the_header_and_can_be_read_without_the_weights(tmp_path):
    facts = {"architecture": "LMTCNN-1-1", "scheme": "adience-8", "crop_px": 227, "note": "zwölf", "none": None}
    save_weights(net(), tmp_path / "w.safetensors", facts)
    assert read_facts(tmp_path / "w.safetensors") == facts


def test_without_facts_there_are_none(tmp_path):
    save_weights(net(), tmp_path / "w.safetensors")
    assert read_facts(tmp_path / "w.safetensors") == {}


def test_the_file_is_plain_safetensors(tmp_path):
    """Not a pickle, which can run a stranger's code."""
    save_weights(net(), tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", framework="pt") as file:
        assert set(file.keys()) == net().state_dict().keys()


def test_the_layout_of_the_weights_does_not_matter(tmp_path):
    channels_last, loaded = net().to(memory_format=torch.channels_last), net(seed=1)
    save_weights(channels_last, tmp_path / "w.safetensors")
    load_weights(loaded, tmp_path / "w.safetensors")
    assert torch.equal(loaded[0].weight, net()[0].weight)


def test_all_differences_are_listed_by_name_and_in_order(tmp_path):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.zebra, self.apple, self.shared = (
                nn.Linear(2, 2, bias=False),
                nn.Linear(2, 2, bias=False),
                nn.Linear(2, 4),
            )

    class Ours(nn.Module):
        def __init__(self):
            super().__init__()
            self.pear, self.shared = nn.Linear(2, 2), nn.Linear(2, 3)

    save_weights(Other(), tmp_path / "w.safetensors")
    model = Ours()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    message = (
        r"w\.safetensors does not fit the model: "
        r"pear\.bias is missing in the file; pear\.weight is missing in the file; "
        r"apple\.weight is not in the model; zebra\.weight is not in the model; "
        r"shared\.bias is \(4,\) in the file and \(3,\) in the model; "
        r"shared\.weight is \(4, 2\) in the file and \(3, 2\) in the model$"
    )
    with pytest.raises(ValueError, match=message):
        load_weights(model, tmp_path / "w.safetensors")
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value), name


def test_an_encoder_is_taken_out_of_a_model_with_other_heads(tmp_path):
    pretrained = MultiTaskModel(net(seed=0), {"young": ClassHead(3, TwoClasses("young", "young"))})
    save_weights(pretrained, tmp_path / "w.safetensors")
    encoder = net(seed=1)
    load_encoder(encoder, tmp_path / "w.safetensors")
    for name, value in pretrained.encoder.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], value), name


def test_an_encoder_of_another_kind_is_refused(tmp_path):
    save_weights(
        MultiTaskModel(net(), {"young": ClassHead(3, TwoClasses("young", "young"))}), tmp_path / "w.safetensors"
    )
    with pytest.raises(ValueError, match=r"w\.safetensors does not fit .*0\.bias is \(3,\) in the file and \(5,\)"):
        load_encoder(net(width=5), tmp_path / "w.safetensors")
    save_weights(net(), tmp_path / "headless.safetensors")
    with pytest.raises(ValueError, match=r"0\.bias is missing in the file"):
        load_encoder(net(), tmp_path / "headless.safetensors")


@pytest.mark.parametrize("length", [0, 5, 60, -1])
def test_half_a_file_is_refused_with_its_name(tmp_path, length):
    path = tmp_path / "w.safetensors"
    save_weights(net(), path)
    path.write_bytes(path.read_bytes()[:length])
    for read in (lambda: load_weights(net(), path), lambda: read_facts(path)):
        with pytest.raises(ValueError, match=r"w\.safetensors is no safetensors file, or half of one"):
            read()


def test_a_pickle_is_refused(tmp_path):
    torch.save(net().state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"w\.pt is no safetensors file"):
        load_weights(net(), tmp_path / "w.pt")


def test_a_full_disk_leaves_the_weights_that_were_there(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(net(), path)
    before = path.read_bytes()

    def full(weights, where, metadata):
        where.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(net(seed=1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


IDENTITY = {"seed": 3, "num_steps": 20, "patience": None}


def written(path, **content):
    parts = {"model": {"w": torch.zeros(300)}, "optimizer": {}, "schedule": {}, "state": {}}
    torch.save({"step": 35, "identity": IDENTITY} | parts | content, path)
    return path


def test_the_step_of_a_checkpoint_of_this_run_is_read(tmp_path):
    written(tmp_path / "last.ckpt")
    assert step_to_go_on_from(tmp_path, IDENTITY) == 35
    assert step_to_go_on_from(tmp_path / "empty", IDENTITY) == 0


def test_the_checkpoint_of_another_run_is_set_aside_and_the_differences_named_with_both_values(tmp_path, capsys):
    before = written(tmp_path / "last.ckpt").read_bytes()
    assert step_to_go_on_from(tmp_path, {"seed": 4, "num_steps": 20, "patience": 2}) == 0
    assert "last.ckpt is of a run with seed 3, not 4; patience None, not 2; kept as" in capsys.readouterr().out
    assert (tmp_path / "last.before.ckpt").read_bytes() == before
    assert not (tmp_path / "last.ckpt").exists()


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


@pytest.mark.parametrize(
    "content",
    [{"state": {}}, {"step": 3, "identity": {}}, {"step": 3, "code": Evil()}, [1, 2]],
    ids=["no step", "of others", "code", "list"],
)
def test_a_checkpoint_of_something_else_is_refused_and_its_code_not_run(tmp_path, content):
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged \(.*\): delete it to start this run anew"):
        step_to_go_on_from(tmp_path, IDENTITY)


@pytest.mark.parametrize("length", [0, 100, -1])
def test_half_a_checkpoint_is_refused(tmp_path, length):
    path = written(tmp_path / "last.ckpt")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged"):
        step_to_go_on_from(tmp_path, IDENTITY)
