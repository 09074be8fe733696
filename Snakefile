"""The run matrix: miniature corpora -> notebooks -> executed copies in the book -> HTML.

Everything that differs between presets stands in presets/<preset>.yaml; a new paper is a new entry there and a
folder of notebooks. `make book` calls this file; see book/tools/plan.py for how a preset is read.
"""

import json
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "book" / "tools"))

from chapters import TOC, pages_of_records, pages_of_runs
from lifeline import end_with_parent
from plan import RECORDS, RESULTS, pattern_of, read_preset, recorded_runs
from progress import in_turns

if workflow.is_main_process:  # the job of a cluster outlives whoever submitted it
    end_with_parent()

PRESET = read_preset(Path(f"presets/{config['preset']}.yaml"))
CALL = json.loads(Path(config["call"]).read_text())  # what make_book.py has found out: papers, data, missing pages
STAGES = [stage for stage in PRESET.stages if stage.paper in CALL["papers"]]
MISSING = CALL["missing"]  # pages that could not be computed -> why; when there are any, nothing is computed any more
RECORD_PAGES = pages_of_records()
PAGES = {page.placed: page for page in [*RECORD_PAGES, *pages_of_runs(PRESET, CALL["papers"])]}
PROSE = sorted(str(path) for path in Path("book").rglob("*.md") if not {"_build", "executed"} & set(path.parts))
BOOK = [*PROSE, "book/_config.yml", "book/references.bib", "book/_static/tables.css", *map(str, Path("book/_ext").glob("*.py"))]
CARD_FILES = sorted(str(path) for path in Path("data_cards").glob("*"))


def earlier(stage, wildcards):
    """The executed notebooks that a run needs."""
    return [f"{other.folder(run)}/notebook.ipynb" for other, run in PRESET.needed_by(stage, wildcards.run)]


def parameters(stage, wildcards):
    """What is injected into the notebook of a run."""
    return json.dumps(PRESET.parameters_of(stage, wildcards.run))


def record_files(page):
    """The committed records behind a page."""
    folder = RESULTS / page.stage.preset / page.stage.source
    runs = recorded_runs(page.stage.preset, page.stage.source)
    return [str(folder / run / file) for run in runs for file in ("record.json", "predictions.parquet")]


def record_parameters(page):
    """As `parameters`, with the committed records in the place of the reader's own runs."""
    places = {"data": f"cache/data/{page.stage.preset}", "records": str(RESULTS / page.stage.preset / page.stage.source)}
    return json.dumps(page.stage.parameters_of(page.run, places))


EXECUTE = (
    "exec env OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads} {sys.executable:q} book/tools/run_notebook.py "
    "{input.notebook:q} {output[0]:q} --parameters {params.parameters:q} --name {params.label:q} --writes {params.writes} "
    "--call {config[call]:q}"
)


localrules:
    book,
    runs,
    place,


rule book:
    input:
        "book/_build/html/index.html",
    default_target: True


rule runs:
    input:
        [f"{stage.folder(run)}/notebook.ipynb" for stage in STAGES for run in stage.runs],


rule miniature:
    output:
        touch("miniatures/{preset}/{corpus}.done"),
    params:
        options=lambda wildcards: " ".join(
            f"--{name.replace('_', '-')} {value}" for name, value in PRESET.corpora[wildcards.corpus].items()
        ),
        agegender=str(Path(sys.executable).parent / "agegender"),
    wildcard_constraints:
        preset=pattern_of([PRESET.name]),
        corpus=pattern_of(list(PRESET.corpora)),
    shell:
        "rm -rf miniatures/{wildcards.preset}/{wildcards.corpus} && "
        "{params.agegender:q} miniature {wildcards.corpus} miniatures/{wildcards.preset}/{wildcards.corpus} {params.options}"


for stage, own_runs, turn in in_turns(PRESET, STAGES) if not MISSING else []:

    rule:
        name:
            f"{stage.paper}_{stage.name}" + (f"_turn{turn}" if stage.matrix else "")
        priority: -100 * turn - stage.rank
        input:
            notebook=stage.notebook,
            corpora=[f"{PRESET.data}/{corpus}.done" for corpus in stage.corpora if corpus in PRESET.corpora],
            earlier=partial(earlier, stage),
        output:
            stage.folder("{run}") + "/notebook.ipynb",
            # not the weights: what is named here is removed before a run is repeated, and they save its training
            [f"{stage.folder('{run}')}/{file}" for file in stage.writes if file != "model.safetensors"],
        params:
            parameters=partial(parameters, stage),
            label=f"{stage.paper} {stage.name} {{run}}" if stage.matrix else f"{stage.paper} {stage.name}",
            writes=stage.writes,
        wildcard_constraints:
            run=pattern_of(own_runs),
        threads: stage.threads or workflow.cores or 8
        resources:
            **stage.resources,
        shell:
            EXECUTE


for page in RECORD_PAGES if not MISSING else []:
    if page.kept:
        continue


    rule:
        name:
            f"{page.stage.preset}_records_{page.stage.paper}_{page.stage.name}"
        input:
            notebook=page.stage.notebook,
            records=record_files(page),
        output:
            page.notebook,
        params:
            parameters=record_parameters(page),
            label=f"{page.stage.paper} {page.stage.name} ({page.mark})",
            writes=(),
        shell:
            EXECUTE


rule place:
    input:
        sorted({page.shown_notebook(MISSING) for page in PAGES.values()}),
        CARD_FILES,
    output:
        TOC,
    params:
        pages=[(page.placed, page.mark, page.banner, MISSING.get(page.placed, "")) for page in PAGES.values()],
    shell:
        "{sys.executable:q} book/tools/place_pages.py {PRESET.name} {config[call]:q}"


rule html:
    input:
        TOC,
        BOOK,
    output:
        "book/_build/html/index.html",
    shell:
        "exec {sys.executable:q} book/tools/build_html.py"
