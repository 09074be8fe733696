import math

import pytest
import torch
from torch.testing import assert_close

from agegender.models.margin import AAMSoftmaxHead, AMSoftmaxHead

BOTH = pytest.mark.parametrize("kind", [AMSoftmaxHead, AAMSoftmaxHead])


def head(kind, margin=0.2, scale=10.0, in_features=4, num_subjects=5):
    torch.manual_seed(0)
    return kind(in_features, num_subjects, margin, scale)


def embeddings(number=6, seed=1):
    return 3 * torch.randn(number, 4, generator=torch.Generator().manual_seed(seed))


TARGET = torch.tensor([0, 4, 2, 2, 1, 3])


def cosines_written_out(layer, embedding):
    """Rows of cosines, from dot products and lengths."""
    return [
        [
            sum(a * b for a, b in zip(x, w, strict=True)) / (math.hypot(*x) * math.hypot(*w))
            for w in layer.directions.tolist()
        ]
        for x in embedding.tolist()
    ]


def am(cosine, margin):
    return cosine - margin


def aam(cosine, margin):
    angle = math.acos(cosine)
    return math.cos(angle + margin) if angle < math.pi - margin else cosine - margin * math.sin(margin)


def loss_written_out(rows, target, rule, margin, scale):
    total = 0.0
    for row, right in zip(rows, target.tolist(), strict=True):
        exponents = [scale * (rule(c, margin) if place == right else c) for place, c in enumerate(row)]
        total -= exponents[right] - math.log(sum(math.exp(value) for value in exponents))
    return torch.tensor(total / len(rows))


@BOTH
def test_the_logits_are_cosines(kind):
    layer = head(kind)
    assert_close(layer(embeddings()), torch.tensor(cosines_written_out(layer, embeddings())))


