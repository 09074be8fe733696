import pytest
import torch
from torch import nn
from torch.testing import assert_close

from agegender.labels import ADIENCE_8
from agegender.models.heads import GENDER, AgeBins, ClassHead
from agegender.models.multitask import MultiTaskModel

TARGETS = {"age_group": torch.tensor([0, 7, 2]), "gender": torch.tensor([1, 1, 0])}


def model(tasks=("age", "gender")):
    torch.manual_seed(0)
    heads = {"age": ClassHead(4, AgeBins(ADIENCE_8)), "gender": ClassHead(4, GENDER)}
    return MultiTaskModel(
        nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU()), {task: heads[task] for task in tasks}
    )


def inputs():
    return torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))


def test_every_head_reads_the_same_embedding():
    net = model()
    embedding = net.encoder(inputs())
    logits = net(inputs())
    assert logits.keys() == {"age", "gender"}
    for task, head in net.heads.items():
        assert_close(logits[task], head(embedding))


def test_every_task_has_the_loss_of_its_own_head_and_target():
    net = model()
    logits = net(inputs())
    losses = net.losses(logits, TARGETS)
    assert_close(losses["age"], net.heads["age"].loss(logits["age"], TARGETS["age_group"]))
    assert_close(losses["gender"], net.heads["gender"].loss(logits["gender"], TARGETS["gender"]))


def test_what_all_heads_read_stands_side_by_side():
    net = model()
    logits = net(inputs())
    decoded = net.decode(logits)
    assert decoded.keys() == {"p_group", "age", "p_female"}
    assert_close(decoded["age"], net.heads["age"].decode(logits["age"])["age"])
    assert_close(decoded["p_female"], net.heads["gender"].decode(logits["gender"])["p_female"])


def test_one_task_alone_is_a_model_too():
    net = model(tasks=("gender",))
    assert net.losses(net(inputs()), TARGETS).keys() == {"gender"}
    assert net.decode(net(inputs())).keys() == {"p_female"}


def test_targets_of_tasks_that_the_model_does_not_have_are_left_alone():
    net = model()
    assert net.losses(net(inputs()), TARGETS | {"identity": torch.zeros(3)}).keys() == {"age", "gender"}


def test_the_encoder_learns_from_both_tasks_and_a_head_from_its_own():
    gradients = {}
    for tasks in (("age", "gender"), ("age",), ("gender",)):
        net = model()
        losses = net.losses(net(inputs()), TARGETS)
        sum(losses[task] for task in tasks).backward()
        gradients[tasks] = net.encoder[1].weight.grad
        for task in ("age", "gender"):
            assert (net.heads[task].linear.weight.grad is not None) == (task in tasks)
    assert_close(gradients["age", "gender"], gradients["age",] + gradients["gender",])


def test_a_model_without_a_head_is_refused():
    with pytest.raises(ValueError, match="a model needs at least one head"):
        MultiTaskModel(nn.Identity(), {})


def test_a_missing_target_is_named():
    with pytest.raises(KeyError, match="gender"):
        model().losses(model()(inputs()), {"age_group": TARGETS["age_group"]})
