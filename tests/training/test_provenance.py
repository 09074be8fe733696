import numpy as np
import pandas as pd
import torch

from agegender.training.provenance import predictions_hash, weights_hash
from tests.training.small_run import small_model


def test_the_hash_of_weights_changes_with_one_of_them_and_not_with_their_layout():
    model = small_model()
    before = weights_hash(model)
    assert weights_hash(model.to(memory_format=torch.channels_last)) == before
    model.encoder.norm.running_var[0] += 1
    assert weights_hash(model) != before


def test_the_hash_of_predictions_changes_with_an_answer_and_not_with_the_name_of_a_subject():
    table = pd.DataFrame({"example": [0, 1], "subject": ["x", "y"], "age": [20.0, np.nan]})
    before = predictions_hash(table)
    assert predictions_hash(table.assign(subject=["17", "4"])) == before
    assert predictions_hash(table.assign(age=[20.5, np.nan])) != before
    assert predictions_hash(table.rename(columns={"age": "years"})) != before
