"""The figures of the book, of book width, drawn with seaborn: data in, matplotlib Axes out, no file read or written.

The colours are those of Okabe and Ito (2008), which readers with a colour vision deficiency can tell apart; shape or
line style says the same once more.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix as confusion_counts

from agegender.evaluation.metrics import Metric, true_and_probabilities

BOOK_WIDTH_IN = 7.0
FONT_PT = 10.5

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#5A5A5A"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#E69F00")

SHAPES = "osD^vP"
_MARKERS = {"ours": ("o", BLUE), "published": ("D", ORANGE), "baseline": ("s", GREY)}
_GENDER_STYLE = {"female": (ORANGE, "//"), "male": (BLUE, "")}
_PARTS = {"train": (BLUE, "-"), "validation": (ORANGE, "--")}

History = Sequence[Mapping[str, float]]


def plain_axes(ax: Axes | None, height_in: float) -> Axes:
    """Return ``ax``, or that of a new figure, with legible text and without a box."""
    if ax is None:
        _, ax = plt.subplots(figsize=(BOOK_WIDTH_IN, height_in), layout="constrained")
    ax.tick_params(labelsize=FONT_PT)
    sns.despine(ax=ax)
    return ax


def _legend_above(ax: Axes) -> None:
    """Put the legend in one row over the axes, where it hides no data; it ends where the axes end."""
    ax.legend(frameon=False, fontsize=FONT_PT, ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0.2)


def _one_line_each(names: Sequence[str], ax: Axes | None, margin_in: float) -> Axes:
    """Return axes with one line of text for each name, the first at the top; an empty list is said in words."""
    lines = 1 + max((name.count("\n") for name in names), default=0)
    ax = plain_axes(ax, margin_in + (0.18 + 0.16 * lines) * max(1, len(names)))
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    if not names:
        _say_nothing_to_draw(ax)
    return ax


def _say_nothing_to_draw(ax: Axes) -> None:
    ax.text(0.5, 0.5, "nothing to draw", transform=ax.transAxes, ha="center", fontsize=FONT_PT)


def curve_grid(
    systems: Mapping[str, Mapping[int, History]], name: str, unit: str = "", shares_scale: bool = False
) -> list[Axes]:
    """Draw training and validation curves (`comparison.curves`), a panel for each system.

    Entries of a history hold ``train_<name>``, ``validation_<name>`` or both. A thin line is a fold, the thick one the
    mean over the folds at the epochs that all have. Systems without ``name`` get no panel, those without any entry (of
    runs that diverged before a first validation) an empty one. ``shares_scale`` gives all panels one vertical scale, a
    logarithmic one where values are a hundredfold apart. Raises ``ValueError`` when no system has ``name``.
    """
    curves = {title: _curves(folds, name) for title, folds in systems.items()}
    drawable = [title for title, folds in systems.items() if len(curves[title]) or not any(folds.values())]
    if not drawable:
        raise ValueError(f"no history holds train_{name} or validation_{name}")
    columns = 2 if len(drawable) in (2, 4) else min(3, len(drawable))
    rows = -(-len(drawable) // columns)
    size = BOOK_WIDTH_IN, 0.8 + 1.9 * rows
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", sharey=shares_scale, squeeze=False)
    for ax, title in zip(axes.flat, drawable, strict=False):
        _draw_curves(plain_axes(ax, 0), curves[title])
        ax.set_title(fill(title, 24, break_on_hyphens=False, break_long_words=False), fontsize=FONT_PT)
        ax.set_ylabel("" if ax.get_subplotspec().colspan.start else f"{name} ({unit})" if unit else name)
    drawn = list(axes.flat[: len(drawable)])
    for ax in axes.flat[len(drawable) :]:
        ax.remove()
    heights = [float(height) for ax in drawn for line in ax.get_lines() for height in np.asarray(line.get_ydata())]
    if shares_scale and heights and 0 < 100 * min(heights) < max(heights):
        drawn[0].set_yscale("log")  # one that ran away would flatten all others
    thick = {line.get_label(): line for ax in drawn for line in ax.get_lines() if line.get_linewidth() > 2}
    words = [f"{part} (thick: mean over folds)" for part in thick]
    figure.legend(list(thick.values()), words, loc="outside upper center", ncols=2, frameon=False, fontsize=FONT_PT)
    return drawn


def _curves(folds: Mapping[int, History], name: str) -> pd.DataFrame:
    """Return the points of all curves: ``fold``, ``part`` (train or validation), ``epoch`` and ``value``."""
    rows = [
        (fold, part, entry["epoch"], entry[f"{part}_{name}"])
        for fold, history in folds.items()
        for entry in history
        for part in _PARTS
        if entry.get(f"{part}_{name}") is not None
    ]
    return pd.DataFrame(rows, columns=["fold", "part", "epoch", "value"])


def _draw_curves(ax: Axes, curves: pd.DataFrame) -> None:
    for part, own in curves.groupby("part", sort=False):
        colour, style = _PARTS[str(part)]
        line = {"x": "epoch", "y": "value", "ax": ax, "color": colour, "linestyle": style, "legend": False}
        sns.lineplot(own, **line, units="fold", estimator=None, alpha=0.35, linewidth=0.8)
        shared = own[own.groupby("epoch")["fold"].transform("nunique") == own["fold"].nunique()]
        sns.lineplot(shared, **line, errorbar=None, linewidth=2.2, label=part)
    if curves.empty:
        _say_nothing_to_draw(ax)
    ax.set_xlabel("epoch", fontsize=FONT_PT)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(4))


def confusion_matrix(predictions: pd.DataFrame, labels: Sequence[str], title: str = "") -> Axes:
    """Draw which age group is predicted for which: the share of each row as colour, in % and as a count.

    Rows are true groups, columns predicted ones, named by ``labels``. A group without examples has an empty row.
    """
    true, probabilities = true_and_probabilities(predictions)
    if probabilities.shape[1] != (num_groups := len(labels)):
        raise ValueError(f"there are probabilities for {probabilities.shape[1]} groups and {num_groups} labels")
    counts = confusion_counts(true, probabilities.argmax(axis=1), labels=range(num_groups))
    ax = plain_axes(None, 1.0 + 0.52 * num_groups)
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    texts = [
        [f"{100 * share:.0f} %\n{count:,}" if count else "" for share, count in zip(*row, strict=True)]
        for row in zip(shares, counts, strict=True)
    ]
    style = {"vmin": 0, "vmax": 1, "cmap": "Blues", "cbar": False, "annot_kws": {"fontsize": FONT_PT}}
    sns.heatmap(shares, annot=texts, fmt="", ax=ax, **style)
    rows = [f"{label}  (n = {n:,})" for label, n in zip(labels, total[:, 0], strict=True)]
    ax.set_xticks(np.arange(num_groups) + 0.5, labels, rotation=0 if num_groups < 4 else 35)
    ax.set_yticks(np.arange(num_groups) + 0.5, rows, rotation=0)
    ax.tick_params(length=0)
    ax.set_xlabel("predicted", fontsize=FONT_PT)
    ax.set_ylabel("true", fontsize=FONT_PT)
    ax.set_title(title, fontsize=FONT_PT + 1)
    return ax


def interval_dots(table: pd.DataFrame, metric: Metric, ax: Axes | None = None) -> Axes:
    """Compare systems on one metric: one line each, a dot for the value and a bar from ``low`` to ``high``.

    ``table`` is that of `comparison.scores` or `beside_published`; ``origin`` sets the marker. A name begins with its
    dataset where there are several. The best baseline is a dotted line. Raises ``ValueError`` for an unknown origin.
    """
    part = table[table["metric"] == metric.name].reset_index(drop=True)
    if unknown := set(part["origin"]) - set(_MARKERS):
        raise ValueError(f"origin must be one of {', '.join(_MARKERS)}, got {sorted(unknown)}")
    papers = part.get("paper", part["system"])
    names = [name.removeprefix(f"{paper} ") for name, paper in zip(part["system"], papers, strict=True)]
    if len(part["dataset"].unique()) > 1:
        names = [f"{dataset}: {name}" for dataset, name in zip(part["dataset"], names, strict=True)]
    ax = _one_line_each([fill(name, 38) for name in names], ax, 1.0)
    for origin, own in part.groupby("origin", sort=False):
        marker, colour = _MARKERS[str(origin)]
        ax.hlines(own.index, own["low"], own["high"], color=colour, linewidth=2)
        ax.plot(own["value"], own.index, marker, color=colour, markersize=7, label=origin)
        if origin == "baseline":
            best = own["value"].max() if metric.direction > 0 else own["value"].min()
            ax.axvline(best, color=colour, ls=":", lw=1, zorder=0)
    ax.set_xlabel(f"{metric.heading}\nbars: 95 % interval over subjects", fontsize=FONT_PT)
    if len(part["origin"].unique()) > 1:
        _legend_above(ax)
    return ax


def difference_dots(table: pd.DataFrame, metric: Metric, over: str = "runs and subjects") -> Axes:
    """Draw one line for each row of `differences.differences`: its interval, and a tick for each fold.

    A dot is filled where the row is ``excludes_zero``. ``over`` says what the interval draws again.
    """
    part = table[table["metric"] == metric.name]
    ax = _one_line_each(part["comparison"].tolist(), None, 1.3)
    at = np.arange(len(part))
    ax.axvline(0, color=GREY, linewidth=1)
    ax.hlines(at, part["low"], part["high"], color=BLUE, linewidth=2)
    excludes = part["excludes_zero"].to_numpy(dtype=bool)
    for chosen, inside in ((excludes, BLUE), (~excludes, "white")):
        ax.plot(part["difference"][chosen], at[chosen], "o", color=BLUE, markerfacecolor=inside, markersize=7)
    for name in part.filter(regex=r"^fold_\d"):
        ax.plot(part[name], at + 0.27, "|", color=ORANGE, markersize=7)
    unit = "points of %" if metric.unit == "%" else metric.unit
    note = f"bars: 95 % interval over {over}; ticks: folds\nfilled: a difference is claimed (three runs or more)"
    ax.set_xlabel(f"{metric.label}, difference ({unit})\n{note}", fontsize=FONT_PT)
    return ax


def by_group_dots(table: pd.DataFrame, metric: Metric, labels: Sequence[str]) -> Axes:
    """Draw one metric for each group (a number into ``labels``) and system of `intervals.by_group`, with intervals.

    The counts stand under the labels and are those of the first system.
    """
    part = table[table["metric"].eq(metric.name) & table["group"].ne("missing")].astype({"group": int})
    systems = list(part["system"].unique())
    ax = plain_axes(None, 3.6)
    width = min(0.2, 0.6 / max(1, len(systems)))
    for position, system in enumerate(systems):
        own = part[part["system"] == system]
        at = own["group"] + (position - (len(systems) - 1) / 2) * width
        colour, marker = SERIES[position % len(SERIES)], SHAPES[position % len(SHAPES)]
        ax.vlines(at, own["low"], own["high"], color=colour, linewidth=2)
        ax.plot(at, own["value"], marker, color=colour, markersize=6, label=system)
    counts = part[part["system"].isin(systems[:1])].set_index("group")["num_examples"]
    counts = counts.reindex(range(len(labels)), fill_value=0)
    before = "n = " if len(labels) < 9 else ""  # there is no room for it below each of many groups
    ax.set_xticks(range(len(labels)), [f"{a}\n{before}{n:,}" for a, n in zip(labels, counts, strict=True)])
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    below = "" if before else ", below it its number of examples"
    ax.set_xlabel(f"true group{below}; bars: 95 % interval over subjects", fontsize=FONT_PT)
    ax.set_ylabel(metric.heading, fontsize=FONT_PT)
    if len(systems) > 1:
        _legend_above(ax)
    return ax


def groups_by_gender(groups: ArrayLike, genders: ArrayLike, labels: Sequence[str]) -> Axes:
    """Draw how many examples each age group has: numbers into ``labels`` and ``female`` or ``male``, (examples,).

    Examples that lack either are not drawn, and the axis label counts them.
    """
    table = pd.DataFrame({"group": pd.Series(groups), "gender": pd.Series(genders)})
    known = table.dropna().astype({"group": int})
    ax = plain_axes(None, 3.4)
    bars = {"x": "group", "hue": "gender", "order": range(len(labels)), "hue_order": list(_GENDER_STYLE)}
    colours = {gender: colour for gender, (colour, _) in _GENDER_STYLE.items()}
    sns.countplot(known, **bars, palette=colours, saturation=1, edgecolor="white", ax=ax)
    for drawn, (_, hatch) in zip(ax.containers, _GENDER_STYLE.values(), strict=True):
        plt.setp(drawn, hatch=hatch)
    ax.set_xticks(range(len(labels)), labels)
    note = f"; {len(table) - len(known):,} examples without both labels" if len(known) < len(table) else ""
    ax.set_xlabel(f"age group (years){note}", fontsize=FONT_PT)
    ax.set_ylabel("examples", fontsize=FONT_PT)
    _legend_above(ax)
    return ax