@pytest.mark.parametrize(("kind", "rule"), [(AMSoftmaxHead, am), (AAMSoftmaxHead, aam)])
@pytest.mark.parametrize(("margin", "scale"), [(0.0, 10.0), (0.2, 32.0), (0.3, 15.0), (1.2, 4.0)])
def test_the_loss_is_the_formula_typed_out(kind, rule, margin, scale):
    layer = head(kind, margin, scale)
    expected = loss_written_out(cosines_written_out(layer, embeddings()), TARGET, rule, margin, scale)
    assert_close(layer.loss(layer(embeddings()), TARGET), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("margin", [0.1, 0.3, 1.0])
def test_the_angle_grows_by_the_margin_until_it_would_pass_half_a_turn(margin):
    angles = torch.linspace(0.01, math.pi - 0.01, 200, dtype=torch.float64)
    expected = [aam(math.cos(angle), margin) for angle in angles.tolist()]
    found = head(AAMSoftmaxHead, margin).with_margin(angles.cos())
    assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert (found.diff() < 0).all()
    assert any(angle >= math.pi - margin for angle in angles.tolist())


def test_both_sides_of_the_angle_where_the_rule_changes():
    layer, turn = head(AAMSoftmaxHead, margin=0.3), math.cos(math.pi - 0.3)
    below, at = layer.with_margin(torch.tensor([turn + 1e-9, turn], dtype=torch.float64)).tolist()
    assert below == pytest.approx(-1, abs=1e-6)
    assert at == pytest.approx(turn - 0.3 * math.sin(0.3), abs=1e-9)


@BOTH
def test_without_a_margin_it_is_the_cross_entropy_of_scaled_cosines(kind):
    layer = head(kind, margin=0.0)
    logits = layer(embeddings())
    assert_close(layer.loss(logits, TARGET), torch.nn.functional.cross_entropy(10 * logits, TARGET))


@BOTH
def test_a_margin_makes_it_harder(kind):
    logits = head(kind)(embeddings())
    losses = [head(kind, margin).loss(logits, TARGET) for margin in (0.0, 0.1, 0.3)]
    assert losses[0] < losses[1] < losses[2]


@BOTH
def test_the_length_of_embeddings_and_directions_does_not_matter(kind):
    layer = head(kind)
    before = layer(embeddings())
    with torch.no_grad():
        layer.directions.mul_(7)
    assert_close(layer(embeddings() / 100), before)


@BOTH
def test_the_order_of_the_batch_does_not_matter(kind):
    layer, order = head(kind), torch.tensor([3, 0, 5, 1, 4, 2])
    logits = layer(embeddings())
    assert_close(layer.loss(logits[order], TARGET[order]), layer.loss(logits, TARGET))


@BOTH
def test_the_defaults_are_the_published_ones(kind):
    layer = kind(4, 5)
    assert (layer.margin, layer.scale) == {AMSoftmaxHead: (0.2, 32.0), AAMSoftmaxHead: (0.3, 15.0)}[kind]
    assert layer.directions.numel() == 4 * 5


@BOTH
def test_the_directions_start_as_xaviers_normal_distribution(kind):
    torch.manual_seed(0)
    assert kind(512, 300).directions.std().item() == pytest.approx((2 / (512 + 300)) ** 0.5, rel=0.02)


@BOTH
def test_the_subject_is_the_nearest_one_whatever_the_margin(kind):
    layer = head(kind, margin=1.0)
    nearest = torch.tensor([row.index(max(row)) for row in cosines_written_out(layer, embeddings())])
    assert layer.measure(layer(embeddings()), nearest) == 6
    assert layer.measure(layer(embeddings()), (nearest + torch.tensor([0, 0, 1, 1, 1, 1])) % 5) == 2


@BOTH
def test_there_is_nothing_to_read(kind):
    assert head(kind).decode(head(kind)(embeddings())) == {}
    assert (kind.target, kind.metric) == ("subject_index", "accuracy")


@BOTH
def test_the_gradient_is_that_of_small_differences(kind):
    layer = head(kind)
    logits = (0.9 * layer(embeddings()).double()).detach().requires_grad_()

    def loss(values):
        right = values.gather(1, TARGET[:, None])
        harder = values.scatter(1, TARGET[:, None], layer.with_margin(right))
        return torch.nn.functional.cross_entropy(layer.scale * harder, TARGET)

    assert torch.autograd.gradcheck(loss, logits)
    assert_close(layer.loss(logits, TARGET).float(), loss(logits).float())  # the layer counts in float32


@BOTH
def test_every_direction_learns(kind):
    layer = head(kind)
    embedding = embeddings().requires_grad_()
    layer.loss(layer(embedding), TARGET).backward()
    assert (layer.directions.grad.abs().sum(1) > 0).all()
    assert (embedding.grad.abs().sum(1) > 0).all()


@BOTH
@pytest.mark.parametrize("sign", [1, -1])
def test_an_embedding_in_the_very_direction_or_against_it_has_a_finite_gradient(kind, sign):
    layer = head(kind)
    embedding = (sign * layer.directions.detach()).requires_grad_()
    layer.loss(layer(embedding), torch.arange(5)).backward()
    assert embedding.grad.isfinite().all()
    assert layer.directions.grad.isfinite().all()


@BOTH
def test_autocast_does_not_round_the_angle(kind):
    layer = head(kind)
    with torch.autocast("cpu", torch.bfloat16):
        logits = layer(embeddings())
        loss = layer.loss(logits, TARGET)
    assert logits.dtype == loss.dtype == torch.float32
    assert_close(logits, layer(embeddings()))
    assert layer(embeddings().bfloat16()).dtype == torch.float32


@BOTH
def test_rounded_cosines_are_scaled_in_full_precision(kind):
    layer = head(kind)
    rounded = layer(embeddings()).bfloat16()
    assert layer.loss(rounded, TARGET).dtype == torch.float32
    assert_close(layer.loss(rounded, TARGET), layer.loss(rounded.float(), TARGET))


@BOTH
@pytest.mark.parametrize("index", [-1, 5])
def test_a_subject_that_the_head_does_not_have_is_refused(kind, index):
    target = torch.tensor([0, 1, index, 0, 0, 0])
    with pytest.raises(ValueError, match=f"the subject of example 2 of the batch is {index}, not in 0 <= subject < 5"):
        head(kind).loss(head(kind)(embeddings()), target)


@BOTH
@pytest.mark.parametrize(
    ("margin", "scale"), [(-0.1, 10.0), (math.nan, 10.0), (0.2, 0.0), (math.inf, 1.0), (0.2, math.inf)]
)
def test_a_margin_or_scale_without_sense_is_refused(kind, margin, scale):
    with pytest.raises(ValueError, match=f"and scale above 0, got {margin} and {scale}"):
        kind(4, 5, margin, scale)


def test_an_angle_of_half_a_turn_is_no_margin():
    with pytest.raises(ValueError, match="margin must be an angle from 0 to pi"):
        AAMSoftmaxHead(4, 5, margin=math.pi)


@BOTH
def test_one_subject_alone_is_refused(kind):
    with pytest.raises(ValueError, match="to tell subjects apart takes two or more, got 1"):
        kind(4, 1)


@BOTH
def test_two_subjects_and_a_scale_below_1_are_enough(kind):
    layer = kind(4, 2, margin=0.0, scale=0.5)
    assert_close(layer.loss(torch.zeros(1, 2), torch.tensor([1])), torch.tensor(math.log(2)))
