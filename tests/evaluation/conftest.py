"""Made-up predictions and records of the shape that a training run writes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agegender.evaluation.metrics import group_columns
from agegender.evaluation.records import Run
from agegender.labels import ADIENCE_8


def made_up_predictions(num_subjects=40, examples_each=5, fold=0, first_example=0, seed=0, skill=2.0):
    """Predictions of a model that is better the higher ``skill``; subjects differ in how easy they are."""
    generator = np.random.default_rng([seed, fold])
    n = num_subjects * examples_each
    subject = np.repeat(np.arange(num_subjects), examples_each)
    group = generator.integers(0, 8, num_subjects)[subject]
    female = (generator.random(num_subjects) < 0.5)[subject]
    ease = generator.normal(skill, 1.5, num_subjects)[subject]
    logits = generator.normal(size=(n, 8)) + ease[:, None] * np.eye(8)[group]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p_female = 1 / (1 + np.exp(-(generator.normal(size=n) + ease * (2 * female - 1))))
    midpoints = np.array(ADIENCE_8.midpoints)
    table = pd.DataFrame(
        {
            "example": np.arange(first_example, first_example + n),
            "subject": [f"album{fold}_person{number}" for number in subject],
            "fold": np.full(n, fold),
            "corpus": "made-up",
            "true_age": midpoints[group],
            "true_group": pd.array(group, dtype="Int64"),
            "true_gender": np.where(female, "female", "male"),
            "age": probabilities @ midpoints,
            "p_female": p_female.astype(np.float32),
        }
    )
    for column in range(8):
        table[f"p_group_{column}"] = probabilities[:, column].astype(np.float32)
    return table


def made_up_record(fold=0, seed=0, model="1-1", variant="as_intended"):
    return {
        "schema": 1,
        "preset": "miniature",
        "paper": "lmtcnn",
        "run": f"{model}-{variant}-fold{fold}-seed{seed}",
        "parameters": {"data": "/home/someone/packs/made-up", "fold": fold, "learning_rate": 0.01},
        "seed": seed,
        "fold": fold,
        "variant": variant,
        "model": model,
        "scheme": "adience-8",
        "selection": "last step",
        "selected_on_test": False,
        "commit": "0" * 40,
        "manifest_hash": "abc",
        "manifest": {"examples": 400},
        "versions": {"numpy": "2"},
        "device": "cpu",
        "seconds": 1.5,
        "peak_memory_mb": None,
        "num_parameters": 10,
        "history": [
            {"step": step, "epoch": step, "train_loss": 2 / step, "validation_loss": 1 + 1 / step} for step in (1, 2, 3)
        ],
        "reduced": None,
    }


def without_age(runs):
    return [
        Run(run.folder, run.record | {"scheme": None}, run.predictions.drop(columns=group_columns(run.predictions)))
        for run in runs
    ]


def together(runs):
    return pd.concat([run.predictions for run in runs], ignore_index=True)


@pytest.fixture
def predictions():
    return made_up_predictions()


@pytest.fixture
def record():
    return made_up_record()


@pytest.fixture
def make_predictions():
    return made_up_predictions


@pytest.fixture
def make_record():
    return made_up_record


@pytest.fixture
def make_runs(make_predictions, make_record):
    def runs(model="both", folds=(0, 1), seeds=(0,), skill=2.0, variant="as_intended", **changed):
        made = []
        for fold in folds:
            for seed in seeds:
                table = make_predictions(num_subjects=20, fold=fold, first_example=1000 * fold, skill=skill)
                if seed:  # another seed answers differently about the same people
                    table["p_female"] = table["p_female"].to_numpy()[::-1]
                record = make_record(fold, seed, model, variant) | {"selected_step": 2} | changed
                made.append(Run(Path("runs"), record, table))
        return made

    return runs
