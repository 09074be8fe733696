"""The figures of the book: data in, matplotlib Axes out. Nothing is read from or written to a file.

Each function draws on ``ax`` or makes a figure of book width. The colours are those of Okabe and Ito (2008), which
readers with a colour vision deficiency can tell apart; shape or line style says the same once more.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

BOOK_WIDTH_IN = 7.0
FONT_PT = 10.5

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#5A5A5A"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#E69F00")

_MARKERS = {"ours": ("o", BLUE), "published": ("D", ORANGE), "baseline": ("s", GREY)}
_GENDER_STYLE = {"female": (ORANGE, "//"), "male": (BLUE, "")}


def plain_axes(ax: Axes | None, height_in: float) -> Axes:
    """Return ``ax``, or that of a new figure of book width, with legible text and without a box."""
    if ax is None:
        _, ax = plt.subplots(figsize=(BOOK_WIDTH_IN, height_in), layout="constrained")
    ax.tick_params(labelsize=FONT_PT)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _legend_above(ax: Axes) -> None:
    """Put the legend in one row over the axes, where it hides no data; it ends where the axes end."""
    ax.legend(
        frameon=False,
        fontsize=FONT_PT,
        ncols=4,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderpad=0.2,
        handletextpad=0.2,
        columnspacing=1.0,
    )


def learning_curves(
    histories: Mapping[int, Sequence[Mapping[str, float]]],
    name: str = "loss",
    unit: str = "",
    x: str = "epoch",
    ax: Axes | None = None,
) -> Axes:
    """Draw training and validation curves: a thin line for each fold and a thick one for the mean over the folds.

    ``histories[fold]`` is the ``history`` of that fold's record, with ``train_<name>`` and ``validation_<name>`` in
    its entries; an entry may lack either. The mean is taken at the values of ``x`` that all folds have.
    Raises ``ValueError`` when no entry has ``name``.
    """
    ax = plain_axes(ax, 3.4)
    drawn = False
    for part, colour, style in (("train", BLUE, "-"), ("validation", ORANGE, "--")):
        curves = [_curve(history, f"{part}_{name}", x) for history in histories.values()]
        curves = [curve for curve in curves if len(curve)]
        for curve in curves:
            ax.plot(curve.index, curve, style, color=colour, alpha=0.35, linewidth=0.8)
        if curves:
            drawn = True
            mean = pd.concat(curves, axis=1, join="inner").mean(axis=1)
            label = f"{part}, mean of {len(curves)} folds" if len(curves) > 1 else part
            ax.plot(mean.index, mean, style, color=colour, linewidth=2.2, label=label)
    if not drawn:
        raise ValueError(f"no history holds train_{name} or validation_{name}")
    ax.set_xlabel(x, fontsize=FONT_PT)
    ax.set_ylabel(f"{name} ({unit})" if unit else name, fontsize=FONT_PT)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False, fontsize=FONT_PT)
    return ax


def _curve(history: Sequence[Mapping[str, float]], column: str, x: str) -> pd.Series:
    points = {entry[x]: entry[column] for entry in history if entry.get(column) is not None}
    return pd.Series(points, dtype="float64").sort_index()


def confusion_matrix(counts: NDArray[np.int64], labels: Sequence[str], title: str = "", ax: Axes | None = None) -> Axes:
    """Draw counts (groups, groups) of `metrics.confusion`: the share of each row as colour, in % and as a count.

    Rows are true groups, columns predicted ones. A group without examples has an empty row.
    Raises ``ValueError`` when the shape does not fit the labels.
    """
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"counts have the shape {counts.shape}, expected ({len(labels)}, {len(labels)})")
    ax = plain_axes(ax, 1.0 + 0.52 * len(labels))
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if counts[row, column]:
            text = f"{100 * share:.0f} %\n{counts[row, column]:,}"
            colour = "white" if share > 0.7 else "black"
            ax.text(column, row, text, ha="center", va="center", fontsize=FONT_PT, color=colour, linespacing=1.15)
    ax.set_xticks(range(len(labels)), labels, rotation=0 if len(labels) < 4 else 35)
    ax.set_yticks(range(len(labels)), [f"{label}  (n = {n:,})" for label, n in zip(labels, total[:, 0], strict=True)])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xlabel("predicted", fontsize=FONT_PT)
    ax.set_ylabel("true", fontsize=FONT_PT)
    ax.set_title(title, fontsize=FONT_PT + 1)
    return ax


def interval_dots(table: pd.DataFrame, label: str, unit: str, ax: Axes | None = None) -> Axes:
    """Compare systems on one metric: one line each, a dot for the value and a bar from ``low`` to ``high``.

    ``table`` has the columns ``system``, ``value``, ``low``, ``high`` (NaN where there is no interval) and ``origin``:
    ``ours``, ``published`` or ``baseline``, which sets the marker. The first row is drawn at the top. The best
    baseline is continued as a dotted line. Raises ``ValueError`` for an empty table or another origin.
    """
    unknown = set(table["origin"]) - set(_MARKERS)
    if unknown or table.empty:
        raise ValueError(f"origin must be one of {', '.join(_MARKERS)}, got {sorted(unknown) or 'an empty table'}")
    lines = 1 + int(table["system"].str.count("\n").max())
    ax = plain_axes(ax, 1.0 + (0.18 + 0.16 * lines) * len(table))
    for origin, part in table.reset_index(drop=True).groupby("origin", sort=False):
        marker, colour = _MARKERS[str(origin)]
        ax.hlines(part.index, part["low"], part["high"], color=colour, linewidth=2)
        ax.plot(part["value"], part.index, marker, color=colour, markersize=7, label=origin)
        if origin == "baseline":
            ax.axvline(
                part["value"].max() if unit == "%" else part["value"].min(), color=colour, ls=":", lw=1, zorder=0
            )
    ax.set_yticks(range(len(table)), table["system"])
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel(f"{label} ({unit})\nbars: 95 % interval over subjects", fontsize=FONT_PT)
    if len(set(table["origin"])) > 1:
        _legend_above(ax)
    return ax


def groups_by_gender(groups: ArrayLike, genders: ArrayLike, labels: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw how many examples each age group has, women and men side by side.

    ``groups`` (examples,) holds group numbers and ``genders`` (examples,) ``female`` or ``male``; examples that lack
    either are not drawn, and the axis label counts them.
    """
    table = pd.DataFrame({"group": pd.Series(groups), "gender": pd.Series(genders)})
    known = table.dropna()
    counts = pd.crosstab(known["group"], known["gender"]).reindex(range(len(labels)), fill_value=0)
    ax = plain_axes(ax, 3.4)
    for offset, (gender, (colour, hatch)) in zip((-0.2, 0.2), _GENDER_STYLE.items(), strict=True):
        heights = counts[gender] if gender in counts else np.zeros(len(labels))
        ax.bar(
            np.arange(len(labels)) + offset, heights, 0.38, color=colour, hatch=hatch, edgecolor="white", label=gender
        )
    ax.set_xticks(range(len(labels)), labels)
    left_out = len(table) - len(known)
    ax.set_xlabel(
        "age group (years)" + (f"; {left_out:,} examples without both labels" if left_out else ""), fontsize=FONT_PT
    )
    ax.set_ylabel("examples", fontsize=FONT_PT)
    _legend_above(ax)
    return ax


