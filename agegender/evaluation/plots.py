"""The figures of the book, drawn with seaborn: data in, matplotlib Axes out. Nothing is read from or written to a file.

Each function draws on ``ax`` or makes a figure of book width. The colours are those of Okabe and Ito (2008), which
readers with a colour vision deficiency can tell apart; shape or line style says the same once more.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
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
    sns.despine(ax=ax)
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
    curves = _curves(histories, name, x)
    if curves.empty:
        raise ValueError(f"no history holds train_{name} or validation_{name}")
    ax = plain_axes(ax, 3.4)
    for part, colour, style in (("train", BLUE, "-"), ("validation", ORANGE, "--")):
        own = curves[curves["part"] == part]
        if own.empty:
            continue
        line = {"data": own, "x": x, "y": "value", "ax": ax, "color": colour, "linestyle": style}
        sns.lineplot(**line, units="fold", estimator=None, alpha=0.35, linewidth=0.8)
        num_folds = own["fold"].nunique()
        line["data"] = own[own.groupby(x)["fold"].transform("nunique") == num_folds]
        label = f"{part}, mean of {num_folds} folds" if num_folds > 1 else part
        sns.lineplot(**line, errorbar=None, linewidth=2.2, label=label)
    ax.set_xlabel(x, fontsize=FONT_PT)
    ax.set_ylabel(f"{name} ({unit})" if unit else name, fontsize=FONT_PT)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_above(ax)
    return ax


def _curves(histories: Mapping[int, Sequence[Mapping[str, float]]], name: str, x: str) -> pd.DataFrame:
    """Return the points of all curves: ``fold``, ``part`` (train or validation), ``x`` and ``value``."""
    rows = [
        (fold, part, entry[x], entry[f"{part}_{name}"])
        for fold, history in histories.items()
        for entry in history
        for part in ("train", "validation")
        if entry.get(f"{part}_{name}") is not None
    ]
    return pd.DataFrame(rows, columns=["fold", "part", x, "value"])


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
    texts = [
        [f"{100 * share:.0f} %\n{count:,}" if count else "" for share, count in zip(*row, strict=True)]
        for row in zip(shares, counts, strict=True)
    ]
    of_text = {"fontsize": FONT_PT, "linespacing": 1.15}
    sns.heatmap(shares, vmin=0, vmax=1, cmap="Blues", cbar=False, annot=texts, fmt="", annot_kws=of_text, ax=ax)
    middles = np.arange(len(labels)) + 0.5
    rows = [f"{label}  (n = {n:,})" for label, n in zip(labels, total[:, 0], strict=True)]
    ax.set_xticks(middles, labels, rotation=0 if len(labels) < 4 else 35)
    ax.set_yticks(middles, rows, rotation=0)
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
    known = table.dropna().astype({"group": int})
    ax = plain_axes(ax, 3.4)
    bars = {"x": "group", "hue": "gender", "order": range(len(labels)), "hue_order": list(_GENDER_STYLE)}
    colours = {gender: colour for gender, (colour, _) in _GENDER_STYLE.items()}
    sns.countplot(known, **bars, palette=colours, saturation=1, edgecolor="white", ax=ax)
    for drawn, (_, hatch) in zip(ax.containers, _GENDER_STYLE.values(), strict=True):
        plt.setp(drawn, hatch=hatch)
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
        dots = {"data": filled, "x": "confidence", "y": "accuracy", "color": colour, "ax": ax}
        areas = (15 + 400 * filled["count"] / table["count"].sum()).to_numpy()
        sns.lineplot(**dots, linewidth=1.2, marker=marker, markersize=4, markeredgewidth=0, label=system)
        sns.scatterplot(**dots, s=areas, marker=marker, alpha=0.85, clip_on=False, legend=False)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_aspect("equal")
    ax.set_xlabel(f"predicted probability of the {label} (mean in bin)", fontsize=FONT_PT)
    ax.set_ylabel("share that was right (in bin)", fontsize=FONT_PT)
    ax.legend(frameon=False, fontsize=FONT_PT, loc="upper left")
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
