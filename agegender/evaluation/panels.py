"""The figures that set systems beside each other: their curves in panels, and their differences.

Like `plots`: data in, matplotlib Axes out, nothing is read from or written to a file.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from agegender.evaluation.plots import BLUE, BOOK_WIDTH_IN, FONT_PT, GREY, ORANGE, learning_curves, plain_axes


def curve_grid(
    systems: Mapping[str, Mapping[int, Sequence[Mapping[str, float]]]],
    name: str,
    unit: str = "",
    shares_scale: bool = False,
) -> list[Axes]:
    """Draw the `learning_curves` of several systems in panels of one figure, two or three side by side.

    ``systems[title]`` holds the histories of its folds; those without ``name`` get no panel, and those that are all
    empty (of runs that diverged before a first validation) an empty one. ``shares_scale`` gives all panels one vertical
    scale, a logarithmic one where values are a hundredfold apart: for a metric, not for losses of different kinds. One
    legend explains all panels. Raises ``ValueError`` when no system has ``name``.
    """
    keys = {f"train_{name}", f"validation_{name}"}
    drawable = {title for title, folds in systems.items() if any(keys & set(h[-1]) for h in folds.values() if h)}
    having = {title: folds for title, folds in systems.items() if title in drawable or not any(folds.values())}
    if not having:
        raise ValueError(f"no history holds train_{name} or validation_{name}")
    columns = 2 if len(having) in (2, 4) else min(3, len(having))
    rows = -(-len(having) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(BOOK_WIDTH_IN, 0.8 + 1.9 * rows),
        layout="constrained",
        sharey=shares_scale,
        squeeze=False,
    )
    for ax, (title, folds) in zip(axes.flat, having.items(), strict=False):
        ax.set_title(fill(title, 24, break_on_hyphens=False, break_long_words=False), fontsize=FONT_PT)
        if title not in drawable:
            plain_axes(ax, 0).text(0.5, 0.5, "nothing to draw", transform=ax.transAxes, ha="center", fontsize=FONT_PT)
            continue
        learning_curves(folds, name, unit, ax=ax)
        ax.get_legend().remove()
        ax.yaxis.set_major_locator(MaxNLocator(4))
        if ax.get_subplotspec().colspan.start:
            ax.set_ylabel("")
    for ax in axes.flat[len(having) :]:
        ax.remove()
    drawn = list(axes.flat[: len(having)])
    heights = [float(height) for ax in drawn for line in ax.get_lines() for height in np.asarray(line.get_ydata())]
    if shares_scale and heights and 0 < 100 * min(heights) < max(heights):
        drawn[0].set_yscale("log")  # one that ran away would flatten all others
    lines = {line.get_linestyle(): line for ax in drawn for line in ax.get_lines() if line.get_linewidth() > 2}
    words = {"-": "train", "--": "validation"}
    figure.legend(
        list(lines.values()),
        [words[str(style)] + " (thick: mean over folds)" for style in lines],
        loc="outside upper center",
        ncols=2,
        frameon=False,
        fontsize=FONT_PT,
    )
    return drawn


def difference_dots(table: pd.DataFrame, label: str, unit: str, ax: Axes | None = None) -> Axes:
    """Draw one line for each comparison: the difference with its interval, and a small dot for each fold.

    ``table`` holds the rows of `systems.compare` for one metric, with ``comparison`` (its name) added: ``difference``,
    ``low``, ``high`` and ``fold_0``, ... Filled where it is ``told_from_none`` (without that column:
    where the interval leaves out 0), hollow where it is not. The first row is drawn at the top. Raises ``ValueError``
    for an empty table.
    """
    if table.empty:
        raise ValueError("there is no difference to draw")
    lines = 1 + int(table["comparison"].str.count("\n").max())
    ax = plain_axes(ax, 1.3 + (0.18 + 0.16 * lines) * len(table))
    at = np.arange(len(table))
    ax.axvline(0, color=GREY, linewidth=1)
    ax.hlines(at, table["low"], table["high"], color=BLUE, linewidth=2)
    leaves_out_0 = (table["low"] > 0) | (table["high"] < 0)
    apart = table.get("told_from_none", leaves_out_0).to_numpy(dtype=bool)
    for chosen, inside in ((apart, BLUE), (~apart, "white")):
        ax.plot(table["difference"][chosen], at[chosen], "o", color=BLUE, markerfacecolor=inside, markersize=7)
    for name in [column for column in table if str(column).startswith("fold_")]:
        ax.plot(table[name], at + 0.27, "|", color=ORANGE, markersize=7)
    ax.set_yticks(at, table["comparison"])
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    points = "points of %" if unit == "%" else unit
    note = "bars: 95 % interval over runs and subjects; ticks: folds\nfilled: three runs or more, and it leaves out 0"
    ax.set_xlabel(f"{label}, difference ({points})\n{note}", fontsize=FONT_PT)
    return ax
