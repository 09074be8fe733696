"""What holds of every head for age, in groups and in years."""

import math
from functools import partial

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from agegender.labels import ADIENCE_8, FAIRFACE_9
from agegender.models.heads import AgeBins, ClassHead, RegressionHead, hidden_layers
from agegender.models.losses import label_distribution_loss, mean_variance_loss
from agegender.models.ordinal import CoralHead, CornHead

YEARS = range(101)
IN_CLASSES = {
    "cross-entropy": ClassHead,
    "label distribution": partial(ClassHead, loss=label_distribution_loss),
    "mean-variance": partial(ClassHead, loss=mean_variance_loss),
    "coral": CoralHead,
    "corn": CornHead,
}
REGRESSIONS = {"l1": functional.l1_loss, "l2": functional.mse_loss, "huber": functional.huber_loss}
IN_GROUPS = [(kind, ADIENCE_8) for kind in IN_CLASSES]
IN_YEARS = [(kind, YEARS) for kind in IN_CLASSES] + [("l1", None)]
ALL = [*IN_GROUPS, *IN_YEARS, ("l2", None), ("huber", None)]


def heads(kinds):
    names = [f"{kind}-{getattr(groups, 'name', 'years')}" for kind, groups in kinds]
    return pytest.mark.parametrize(("kind", "groups"), kinds, ids=names)


def built(kind, groups, in_features=6, hidden_features=None):
    torch.manual_seed(0)
    hidden = None if hidden_features is None else hidden_layers(in_features, [hidden_features])
    width = hidden_features or in_features
    if kind in REGRESSIONS:
        return RegressionHead(width, hidden, REGRESSIONS[kind])
    if kind == "label distribution" and groups is not YEARS:  # the paper's two years would be two groups
        return ClassHead(width, AgeBins(groups), hidden, partial(label_distribution_loss, label_std=0.5))
    return IN_CLASSES[kind](width, AgeBins(groups), hidden=hidden)


def targets(head, num_examples=7):
    if head.target == "age_group":
        return torch.arange(num_examples) % 8
    return torch.linspace(0.0, 100.5, num_examples)


def answers(head, num_examples=7, spread=1.0):
    """Logits of any kind, whether the head could give them or not."""
    shape = head(torch.zeros(num_examples, 6)).shape
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(1)) + (30.0 if shape[1] == 1 else 0.0)


@heads(ALL)
def test_the_order_of_the_batch_does_not_matter(kind, groups):
    head, order = built(kind, groups), torch.tensor([3, 0, 6, 1, 5, 4, 2])
    logits, target = answers(head), targets(head)
    assert_close(head.loss(logits[order], target[order]), head.loss(logits, target))
    assert_close(head.measure(logits[order], target[order]), head.measure(logits, target))
    for name, value in head.decode(logits).items():
        assert_close(head.decode(logits[order])[name], value[order])


@heads(ALL)
def test_an_example_is_answered_without_its_batch(kind, groups):
    head, embedding = built(kind, groups, hidden_features=4), torch.randn(5, 6)
    for name, value in head.decode(head(embedding)).items():
        assert_close(head.decode(head(embedding[2:3]))[name], value[2:3])


@heads(IN_GROUPS)
@pytest.mark.parametrize("spread", [0.1, 3.0, 1e4])
def test_the_probabilities_of_groups_are_a_distribution_and_the_age_is_its_mean(kind, groups, spread):
    head = built(kind, groups)
    decoded = head.decode(answers(head, 20, spread))
    assert decoded["p_group"].shape == (20, 8)
    assert (decoded["p_group"] >= 0).all()
    assert_close(decoded["p_group"].sum(1), torch.ones(20))
    assert_close(decoded["age"], decoded["p_group"] @ torch.tensor(ADIENCE_8.midpoints))


@heads(IN_YEARS)
def test_a_head_in_years_answers_with_an_age_alone(kind, groups):
    head = built(kind, groups)
    decoded = head.decode(answers(head))
    assert decoded.keys() == {"age"}
    assert decoded["age"].shape == (7,)
    if kind not in REGRESSIONS:
        assert ((decoded["age"] >= 0) & (decoded["age"] <= 100)).all()


@heads(ALL)
def test_what_is_measured_is_what_is_decoded(kind, groups):
    head = built(kind, groups)
    logits, target = answers(head), targets(head)
    decoded = head.decode(logits)
    if head.metric == "accuracy":
        assert head.measure(logits, target) == sum(decoded["p_group"].argmax(1) == target)
    else:
        assert_close(head.measure(logits, target), sum((decoded["age"] - target).abs()))


@heads(ALL)
def test_only_its_layers_are_saved(kind, groups):
    names = set(built(kind, groups, hidden_features=4).state_dict())
    assert names <= {"hidden.0.weight", "hidden.0.bias", "linear.weight", "linear.bias", "biases"}


@heads(ALL)
def test_every_parameter_learns(kind, groups):
    head = built(kind, groups, hidden_features=4)
    target = targets(head)
    head.loss(head(torch.randn(7, 6)), target).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@heads(ALL)
