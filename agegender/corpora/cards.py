"""The counts in a data card: made from a manifest, written between two markers of the card's Markdown."""

from pathlib import Path

from agegender.data.manifest import Manifest
from agegender.files import write_text

BEGIN, END = "<!-- counts: begin, written by a command -->", "<!-- counts: end -->"


def counts_table(manifest: Manifest) -> str:
    """Return what ``Manifest.describe`` counts, and ``young`` where it is known, as a Markdown table of two columns."""
    facts = manifest.describe()
    both = manifest.examples["age_group"].notna() & manifest.examples["gender"].notna()
    counts = {
        "examples": facts["num_examples"],
        f"subjects{'' if facts['has_identities'] else ' (pictures and their near-duplicates)'}": facts["num_subjects"],
        "with an age in years": facts["num_with_age"],
        "with an age group": sum(facts["age_groups"].values()),
        "with an age group and a gender": int(both.sum()),
        **{f"age group {label}": count for label, count in facts["age_groups"].items()},
        **{f"gender {gender}": count for gender, count in facts["genders"].items()},
        **({"noted as young": int(manifest.examples["young"].sum())} if "young" in manifest.examples else {}),
        **{f"published split {name}": count for name, count in facts["published_splits"].items()},
        "set aside": len(manifest.quarantine),
        **{f"set aside: {reason}": count for reason, count in facts["quarantined"].items()},
    }
    rows = [f"| {what} | {count:,} |" for what, count in counts.items()]
    return "\n".join(["| what | number |", "| --- | ---: |", *rows])


def write_counts(card: Path, manifest: Manifest) -> None:
    """Put the counts of ``manifest`` between the markers of a card; raise ``ValueError`` if the markers are missing."""
    before, begin, rest = Path(card).read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{card} has no place for counts: it needs the lines {BEGIN!r} and {END!r}")
    write_text(card, f"{before}{BEGIN}\n\n{counts_table(manifest)}\n\n{END}{after}")
