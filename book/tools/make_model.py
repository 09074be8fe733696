"""Train a model that ships and put its weights into the package.

    python book/tools/make_model.py face --data DATA

Its runs are those of the preset ``open``; what was trained to its end before is not trained again. The weights are
kept in half precision.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from make_book import ROOT, link_data
from plan import PRESETS, read_preset
from run_notebook import NotebookError, run

PRESET, PAPER = "open", "use"
LICENCE = "CC BY 4.0"


def ship(folders: list[Path], name: str, target: Path) -> None:
    """Write the weights of the runs in ``folders`` to ``target`` as one model, with what they were learnt from."""
    from agegender.pipelines import voice
    from agegender.training.checkpoints import load_weights, read_facts, save_weights
    from agegender.use.saved import read_model

    weights = [folder / "model.safetensors" for folder in folders]
    facts, record = read_facts(weights[0]), json.loads((folders[0] / "record.json").read_text(encoding="utf-8"))
    if facts.get("is_synthetic"):
        raise ValueError(f"{folders[0]} learnt from synthetic people: only a model of real ones ships")
    if name == "voice":
        voice.gather(weights, target)
        facts |= read_facts(target)
        model = read_model(target).model
        load_weights(model, target)
    else:
        model = read_model(folders[0]).model
    about = {"name": f"{name}, {record['commit'][:7]}", "licence": LICENCE, "manifest": record["manifest"]}
    save_weights(model.half(), target, facts | about)
    print(f"{name}: {target.stat().st_size / 1e6:.1f} MB in {target}")


def main() -> int:
    """Train and ship the model that is asked for; return the exit status."""
    preset = read_preset(PRESETS / f"{PRESET}.yaml")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[stage.name for stage in preset.stages if stage.paper == PAPER])
    parser.add_argument("--data", default="", help="folder of the corpora or packs")
    options = parser.parse_args()
    os.chdir(ROOT)
    if not link_data(preset, options.data):
        print("say where the data are: make model MODEL=... AGEGENDER_DATA=<folder>", file=sys.stderr)
        return 2
    stage = preset.stage(PAPER, options.model)
    places = {"data": f"cache/data/{PRESET}", "records": f"runs/{PRESET}/{PAPER}"}
    folders = [Path(stage.folder(name)) for name in stage.runs]
    try:
        for name, folder in zip(stage.runs, folders, strict=True):
            parameters = stage.parameters_of(name, places)
            run(Path(stage.notebook), folder / "notebook.ipynb", parameters, name, stage.writes)
    except NotebookError as error:
        print(error, file=sys.stderr)
        return 1
    ship(folders, options.model, ROOT / "agegender/weights" / f"{options.model}.safetensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
