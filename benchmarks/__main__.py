"""``make bench``: print a table of speed ratios, each measured side by side in this run, and write ``results.json``."""

import argparse
import json
import os
import tempfile
from pathlib import Path

import torch

from agegender.files import write_text
from benchmarks import bench_audio, bench_detection, bench_levi_hassner, bench_lmtcnn, bench_predict, bench_resnet

BENCHES = (bench_lmtcnn, bench_levi_hassner, bench_resnet, bench_predict, bench_detection, bench_audio)
"""Each has ``measure(folder, num_subjects, rounds)``, which prints and returns its comparisons."""

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--num-subjects", type=int, default=60, help="made-up people, about six faces or clips each")
parser.add_argument("--rounds", type=int, default=5, help="timed turns of each arm")
parser.add_argument("--output", type=Path, default=Path(__file__).with_name("results.json"))
arguments = parser.parse_args()

machine = {
    "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    "cores": os.cpu_count(),
    "threads": torch.get_num_threads(),
    "torch": torch.__version__,
}
print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
with tempfile.TemporaryDirectory() as folder:
    measured = [bench.measure(Path(folder), arguments.num_subjects, arguments.rounds) for bench in BENCHES]
results = [result for results_of_bench in measured for result in results_of_bench]
entries = [result.as_dict() | {"machine": machine} for result in results]
write_text(arguments.output, json.dumps(entries, indent=1) + "\n")
print(f"{sum(result.holds for result in results)} of {len(results)} ratios hold; written to {arguments.output}")