def test_the_gradient_is_the_slope_of_the_loss(kind, groups):
    head = built(kind, groups)
    logits, target = answers(head).requires_grad_(), targets(head)
    head.loss(logits, target).backward()
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        rise = head.loss(logits + 0.01 * direction, target) - head.loss(logits - 0.01 * direction, target)
    assert_close((logits.grad * direction).sum(), rise / 0.02, rtol=0.02, atol=1e-3)


@heads(ALL)
def test_enormous_logits_have_a_finite_loss_and_gradient(kind, groups):
    head = built(kind, groups)
    logits = answers(head, spread=1e4).requires_grad_()
    loss = head.loss(logits, targets(head))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@heads(ALL)
def test_autocast_rounds_the_embedding_and_nothing_after_the_logits(kind, groups):
    head, embedding = built(kind, groups), torch.randn(7, 6)
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(embedding)
        loss, decoded = head.loss(logits, targets(head)), head.decode(logits)
    assert loss.dtype == torch.float32
    assert_close(loss, head.loss(logits.float(), targets(head)))
    assert_close(loss, head.loss(head(embedding), targets(head)), rtol=0.01, atol=0)
    for name, value in head.decode(logits.float()).items():
        assert_close(decoded[name], value)


@heads(ALL)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.float64])
def test_a_label_is_the_same_in_every_number_type(kind, groups, dtype):
    head = built(kind, groups)
    logits, target = answers(head, 3), torch.tensor([0, 7, 5])
    assert_close(head.loss(logits, target.to(dtype)), head.loss(logits, target))
    assert_close(head.measure(logits, target.to(dtype)).double(), head.measure(logits, target).double())


@heads(ALL)
@pytest.mark.parametrize("label", [math.nan, math.inf, -1.0, 121.0])
def test_a_label_that_is_none_is_refused_with_its_row(kind, groups, label):
    head = built(kind, groups)
    target = targets(head).float()
    target[2] = label
    with pytest.raises(
        ValueError, match=f"of example 2 of the batch is {label}, not in 0 <= .*: leave such examples out"
    ):
        head.loss(answers(head), target)


@heads(ALL)
def test_a_label_that_became_nan_instead_of_an_error_makes_the_loss_nan(kind, groups, monkeypatch):
    """As ``checked`` does on an accelerator."""
    monkeypatch.setattr("agegender.models.heads.checked", lambda target, *_: target)
    head = built(kind, groups)
    target = targets(head).float()
    target[2] = math.nan
    assert head.loss(answers(head), target).isnan()


@heads(ALL)
@pytest.mark.parametrize("shape", [(6,), (7, 1), ()])
def test_labels_that_would_broadcast_are_refused(kind, groups, shape):
    head = built(kind, groups)
    with pytest.raises(ValueError, match="for each of 7 examples, got shape"):
        head.loss(answers(head), torch.zeros(shape))


def learnable(groups, num_examples=256):
    """Embeddings and labels that a linear function of them tells."""
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(num_examples, 6, generator=generator)
    latent = (embedding @ torch.randn(6, generator=generator)).argsort().argsort() / num_examples  # even from 0 to 1
    return embedding, (latent * len(groups)).long() if groups is not YEARS else 10 + 80 * latent


def fitted(head, embedding, target, num_steps=250):
    optimiser = torch.optim.Adam(head.parameters(), lr=0.03)
    for _ in range(num_steps):
        optimiser.zero_grad()
        head.loss(head(embedding), target).backward()
        optimiser.step()
    with torch.no_grad():
        return head.measure(head(embedding), target).item() / len(target)


@heads([*IN_YEARS, ("l2", None), ("huber", None)])
def test_a_head_learns_ages_from_an_embedding_that_tells_them(kind, groups):
    embedding, ages = learnable(YEARS)
    constant = (ages - ages.median()).abs().mean().item()
    assert fitted(built(kind, groups, hidden_features=32), embedding, ages) < 0.15 * constant


@heads([(kind, scheme) for kind in IN_CLASSES for scheme in (ADIENCE_8, FAIRFACE_9)])
def test_a_head_learns_groups_from_an_embedding_that_tells_them(kind, groups):
    embedding, labels = learnable(groups)
    assert fitted(built(kind, groups, hidden_features=32), embedding, labels) > 0.9


@pytest.mark.gpu
@heads(ALL)
def test_on_a_gpu_in_bfloat16_a_head_does_what_it_does_on_a_cpu(kind, groups):
    head, embedding = built(kind, groups, hidden_features=4), torch.randn(7, 6)
    target = targets(head)
    expected, decoded = head.loss(head(embedding), target).detach(), head.decode(head(embedding))
    head = head.cuda()
    with torch.autocast("cuda", torch.bfloat16):
        logits = head(embedding.cuda())
        loss = head.loss(logits, target.cuda())
    loss.backward()
    assert loss.dtype == torch.float32
    assert_close(loss.detach().cpu(), expected, rtol=0.01, atol=1e-3)
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    assert_close(head.decode(logits)["age"].cpu(), decoded["age"], rtol=0.02, atol=0.05)


@pytest.mark.gpu
@heads(ALL)
def test_on_a_gpu_a_label_that_is_none_makes_the_loss_nan(kind, groups):
    head = built(kind, groups)
    logits, target = answers(head), targets(head).float()
    target[2] = math.nan
    assert head.cuda().loss(logits.cuda(), target.cuda()).isnan()
