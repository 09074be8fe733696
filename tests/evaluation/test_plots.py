from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

from agegender.evaluation import plots
from agegender.evaluation.calibration import reliability_diagram
from agegender.evaluation.intervals import by_group
from agegender.evaluation.metrics import EXACT, MAE
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
            "dataset": "adience",
            "metric": "exact",
            "value": [44.0, 42.0, 30.0],
            "low": [43.0, np.nan, 29.0],
            "high": [45.0, np.nan, 31.0],
        }
    )


@pytest.fixture
def curves(make_record):
    folds = {fold: make_record(fold)["history"] for fold in (0, 1)}
    return {f"resnet18-{name}-112, as intended": folds for name in ("l1", "ce", "coral", "meanvariance")}


@pytest.fixture
def differences():
    return pd.DataFrame(
        {
            "comparison": ["both - age,\nas intended", "both - gender"],
            "metric": "exact",
            "difference": [1.5, -0.2],
            "low": [0.4, -1.0],
            "high": [2.6, 0.6],
            "excludes_zero": [True, False],
            "fold_0": [1.0, -0.5],
            "fold_1": [2.0, np.nan],
        }
    )


@pytest.fixture
def every_figure(histories, curves, systems, differences, predictions):
    errors = by_group({"net": predictions, "other": predictions}, "true_group", [MAE])
    return [
        *plots.curve_grid({"net": histories}, "loss"),
        *plots.curve_grid(curves, "loss"),
        plots.confusion_matrix(predictions, ADIENCE_8.labels),
        plots.interval_dots(systems, EXACT),
        plots.difference_dots(differences, EXACT),
        plots.groups_by_gender(predictions["true_group"], predictions["true_gender"], ADIENCE_8.labels),
        reliability_diagram({"net": (np.array([0.2, 0.7, 0.9]), np.array([0, 1, 1]))}, "age group"),
        plots.by_group_dots(errors, MAE, ADIENCE_8.labels),
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
    assert plots.interval_dots(systems, EXACT, ax) is ax


def thick(ax):
    return {line.get_label(): line for line in ax.get_lines() if line.get_linewidth() > 2}


def test_the_thick_curve_is_the_mean_of_the_thin_ones(histories):
    [ax] = plots.curve_grid({"net": histories}, "loss")
    thin = [line for line in ax.get_lines() if to_hex(line.get_color()) == plots.BLUE.lower()][:-1]
    assert len(thin) == 2
    assert_allclose(thick(ax)["train"].get_ydata(), np.mean([line.get_ydata() for line in thin], axis=0))
    assert [line.get_linestyle() for line in thick(ax).values()] == ["-", "--"]


def test_an_epoch_that_one_fold_has_not_reached_is_not_in_the_mean(histories):
    histories[1] = histories[1][:2]
    [ax] = plots.curve_grid({"net": histories}, "loss")
    assert [len(line.get_xdata()) for line in thick(ax).values()] == [2, 2]


def test_the_units_of_a_curve_stand_on_its_axis():
    [ax] = plots.curve_grid({"net": {0: [{"epoch": 1, "validation_mae": 5.0}]}}, "mae", "years")
    assert ax.get_ylabel() == "mae (years)"


def test_shares_of_a_confusion_matrix_are_those_of_its_rows():
    columns = {"true_group": [0] * 4, "p_group_0": [0.9, 0.8, 0.7, 0.1], "p_group_1": [0.1, 0.2, 0.3, 0.9]}
    ax = plots.confusion_matrix(pd.DataFrame(columns), ["young", "old"])
    assert [text.get_text() for text in ax.texts] == ["75 %\n3", "25 %\n1", "", ""]
    assert_allclose(np.asarray(ax.collections[0].get_array()), [[0.75, 0.25], [0, 0]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["young  (n = 4)", "old  (n = 0)"]


def test_the_first_system_stands_at_the_top_with_its_own_marker(systems):
    ax = plots.interval_dots(systems, EXACT)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["net", "paper", "constant"]
    markers = [line.get_marker() for line in ax.get_lines() if line.get_marker() != "None"]
    assert len(set(markers)) == 3


@pytest.mark.parametrize(("metric", "best"), [(EXACT, 35.0), (MAE, 30.0)], ids=["exact", "mae"])
def test_the_dotted_line_is_the_best_baseline_and_not_the_worst(systems, metric, best):
    table = pd.concat([systems, systems.iloc[[2]].assign(value=35.0)]).assign(metric=metric.name)
    dotted = [line for line in plots.interval_dots(table, metric).get_lines() if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in dotted] == [best]


def test_a_name_has_its_dataset_where_there_are_several_and_not_its_paper(systems):
    def names(table):
        return [label.get_text().replace("\n", " ") for label in plots.interval_dots(table, EXACT).get_yticklabels()]

    assert names(systems.assign(paper="net", system=["net 1-1", "paper", "constant"])) == ["1-1", "paper", "constant"]
    assert names(systems.assign(dataset=["fairface", "adience", "fairface"])) == [
        "fairface: net",
        "adience: paper",
        "fairface: constant",
    ]


def test_bars_count_women_and_men_and_the_axis_says_how_many_are_left_out():
    ax = plots.groups_by_gender([0, 0, 1, None, 1], ["female", "male", "male", "male", None], ["young", "old"])
    women, men = ({round(bar.get_center()[0]): bar.get_height() for bar in bars} for bars in ax.containers)
    assert (women, men) == ({0: 1}, {0: 1, 1: 1})
    assert "2 examples without both labels" in ax.get_xlabel()


def test_counts_stand_under_the_groups(predictions):
    missing = predictions.assign(true_group=predictions["true_group"].mask(predictions.index < 9))
    table = by_group({"net": predictions, "other": missing}, "true_group", [MAE])
    ax = plots.by_group_dots(table, MAE, ADIENCE_8.labels)
    counts = predictions["true_group"].value_counts().reindex(range(8), fill_value=0)
    assert [tick.get_text().split("n = ")[1] for tick in ax.get_xticklabels()] == [f"{count:,}" for count in counts]


def test_the_counts_of_many_groups_stand_below_them_without_touching():
    labels = ["0-2", "3-9", *[f"{low}-{low + 9}" for low in range(10, 80, 10)]]
    values = {"value": 5.0, "low": 4.0, "high": 6.0, "num_examples": 1460}
    table = pd.DataFrame({"system": "net", "metric": "mae", "group": range(9)} | values)
    ax = plots.by_group_dots(table, MAE, labels)
    ax.figure.canvas.draw()
    boxes = [tick.get_window_extent() for tick in ax.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert "number of examples" in ax.get_xlabel()


def test_refuses_what_it_cannot_draw(systems, histories, predictions):
    with pytest.raises(ValueError, match="no history holds train_mae or validation_mae"):
        plots.curve_grid({"net": histories}, "mae")
    with pytest.raises(ValueError, match="probabilities for 8 groups and 3 labels"):
        plots.confusion_matrix(predictions, ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"one of ours, published, baseline, got \['theirs'\]"):
        plots.interval_dots(systems.assign(origin="theirs"), EXACT)


def test_a_table_without_the_metric_says_that_there_is_nothing_to_draw(systems, differences):
    for ax in (plots.interval_dots(systems, MAE), plots.difference_dots(differences, MAE)):
        assert [text.get_text() for text in ax.texts] == ["nothing to draw"]
    assert not plots.interval_dots(systems, EXACT).texts


def test_every_system_with_the_curve_has_a_panel_and_one_legend_explains_them(curves):
    axes = plots.curve_grid(curves | {"without": {0: [{"epoch": 1, "other": 2.0}]}}, "loss")
    assert [ax.get_title().replace("\n", " ") for ax in axes] == list(curves)
    assert all(ax.get_legend() is None for ax in axes)
    [legend] = axes[0].figure.legends
    assert [text.get_text().split(" ")[0] for text in legend.get_texts()] == ["train", "validation"]


def test_a_shared_scale_is_shared_and_losses_of_different_kinds_keep_their_own(curves):
    larger = [{"epoch": 1, "validation_loss": 50.0}, {"epoch": 2, "validation_loss": 70.0}]
    systems = curves | {"squared": {0: larger}}
    shared, own = (plots.curve_grid(systems, "loss", shares_scale=shares) for shares in (True, False))
    assert len({ax.get_ylim() for ax in shared}) == 1
    assert own[0].get_ylim()[1] < 10 < own[-1].get_ylim()[1]


def test_a_difference_is_filled_where_its_interval_excludes_0_and_the_runs_are_enough(differences):
    ax = plots.difference_dots(differences, EXACT)
    dots = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert [(to_hex(dot.get_markerfacecolor()), dot.get_xdata().tolist()) for dot in dots] == [
        (plots.BLUE.lower(), [1.5]),
        ("#ffffff", [-0.2]),
    ]
    too_few = plots.difference_dots(differences.assign(excludes_zero=False), EXACT)
    [hollow] = [dot for dot in too_few.get_lines() if dot.get_marker() == "o" and len(dot.get_xdata())]
    assert (to_hex(hollow.get_markerfacecolor()), hollow.get_xdata().tolist()) == ("#ffffff", [1.5, -0.2])
    assert "points of %" in ax.get_xlabel()
    assert "(years)" in plots.difference_dots(differences.assign(metric="mae"), MAE).get_xlabel()


def test_each_fold_is_a_tick_below_its_line_and_the_first_comparison_stands_at_the_top(differences):
    ax = plots.difference_dots(differences, EXACT)
    ticks = [line for line in ax.get_lines() if line.get_marker() == "|"]
    assert [tick.get_xdata()[0] for tick in ticks] == [1.0, 2.0]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == differences["comparison"].tolist()


def test_a_system_that_diverged_before_it_was_validated_has_an_empty_panel_with_its_name(curves):
    name = "pretrained, as published, diverged at step 7"
    drawn = plots.curve_grid({**dict(list(curves.items())[:1]), name: {0: []}}, "loss")
    assert len(drawn) == 2
    assert drawn[1].get_title().replace("\n", " ") == name
    assert not drawn[1].get_lines()
    assert [text.get_text() for text in drawn[1].texts] == ["nothing to draw"]


def test_nothing_but_systems_that_diverged_at_once_can_be_drawn():
    assert len(plots.curve_grid({"diverged at step 7": {0: []}}, "mae_age", shares_scale=True)) == 1


@pytest.mark.parametrize(("top", "scale"), [(50.0, "linear"), (5000.0, "log")])
def test_one_curve_that_ran_away_does_not_flatten_the_others(top, scale):
    systems = {
        name: {0: [{"epoch": epoch, "validation_mae_age": value} for epoch, value in ((1, 10.0), (2, high))]}
        for name, high in (("calm", 9.0), ("away", top))
    }
    assert {ax.get_yscale() for ax in plots.curve_grid(systems, "mae_age", shares_scale=True)} == {scale}
