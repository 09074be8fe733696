"""Whether a run did what its recipe says: its record holds what batches and heads really did, read from themselves."""

from dataclasses import replace

from agegender.pipelines import commonvoice, imdb, levihassner, lmtcnn, timit
from agegender.pipelines.recipes import with_overrides
from agegender.training.config import precision_here
from agegender.training.settings import plain

RECIPES = {
    "lmtcnn": lmtcnn.RECIPES,
    "levihassner": levihassner.RECIPES,
    "imdb": imdb.RECIPES,
    "timit": timit.RECIPES,
    "commonvoice": commonvoice.RECIPES,
}


OF_ALL = {"in bfloat16", "batch statistics, 8 at once", "batch statistics, 32 at once"}
OF_FACES = {"mirrored too", "augmented as in training", "blue for red", "pixels from 0 to 1"}
OTHER_TESTS = {
    "lmtcnn": OF_ALL | OF_FACES | {"centre crop", "squashed", "ten crops"},
    "levihassner": OF_FACES | {"in bfloat16", "centre crop", "squashed", "ten crops"},
    "imdb": OF_ALL | OF_FACES,
    "timit": {"in bfloat16", "one crop", "ten crops"},
    "commonvoice": {"in bfloat16", "one crop", "ten crops"},
}
"""The questions that every net of a paper answers; where it has layers that allow them, there are more."""


def faults_of(record):
    """Return in what the run of a record did something else than the recipe of its paper and variant says."""
    recipe = replace(RECIPES[record["paper"]][record["variant"]], **_said_by_name(record["model"].split("-")))
    recipe = with_overrides(recipe, record["parameters"]["overrides"])
    shared = record["overlaps"]["train and test"]["subjects"] > 0
    an_epoch = max(1, record["parts"]["train"]["num_examples"] // record["batches"]["train"]["batch_size"])
    found = {
        "recipe": (record["recipe"], plain(recipe)),
        "selected_on_test": (record["selected_on_test"], recipe.protocol.selects_on_test),
        "precision": (record["precision"]["trained"], precision_here(recipe.precision)),
        "steps": (record["training"]["num_steps"], record["parameters"]["num_epochs"] * an_epoch),
        "trained on subjects of the test": (shared, recipe.protocol.shares_subjects == "all parts"),
        "other tests": (set(record["other_tests"]) >= OTHER_TESTS[record["paper"]], True),
        "the last step is tested": (bool(record["last_predictions_hash"]), record["diverged_at_step"] is None),
        **OF_PAPER[record["paper"]](record, recipe),
    }
    return [f"{name}: {did!r}, not {expected!r}" for name, (did, expected) in found.items() if did != expected]


def _said_by_name(options):
    """What the name of a model of voices decides."""
    decisions = {
        "byclip": {"split": "clip"},
        "equal": {"has_equal_subjects": True},
        "lds": {"has_lds": True},
        "focal": {"gamma": 1.0},
        "mel": {"uses_log": False},
    }
    return {name: value for option in options for name, value in decisions.get(option, {}).items()}


def _labels(record):
    """How many examples of all parts bear each label as the corpus spells it."""
    counts = {}
    for part in record["parts"].values():
        for labels in part["labels"].values():
            for label, number in labels.get("age_label", {}).items():
                counts[label] = counts.get(label, 0) + number
    return counts


def _of_lmtcnn(record, recipe):
    batches, labels = record["batches"], _labels(record)
    crop_px = 227 if recipe.test_geometry == "centre" else None  # the whole face is squashed on its way to the net
    evaluated = {"stored_px": 256, "crop_px": crop_px, "augmentation": None}
    return {
        "(25, 23) is in a part": ("(25, 23)" in labels, recipe.repairs_25_23),
        "augmentation": (batches["train"]["augmentation"], plain(recipe.augmentation)),
        "tested faces": ({name: batches["test"][name] for name in evaluated}, evaluated),
        "validated faces": ({name: batches["validation"][name] for name in evaluated}, evaluated),
        "selects best": (record["training"]["selects_best"], recipe.selects_best),
        "red": (record["red_channel"], 0),
    }


def _of_levi_hassner(record, recipe):
    batches, labels = record["batches"], _labels(record)
    return {
        "(25, 23) is in a part": ("(25, 23)" in labels, recipe.repairs_25_23),
        "(8, 12) is in a part": ("(8, 12)" in labels, not recipe.misspells_8_12),
        "augmentation": (batches["train"]["augmentation"], plain(recipe.augmentation)),
        "test augmentation": (batches["test"]["augmentation"], plain(recipe.test_augmentation)),
        "validation augmentation": (batches["validation"]["augmentation"], plain(recipe.test_augmentation)),
        "batch size": (batches["train"]["batch_size"], recipe.batch_size),
        "red": (record["red_channel"], 0),
    }


def _of_imdb(record, recipe):
    twice = {
        task: head["loss"] == "double_softmax_cross_entropy"
        for task, head in record["heads"].items()
        if head["loss"].endswith("cross_entropy")
    }
    most = max(
        sum(labels["age"].get(age, 0) for part in record["parts"].values() for labels in part["labels"].values())
        for labels in record["parts"]["train"]["labels"].values()
        for age in labels["age"]
    )
    return {
        "double softmax": (twice, dict.fromkeys(twice, recipe.softmax_before_loss)),
        "gender has a softmax to tell": ("gender" in twice, True),
        "red": (record["red_channel"], 2 if recipe.channel_order == "bgr" else 0),
        "too many of an age": (most > (1 + recipe.protocol.selects_on_test) * recipe.most_per_age, False),
        "augmented in the test": (record["batches"]["test"]["augmentation"], None),
    }


def _of_timit(record, recipe):
    age, batches = record["heads"]["age"], record["batches"]
    found = {
        "unit": (age["unit_years"], recipe.unit_years),
        "age weight": (age["loss_weight"], recipe.age_weight),
        "crops in the test": (batches["test"]["num_crops"], recipe.num_test_crops),
        "crops in validation": (batches["validation"]["num_crops"], 1),
        "focal": (age["gamma"] == 1.0, "focal" in record["model"]),
        "lds": ("year_weights" in age, "lds" in record["model"]),
    }
    if "year_weights" in age:
        is_flat = age["year_weights"]["most"] - age["year_weights"]["least"] < 1e-6
        found["all ages weigh alike"] = (is_flat, recipe.unit_years == 100)
    return found


def _of_commonvoice(record, recipe):
    drawn = {name: batches["num_draws"] > 0 for name, batches in record["batches"].items()}
    is_heard_as_spectrogram = record["model"].partition("-")[0] not in ("tcn1", "tcn2")
    distorted = recipe.augments_evaluation and is_heard_as_spectrogram
    expected = {"train": is_heard_as_spectrogram, "validation": distorted, "test": distorted}
    return {"distorted parts": (drawn, expected)}


OF_PAPER = {
    "lmtcnn": _of_lmtcnn,
    "levihassner": _of_levi_hassner,
    "imdb": _of_imdb,
    "timit": _of_timit,
    "commonvoice": _of_commonvoice,
}
