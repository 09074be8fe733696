"""The ``TrainingConfig`` that each notebook's own lines make for 1,000 training examples, seen ten times."""

import pandas as pd

from agegender.training.commonvoice_recipes import COMMONVOICE_RECIPES
from agegender.training.timit_recipes import TIMIT_RECIPES
from tests.notebook_code import values_of

TRAIN = range(1000)


def commonvoice(variant, net_name="cnn"):
    recipe = COMMONVOICE_RECIPES[variant]
    given = {"recipe": recipe, "parts": {"train": TRAIN}, "batch_size": recipe.batch_size, "net_name": net_name}
    given |= {"num_epochs": 10, "seed": 0}
    return values_of("commonvoice/3_train", ("per_epoch", "config"), given)["config"]


def pretraining_of_timit():
    given = {"learnt": TRAIN, "size": 500, "optimizer": "sgd", "learning_rate": 0.01, "num_epochs": 10, "seed": 0}
    return values_of("timit/2_pretrain", ("an_epoch", "config"), given)["config"]


def timit(variant):
    examples = pd.DataFrame({"subject": [str(row // 10) for row in TRAIN]})
    given = {"recipe": TIMIT_RECIPES[variant], "examples": examples, "train": list(TRAIN), "most": 400, "size": 24}
    given |= {"num_epochs": 10, "seed": 0}
    return values_of("timit/3_train", ("an_epoch", "config"), given)["config"]
