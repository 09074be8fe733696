"""What the profiles hand to a cluster: resources, job scripts, the words of Snakemake for the state of a job."""

import os
import stat
import subprocess

import pytest
import yaml
from plan import read_preset

from tests.book.conftest import ROOT

PROFILES = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/config.yaml"))


@pytest.fixture
def kubectl(tmp_path):
    """A stand-in for kubectl that keeps what it is given and answers with ``answer``; returns how to call a script."""

    def call(script, *arguments, answer=""):
        program = tmp_path / "kubectl"
        program.write_text(f"#!/bin/sh\necho \"$@\" >{tmp_path}/asked\ncat >{tmp_path}/given\nprintf '%s' '{answer}'\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "AGEGENDER_DATA": "/volume/data"}
        command = ["sh", f"profiles/kubernetes/{script}", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
        return done.stdout.strip(), (tmp_path / "asked").read_text().split(), (tmp_path / "given").read_text()

    return call


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_repeats_a_failed_job_and_says_what_a_run_without_wishes_gets(name):
    profile = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
    assert profile["executor"] in ("slurm", "cluster-generic")
    assert profile["retries"] == 2
    assert {"mem_mb", "runtime"} <= profile["default-resources"].keys()
    for script in (value.split()[1] for key, value in profile.items() if str(value).startswith("sh profiles")):
        assert (ROOT / script).is_file()


def test_there_is_a_profile_for_each_kind_of_cluster():
    assert PROFILES == ["cluster-generic", "kubernetes", "slurm"]


def test_a_kubernetes_job_asks_for_what_the_preset_says_and_runs_the_script_in_this_folder(kubectl):
    name, asked, given = kubectl("submit.sh", "4", "1", "24000", "600", "/p/job.sh", answer="job.batch/agegender-x")
    assert name == "job.batch/agegender-x"
    assert asked == ["create", "-o", "name", "-f", "-"]
    job = yaml.safe_load(given)["spec"]
    container = job["template"]["spec"]["containers"][0]
    assert job["activeDeadlineSeconds"] == 36_000
    assert container["command"] == ["sh", "/p/job.sh"]
    assert container["workingDir"] == str(ROOT)
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "24000Mi", "nvidia.com/gpu": "1"}
    assert container["env"] == [{"name": "AGEGENDER_DATA", "value": "/volume/data"}]
    assert "{{" not in given


@pytest.mark.parametrize(
    ("conditions", "state"),
    [("SuccessCriteriaMet Complete", "success"), ("FailureTarget Failed", "failed"), ("", "running")],
)
def test_the_state_of_a_kubernetes_job_is_told_in_snakemakes_words(kubectl, conditions, state):
    said, asked, _ = kubectl("status.sh", "job.batch/agegender-x", answer=conditions)
    assert said == state
    assert asked[:2] == ["get", "job.batch/agegender-x"]


@pytest.mark.parametrize("preset", ["open", "paper"])
def test_each_training_of_real_data_asks_a_cluster_for_one_gpu_its_memory_and_its_time(preset):
    read = read_preset(ROOT / "presets" / f"{preset}.yaml")
    stages = [stage for stage in read.stages if stage.name in ("2_pretrain", "3_train")]
    assert len(stages) >= 6
    for stage in stages:
        assert stage.resources["gpu"] == 1
        assert {"mem_mb", "runtime"} <= stage.resources.keys()
