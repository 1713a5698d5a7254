"""docs/deploy.md and docs/rayjob.yaml, as far as they can be checked without Kubernetes.

That its command runs as a Ray job: tests/ray/test_submit.py.
"""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from workloads.cli import cli

ROOT = Path(__file__).parents[2]
MANIFEST, PAGE = ROOT / "docs" / "rayjob.yaml", ROOT / "docs" / "deploy.md"

# Names and types of KubeRay's API reference, ray.io/v1 (docs/reference/api.md of ray-project/kuberay), as far as we
# might use them; "..." is what Kubernetes' own reference has.
POD = {"spec": ...}
HEAD = {"rayStartParams": {str: str}, "template": POD, "serviceType": str, "enableIngress": bool}
WORKER = {
    "groupName": str,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
    "rayStartParams": {str: str},
    "template": POD,
}
CLUSTER = {"rayVersion": str, "headGroupSpec": HEAD, "workerGroupSpecs": [WORKER]}
JOB = {
    "activeDeadlineSeconds": int,
    "backoffLimit": int,
    "entrypoint": str,
    "runtimeEnvYAML": str,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "submissionMode": str,
    "rayClusterSpec": CLUSTER,
}
RAY_JOB = {"apiVersion": str, "kind": str, "metadata": ..., "spec": JOB}


def misfits(found, wanted, where=""):
    """Paths of what the reference does not have, or has of another type."""
    if wanted is ...:
        return []
    if isinstance(wanted, type):
        return [] if type(found) is wanted else [where]
    if isinstance(wanted, list):
        return [bad for n, one in enumerate(found) for bad in misfits(one, wanted[0], f"{where}[{n}]")]  # fmt: skip
    if str in wanted:
        return [f"{where}.{key}" for key, value in found.items() if type(value) is not str]
    bad: list[str] = []
    for key, value in found.items():
        here = f"{where}.{key}"
        bad += misfits(value, wanted[key], here) if key in wanted else [here]
    return bad


@pytest.fixture
def documents():
    return list(yaml.safe_load_all(MANIFEST.read_text()))


def test_the_manifest_has_the_fields_of_a_ray_job_and_no_others(documents):
    job, claim = documents
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert misfits(job, RAY_JOB) == []
    job["spec"]["shutdownAfterJobFinish"] = job["spec"].pop("shutdownAfterJobFinishes")
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
    assert misfits(job, RAY_JOB) == [
        ".spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus",
        ".spec.shutdownAfterJobFinish",
    ]


def test_its_parts_fit_together(documents):
    job, claim = documents
    cluster = job["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]["template"]["spec"]
    (workers,) = cluster["workerGroupSpecs"]
    (worker,) = workers["template"]["spec"]["containers"]
    words = shlex.split(job["spec"]["entrypoint"])
    flag = dict(pairwise(words))
    # Results outlive the cluster.
    (mount,), (volume,) = head["containers"][0]["volumeMounts"], head["volumes"]
    assert flag["--results"] == mount["mountPath"] and mount["name"] == volume["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    # A CPU for each partition; one image, and its Ray is the one that was tested.
    cpus = int(worker["resources"]["limits"]["cpu"]) * workers["replicas"]
    assert int(flag["--partitions"]) == cpus
    assert worker["image"] == head["containers"][0]["image"]
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "constraints.txt").read_text()


def test_commands_of_the_page_are_commands():
    """Every `gmemsim` line parses as far as its flags: --help wins over all else."""
    lines = [line.strip() for line in PAGE.read_text().splitlines() if line.startswith("    ")]
    found = [re.split(r"\s+#", line)[0] for line in lines if "gmemsim " in line or "-m workloads" in line]  # fmt: skip
    assert len(found) >= 4
    for line in found:
        words = shlex.split(line)
        start = words.index("workloads") if "workloads" in words else 0
        if not words[start].endswith(("gmemsim", "workloads")):
            continue
        done = CliRunner().invoke(cli, [*words[start + 1 :], "--help"])
        assert done.exit_code == 0, line