def reliability_diagram(bins: Mapping[str, pd.DataFrame], label: str, ax: Axes | None = None) -> Axes:
    """Draw what came true against what was said, for each system of ``bins`` (tables of `calibration.reliability`).

    The area of a dot is the share of the system's examples in its bin; on the dashed line probabilities mean what
    they say. ``label`` says of what, for example ``"age group"``.
    """
    ax = plain_axes(ax, 4.6)
    ax.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    for (system, table), colour, marker in zip(bins.items(), SERIES, "osD^vP", strict=False):
        filled = table[table["count"] > 0]
        ax.plot(filled["confidence"], filled["accuracy"], color=colour, linewidth=1.2)
        areas = 15 + 400 * filled["count"] / table["count"].sum()
        ax.scatter(
            filled["confidence"],
            filled["accuracy"],
            s=areas,
            color=colour,
            marker=marker,
            alpha=0.85,
            clip_on=False,
            label=system,
        )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_aspect("equal")
    ax.set_xlabel(f"predicted probability of the {label} (mean in bin)", fontsize=FONT_PT)
    ax.set_ylabel("share that was right (in bin)", fontsize=FONT_PT)
    legend = ax.legend(frameon=False, fontsize=FONT_PT, loc="upper left")
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([40])
    return ax


def by_group_dots(
    tables: Mapping[str, pd.DataFrame], labels: Sequence[str], label: str, unit: str, ax: Axes | None = None
) -> Axes:
    """Draw one metric for each group and system, with intervals over subjects.

    ``tables[system]`` holds the rows of `tables.by_group` for that metric: ``group`` (numbers into ``labels``),
    ``value``, ``low``, ``high``, ``num_examples``. The counts stand under the labels and are those of the first system.
    """
    ax = plain_axes(ax, 3.6)
    width = min(0.2, 0.6 / len(tables))
    for position, (system, table) in enumerate(tables.items()):
        offset = (position - (len(tables) - 1) / 2) * width
        at = table["group"].astype(int) + offset
        colour, marker = SERIES[position % len(SERIES)], "osD^vP"[position % 6]
        ax.vlines(at, table["low"], table["high"], color=colour, linewidth=2)
        ax.plot(at, table["value"], marker, color=colour, markersize=6, label=system)
    counts = next(iter(tables.values())).set_index("group")["num_examples"].reindex(range(len(labels)), fill_value=0)
    before = "n = " if len(labels) < 9 else ""  # there is no room for it below each of many groups
    ax.set_xticks(
        range(len(labels)), [f"{name}\n{before}{count:,}" for name, count in zip(labels, counts, strict=True)]
    )
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    below = "" if before else ", below it its number of examples"
    ax.set_xlabel(f"true group{below}; bars: 95 % interval over subjects", fontsize=FONT_PT)
    ax.set_ylabel(f"{label} ({unit})", fontsize=FONT_PT)
    if len(tables) > 1:
        _legend_above(ax)
    return ax
