"""The command ``agegender``: arguments in, a call of the library, its answer printed."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import agegender
from agegender.corpora import adience, cards, catalog, imdb_wiki
from agegender.data.manifest import Manifest
from agegender.labels import SCHEMES, scheme_named
from agegender.miniatures.catalog import WRITERS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 is success; 1 says that an audit found shared people, or that a file could not be used; 2 that the caller has to
    change something; 130 that the command was interrupted.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (ValueError, OSError, ImportError) as error:  # what faults in files and arguments raise
        print(f"agegender: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agegender", description="Age and gender from voice and face.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {agegender.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_manifest(commands.add_parser("manifest", help="read a corpus and write its manifest"))
    _add_miniature(commands.add_parser("miniature", help="draw a small corpus in the format of a real one"))
    _add_predict(commands.add_parser("predict", help="age and gender of the people in pictures and recordings"))
    _add_audit(commands.add_parser("audit", help="count who and what is in two parts of a manifest"))
    return parser


def _add_manifest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", choices=sorted(catalog.CORPORA))
    parser.add_argument("root", type=Path, help="folder of the corpus or of the packs; for 'folder' also a CSV file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--labels-only", action="store_true", help="do not look for pictures or clips")
    parser.add_argument("--subset", choices=adience.SUBSETS, default="all", help="adience: rows with which labels")
    parser.add_argument("--scheme", choices=sorted(SCHEMES), help="folder: the scheme of the column age_group")
    parser.add_argument("--aligned", action="store_true", help="folder: one upright face fills every picture")
    parser.add_argument("--age-of", choices=imdb_wiki.AGES, help="imdb, wiki: the age on which day (years_apart)")
    parser.add_argument("--min-face-score", type=float, help="imdb, wiki: only faces with a score above this")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="packs: folder to unpack archives to")
    parser.add_argument("--card", type=Path, help="data card (Markdown) whose table of counts to renew")
    parser.add_argument("--max-quarantined", type=float, default=0.05, help="share of rows that may be set aside")
    parser.set_defaults(run=_run_manifest)


def _add_miniature(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("layout", choices=sorted(WRITERS))
    parser.add_argument("folder", type=Path, help="folder to write; it may not hold anything else")
    parser.add_argument("--num-subjects", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(run=_run_miniature)


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--keys", nargs="+", default=["subject"], help="columns, such as subject user photo")
    parser.add_argument("--split-column", default="published_split", help="the column that says the part")
    parser.set_defaults(run=_run_audit)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", help="pictures, recordings, folders or patterns; - for a list of them on stdin"
    )
    parser.add_argument("-o", "--output", type=Path, help="file to write: .csv, .parquet or .jsonl")
    parser.add_argument("--aligned", action="store_true", help="each picture is one upright face: look for none")
    parser.add_argument("--batch-size", type=int, default=64, help="files in memory at once (default: 64)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--model", help="a run folder or its weights (default: the models that come with the package)")
    parser.add_argument("--synthetic", action="store_true", help="let a model that knows only synthetic people answer")
    parser.set_defaults(run=_run_predict)


def _run_predict(options: argparse.Namespace) -> int:
    from agegender.use.command import predict  # here, so that the other commands start without torch

    names = (
        name.rstrip("\n") for path in options.paths for name in (sys.stdin if path == "-" else [path]) if name.strip()
    )
    return predict(
        list(names),
        output=options.output,
        model=options.model,
        device=options.device,
        is_aligned=options.aligned,
        is_synthetic=options.synthetic,
        batch_size=options.batch_size,
    )


def _run_manifest(options: argparse.Namespace) -> int:
    _check_options(options)
    choices = catalog.Options(
        subset=options.subset,
        repair_25_23=False,
        age_of=options.age_of or imdb_wiki.AGES[0],
        min_face_score=options.min_face_score,
        scheme=options.scheme and scheme_named(options.scheme),
        is_aligned=options.aligned,
        max_quarantined_share=options.max_quarantined,
    )
    read_labels = options.labels_only
    manifest = catalog.read(options.corpus, options.root, options.cache, labels_only=read_labels, options=choices)
    manifest.save(options.output)
    if options.card:
        cards.write_counts(options.card, manifest)
    print(summary(manifest))
    print(f"written to {options.output}")
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Refuse an option that the reader of the corpus does not have."""
    given = {
        "--subset": (options.subset != "all", ("adience",)),
        "--age-of": (options.age_of is not None, imdb_wiki.CORPORA),
        "--min-face-score": (options.min_face_score is not None, imdb_wiki.CORPORA),
    }
    if options.aligned and options.corpus != "folder":
        raise ValueError(f"--aligned is for a table of your own: of {options.corpus} it is known what the pictures are")
    for name, (is_given, corpora) in given.items():
        if is_given and options.corpus not in corpora:
            raise ValueError(f"{name} is for {', '.join(corpora)}, not for {options.corpus}")


def _run_miniature(options: argparse.Namespace) -> int:
    print(f"written to {WRITERS[options.layout](options.folder, options.num_subjects, options.seed)}")
    return 0


def _run_audit(options: argparse.Namespace) -> int:
    from agegender.data.splits import audit  # here, so that the other commands start without scikit-learn

    if not options.manifest.is_file():
        raise FileNotFoundError(f"{options.manifest} does not exist: write it with 'agegender manifest'")
    examples = Manifest.load(options.manifest).examples
    if options.split_column not in examples:
        raise ValueError(f"no column {options.split_column!r}: the manifest has {', '.join(examples.columns)}")
    parts = {str(name): part for name, part in examples.groupby(options.split_column)}
    if len(parts) < 2:
        raise ValueError(f"column {options.split_column!r} has {len(parts)} parts: an audit needs at least two")
    shared = audit(parts, options.keys)
    print(shared.to_string(index=False))
    num_shared = int((shared["num_shared"] > 0).sum())
    print(f"{num_shared} of {len(shared)} comparisons share something" if num_shared else "the parts share nothing")
    return int(num_shared > 0)


def summary(manifest: Manifest) -> str:
    """Return the counts of a manifest as lines of text."""
    facts, examples = manifest.describe(), manifest.examples
    has_age, has_gender = examples["age_group"].notna() | examples["age"].notna(), examples["gender"].notna()
    identities = "" if facts["has_identities"] else " (no identities: subjects are pictures, or near-duplicates)"
    lines = [
        f"{facts['corpus']} ({facts['modality']})",
        f"  {facts['num_examples']:,} examples of {facts['num_subjects']:,} subjects{identities}",
        f"  with an age in years: {facts['num_with_age']:,}",
        f"  with an age group: {int(examples['age_group'].notna().sum()):,}{_counts(facts['age_groups'])}",
        f"  with a gender: {int(has_gender.sum()):,}{_counts(facts['genders'])}",
        f"  with an age group and a gender: {int((examples['age_group'].notna() & has_gender).sum()):,}",
        f"  without any label: {int((~has_age & ~has_gender).sum()):,}",
        f"  published splits: {_counts(facts['published_splits']).strip(' ()') or 'none'}",
        f"  set aside: {len(manifest.quarantine):,}",
    ]
    if manifest.modality == "face":
        lines.insert(1, "  aligned faces" if manifest.is_aligned else "  photographs in which a face has to be found")
    return "\n".join([*lines, *(f"    {count:,} x {reason}" for reason, count in facts["quarantined"].items())])


def _counts(counts: dict[str, int]) -> str:
    return f" ({', '.join(f'{name}: {count:,}' for name, count in counts.items())})" if counts else ""


if __name__ == "__main__":
    sys.exit(main())
