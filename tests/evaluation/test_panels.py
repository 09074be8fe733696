import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from agegender.evaluation import panels, plots

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def curves(make_record):
    folds = {fold: make_record(fold)["history"] for fold in (0, 1)}
    return {f"resnet18-{name}-112, as intended": folds for name in ("l1", "ce", "coral", "meanvariance")}


@pytest.fixture
def differences():
    return pd.DataFrame(
        {
            "comparison": ["both - age,\nas intended", "both - gender"],
            "difference": [1.5, -0.2],
            "low": [0.4, -1.0],
            "high": [2.6, 0.6],
            "fold_0": [1.0, -0.5],
            "fold_1": [2.0, np.nan],
        }
    )


@pytest.fixture
def every_figure(curves, differences):
    return [
        panels.curve_grid(curves, "loss"),
        panels.curve_grid(dict(list(curves.items())[:1]), "loss"),
        [panels.difference_dots(differences, "age group exact", "%")],
    ]


def test_no_text_is_smaller_than_ten_points_and_all_of_it_lies_inside_the_figure(every_figure):
    for axes in every_figure:
        figure = axes[0].figure
        figure.canvas.draw()
        assert figure.get_size_inches()[0] == plots.BOOK_WIDTH_IN
        for ax in axes:
            texts = [text for text in ax.findobj(mpl.text.Text) if text.get_text() and text.get_visible()]
            assert min(text.get_fontsize() for text in texts) >= 10
            box = ax.get_tightbbox()
            assert min(box.x0, box.y0) >= -1
            assert box.x1 <= figure.bbox.width + 1
            assert box.y1 <= figure.bbox.height + 1
            assert ax.get_xlabel()


def test_every_system_with_the_curve_has_a_panel_and_one_legend_explains_them(curves):
    axes = panels.curve_grid(curves | {"without": {0: [{"epoch": 1, "other": 2.0}]}}, "loss")
    assert [ax.get_title().replace("\n", " ") for ax in axes] == list(curves)
    assert all(ax.get_legend() is None for ax in axes)
    [legend] = axes[0].figure.legends
    assert [text.get_text().split(" ")[0] for text in legend.get_texts()] == ["train", "validation"]


def test_a_shared_scale_is_shared_and_losses_of_different_kinds_keep_their_own(curves):
    larger = [{"epoch": 1, "validation_loss": 50.0}, {"epoch": 2, "validation_loss": 70.0}]
    systems = curves | {"squared": {0: larger}}
    shared, own = (panels.curve_grid(systems, "loss", shares_scale=shares) for shares in (True, False))
    assert len({ax.get_ylim() for ax in shared}) == 1
    assert own[0].get_ylim()[1] < 10 < own[-1].get_ylim()[1]


def test_a_difference_is_filled_where_its_interval_leaves_out_0(differences):
    ax = panels.difference_dots(differences, "age group exact", "%")
    dots = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert [(to_hex(dot.get_markerfacecolor()), dot.get_xdata().tolist()) for dot in dots] == [
        (plots.BLUE.lower(), [1.5]),
        ("#ffffff", [-0.2]),
    ]
    too_few = panels.difference_dots(differences.assign(told_from_none=False), "age group exact", "%")
    [hollow] = [dot for dot in too_few.get_lines() if dot.get_marker() == "o" and len(dot.get_xdata())]
    assert (to_hex(hollow.get_markerfacecolor()), hollow.get_xdata().tolist()) == ("#ffffff", [1.5, -0.2])
    assert "points of %" in ax.get_xlabel()
    assert "(years)" in panels.difference_dots(differences, "age MAE", "years").get_xlabel()


def test_each_fold_is_a_tick_below_its_line_and_the_first_comparison_stands_at_the_top(differences):
    ax = panels.difference_dots(differences, "exact", "%")
    ticks = [line for line in ax.get_lines() if line.get_marker() == "|"]
    assert [tick.get_xdata()[0] for tick in ticks] == [1.0, 2.0]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == differences["comparison"].tolist()


def test_refuses_what_it_cannot_draw(curves, differences):
    with pytest.raises(ValueError, match="no history holds train_mae or validation_mae"):
        panels.curve_grid(curves, "mae")
    with pytest.raises(ValueError, match="no difference"):
        panels.difference_dots(differences.iloc[:0], "exact", "%")


def test_a_system_that_diverged_before_it_was_validated_has_an_empty_panel_with_its_name(curves):
    name = "pretrained, as published, diverged at step 7"
    drawn = panels.curve_grid({**dict(list(curves.items())[:1]), name: {0: []}}, "loss")
    assert len(drawn) == 2
    assert drawn[1].get_title().replace("\n", " ") == name
    assert not drawn[1].get_lines()
    assert [text.get_text() for text in drawn[1].texts] == ["nothing to draw"]


def test_nothing_but_systems_that_diverged_at_once_can_be_drawn():
    assert len(panels.curve_grid({"diverged at step 7": {0: []}}, "mae_age", shares_scale=True)) == 1


@pytest.mark.parametrize(("top", "scale"), [(50.0, "linear"), (5000.0, "log")])
def test_one_curve_that_ran_away_does_not_flatten_the_others(top, scale):
    systems = {
        name: {0: [{"epoch": epoch, "validation_mae_age": value} for epoch, value in ((1, 10.0), (2, high))]}
        for name, high in (("calm", 9.0), ("away", top))
    }
    assert {ax.get_yscale() for ax in panels.curve_grid(systems, "mae_age", shares_scale=True)} == {scale}
