"""What makes a training this one and no other: a checkpoint of a run that differs in any of it is not gone on from."""

import hashlib
from dataclasses import asdict
from typing import Any

from torch.utils.data import Dataset

from agegender.data.batches import Batch
from agegender.models.multitask import MultiTaskModel
from agegender.training.config import TrainingConfig
from agegender.training.prediction import PRECISION, Prepare
from agegender.training.provenance import weights_hash
from agegender.training.settings import plain, settings_of_heads, structure_of


def identity_of(
    model: MultiTaskModel,
    prepare: Prepare,
    training: Dataset,
    validation: Dataset,
    config: TrainingConfig,
    recipe: object = None,
) -> dict[str, Any]:
    """Return, by name, everything that the weights at the end of a training depend on, as what JSON can hold.

    ``model`` is untrained. Of ``prepare`` only the shape of what it makes of the first batch is seen; what else it does
    stands in the ``recipe`` (any dataclass of decisions, or ``None``).
    """
    first: Batch = validation[0]
    return {
        **asdict(config),
        "validation_precision": PRECISION,
        "training_faces": getattr(training, "fingerprint", None),
        "validation_part": getattr(validation, "fingerprint", None),
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "heads": settings_of_heads(model),
        "structure": hashlib.sha256(structure_of(model).encode()).hexdigest()[:16],
        "initial_weights": weights_hash(model),
        "input_shape": list(prepare({name: values[:1] for name, values in first.items()}).shape[1:]),
        "recipe": plain(recipe),
    }
