from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

from agegender.evaluation import plots
from agegender.evaluation.calibration import reliability
from agegender.evaluation.scores import MAE
from agegender.evaluation.tables import by_group
from agegender.labels import ADIENCE_8

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def histories(make_record):
    first, second = make_record(0)["history"], make_record(1)["history"]
    return {0: first, 1: [entry | {"train_loss": entry["train_loss"] + 1} for entry in second]}


@pytest.fixture
def systems():
    return pd.DataFrame(
        {
            "system": ["net", "paper", "constant"],
            "origin": ["ours", "published", "baseline"],
            "value": [44.0, 42.0, 30.0],
            "low": [43.0, np.nan, 29.0],
            "high": [45.0, np.nan, 31.0],
        }
    )


@pytest.fixture
def every_figure(histories, systems, predictions):
    bins = reliability([0.2, 0.7, 0.9], [0, 1, 1], num_bins=5)
    errors = by_group(predictions, "true_group", [MAE], replicates=10)
    return [
        plots.learning_curves(histories),
        plots.confusion_matrix(np.array([[3, 1], [0, 4]]), ["male", "female"]),
        plots.interval_dots(systems, "age group exact", "%"),
        plots.groups_by_gender(predictions["true_group"], predictions["true_gender"], ADIENCE_8.labels),
        plots.reliability_diagram({"net": bins}, "age group"),
        plots.by_group_dots({"net": errors, "other": errors}, ADIENCE_8.labels, "age MAE", "years"),
    ]


def test_no_text_is_smaller_than_ten_points_and_every_axis_says_what_it_shows(every_figure):
    for ax in every_figure:
        ax.figure.canvas.draw()
        texts = [text for text in ax.findobj(mpl.text.Text) if text.get_text() and text.get_visible()]
        assert min(text.get_fontsize() for text in texts) >= 10
        assert ax.get_xlabel()
        assert ax.get_ylabel() or ax.get_yticklabels()


def test_every_text_lies_inside_a_figure_of_book_width(every_figure):
    for ax in every_figure:
        figure = ax.figure
        figure.canvas.draw()
        assert figure.get_size_inches()[0] == plots.BOOK_WIDTH_IN
        box = ax.get_tightbbox()
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y0 >= -1
        assert box.y1 <= figure.bbox.height + 1


def test_a_figure_is_drawn_on_the_axes_that_it_is_given(systems):
    _, ax = plt.subplots()
    assert plots.interval_dots(systems, "exact", "%", ax=ax) is ax


def test_the_thick_curve_is_the_mean_of_the_thin_ones(histories):
    lines = plots.learning_curves(histories).get_lines()
    train = [line for line in lines if to_hex(line.get_color()) == plots.BLUE.lower()]
    thin, thick = train[:-1], train[-1]
    assert len(thin) == 2
    assert_allclose(thick.get_ydata(), np.mean([line.get_ydata() for line in thin], axis=0))
    assert thick.get_label() == "train, mean of 2 folds"


def test_an_epoch_that_one_fold_has_not_reached_is_not_in_the_mean(histories):
    histories[1] = histories[1][:2]
    means = [line for line in plots.learning_curves(histories).get_lines() if "mean" in line.get_label()]
    assert [len(line.get_xdata()) for line in means] == [2, 2]


def test_the_units_of_a_curve_stand_on_its_axis(histories):
    renamed = {0: [{"epoch": 1, "validation_mae": 5.0}]}
    assert plots.learning_curves(renamed, "mae", "years").get_ylabel() == "mae (years)"


def test_shares_of_a_confusion_matrix_are_those_of_its_rows():
    ax = plots.confusion_matrix(np.array([[3, 1], [0, 0]]), ["male", "female"])
    assert [text.get_text() for text in ax.texts] == ["75 %\n3", "25 %\n1", "", ""]
    assert_allclose(np.asarray(ax.collections[0].get_array()), [[0.75, 0.25], [0, 0]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["male  (n = 4)", "female  (n = 0)"]


def test_the_first_system_stands_at_the_top_with_its_own_marker(systems):
    ax = plots.interval_dots(systems, "exact", "%")
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["net", "paper", "constant"]
    markers = [line.get_marker() for line in ax.get_lines() if line.get_marker() != "None"]
    assert len(set(markers)) == 3


@pytest.mark.parametrize(("unit", "best"), [("%", 35.0), ("years", 30.0)])
def test_the_dotted_line_is_the_best_baseline_and_not_the_worst(systems, unit, best):
    table = pd.concat([systems, systems.iloc[[2]].assign(value=35.0)])
    dotted = [line for line in plots.interval_dots(table, "exact", unit).get_lines() if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in dotted] == [best]


def test_bars_count_women_and_men_and_the_axis_says_how_many_are_left_out():
    ax = plots.groups_by_gender([0, 0, 1, None, 1], ["female", "male", "male", "male", None], ["young", "old"])
    women, men = ({round(bar.get_center()[0]): bar.get_height() for bar in bars} for bars in ax.containers)
    assert (women, men) == ({0: 1}, {0: 1, 1: 1})
    assert "2 examples without both labels" in ax.get_xlabel()


def test_empty_bins_are_not_drawn():
    ax = plots.reliability_diagram({"net": reliability([0.9, 0.9], [1, 0], num_bins=10)}, "gender")
    assert len(ax.collections[0].get_offsets()) == 1


def test_counts_stand_under_the_groups(predictions):
    table = by_group(predictions, "true_group", [MAE], replicates=10)
    ax = plots.by_group_dots({"net": table}, ADIENCE_8.labels, "age MAE", "years")
    counts = predictions["true_group"].value_counts().reindex(range(8), fill_value=0)
    assert [tick.get_text().split("n = ")[1] for tick in ax.get_xticklabels()] == [f"{count:,}" for count in counts]


def test_the_counts_of_many_groups_stand_below_them_without_touching():
    labels = ["0-2", "3-9", *[f"{low}-{low + 9}" for low in range(10, 80, 10)]]
    table = pd.DataFrame({"group": range(9), "value": 5.0, "low": 4.0, "high": 6.0, "num_examples": 1460})
    ax = plots.by_group_dots({"net": table}, labels, "age MAE", "years")
    ax.figure.canvas.draw()
    boxes = [tick.get_window_extent() for tick in ax.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert "number of examples" in ax.get_xlabel()


def test_refuses_what_it_cannot_draw(systems):
    with pytest.raises(ValueError, match="no history holds train_mae or validation_mae"):
        plots.learning_curves({0: [{"epoch": 1, "train_loss": 1.0}]}, "mae")
    with pytest.raises(ValueError, match=r"shape \(2, 2\), expected \(3, 3\)"):
        plots.confusion_matrix(np.eye(2, dtype=int), ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"one of ours, published, baseline, got \['theirs'\]"):
        plots.interval_dots(systems.assign(origin="theirs"), "exact", "%")
