import numpy as np
import torch
from torch import nn

from agegender.data.audio import Crop, EvenCrops
from agegender.data.batches import EvaluationBatches
from agegender.models.heads import GENDER, ClassHead, RegressionHead
from agegender.models.multitask import MultiTaskModel
from agegender.training.prediction import embeddings, predict


class Statistics(nn.Module):
    """Three numbers for each clip, and a batch normalisation that shows whether it is in evaluation mode."""

    out_features = 3

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, clips):
        return self.norm(torch.stack([clips.mean(1), clips.amax(1), clips.square().mean(1)], 1))


def prepare(batch):
    return batch["clips"].float() / 1000


def model():
    torch.manual_seed(0)
    return MultiTaskModel(Statistics(), {"age": RegressionHead(3), "gender": ClassHead(3, GENDER)})


def clips(cache_of):
    return cache_of([np.arange(100 * n, 100 * n + length, dtype=np.int16) for n, length in enumerate((90, 40, 25, 60))])


def test_the_answers_about_several_crops_of_a_clip_are_averaged(cache_of):
    net, of = model(), clips(cache_of)
    found = predict(net, prepare, EvaluationBatches(of, {}, 3, EvenCrops(Crop(20), 5)))
    for example in range(4):
        room = of.lengths[example] - 20
        crops = [of[example][int(start) :][:20] for start in np.linspace(0, room, 5)]
        with torch.no_grad():
            alone = net.eval().decode(net(prepare({"clips": torch.from_numpy(np.stack(crops))})))
        for name in ("age", "p_female"):
            np.testing.assert_allclose(found[name][example], alone[name].mean().item(), rtol=1e-5)


def test_one_crop_is_answered_as_it_is(cache_of):
    net, of = model(), clips(cache_of)
    one = predict(net, prepare, EvaluationBatches(of, {}, 2, EvenCrops(Crop(20))))
    several = predict(net, prepare, EvaluationBatches(of, {}, 2, EvenCrops(Crop(20), 2)))
    assert one["age"].shape == several["age"].shape == (4,)
    assert not np.allclose(one["age"], several["age"])


def test_embeddings_keep_the_crops_apart(cache_of):
    net, of = model(), clips(cache_of)
    found = embeddings(net.encoder, prepare, EvaluationBatches(of, {}, 3, EvenCrops(Crop(20), 2)))
    assert found.shape == (4, 2, 3)
    assert found.dtype == np.float32
    alone = embeddings(net.encoder, prepare, EvaluationBatches(of, {}, 3, EvenCrops(Crop(20))))
    np.testing.assert_allclose(found[:, 0], alone[:, 0], rtol=1e-5)
    assert not np.allclose(found[0, 0], found[0, 1])
