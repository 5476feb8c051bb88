"""How GPUs are divided for tenants; nothing of it needs a GPU."""

from __future__ import annotations

import json

import pytest
import yaml

from deploy.__main__ import main
from deploy.mig.need import PROCESS_BYTES, ModelNeed, Need
from deploy.mig.plan import commands, plan
from deploy.mig.profiles import FILE, gpus, placements_source
from tests.support.tenants import ROOT, entry, write_tenants

GB = 10**9
EACH = pytest.mark.parametrize("name", sorted(gpus()))


def need(gigabytes: float) -> Need:
    """Of a tenant with one model and one thread."""
    rest = int(gigabytes * GB) - PROCESS_BYTES
    return Need((ModelNeed("ArcFace", "big", 1, 1, 0, rest),))


def profiles_of(gpu: str, **needs: float) -> list[str]:
    found = plan(gpus()[gpu], {name: need(size) for name, size in needs.items()})
    return [one.profile.name for one in found.instances]


def test_all_gpus_that_are_promised_are_there_with_their_sources():
    assert set(gpus()) == {"A30", "A100-40", "A100-80", "A800", "H100", "H200"}
    document = yaml.safe_load(FILE.read_text())
    assert all(url.startswith("https://") for url in document["sources"].values())
    assert placements_source() == document["sources"]["placements"]


@EACH
def test_the_tables_agree_with_themselves(name):
    gpu = gpus()[name]
    for profile in gpu.profiles:
        slices = [set(range(s, s + profile.memory)) for s in profile.starts]
        assert all(max(one) < gpu.memory for one in slices)
        # So many as there may be of one kind have room beside each other.
        room, last = 0, -1
        for one in sorted(slices, key=max):
            if min(one) > last:
                room, last = room + 1, max(one)
        assert min(room, gpu.compute // profile.compute) == profile.most
        assert profile.name.startswith(f"{profile.compute}g.")
    whole = max(gpu.profiles, key=lambda one: one.memory)
    assert (whole.compute, whole.memory) == (gpu.compute, gpu.memory)


@EACH
def test_instances_never_overlap_however_many_tenants_there_are(name):
    gpu = gpus()[name]
    for count in range(1, gpu.compute + 1):
        found = plan(gpu, {f"t{n}": need(2.0) for n in range(count)})
        assert len(found.instances) == count
        slices = [s for one in found.instances
                  for s in range(one.start, one.start + one.profile.memory)]  # fmt: skip
        assert len(slices) == len(set(slices))
        assert max(slices) < gpu.memory
        assert sum(one.profile.compute for one in found.instances) <= gpu.compute
        assert all(one.start in one.profile.starts for one in found.instances)
    too_many = plan(gpu, {f"t{n}": need(2.0) for n in range(gpu.compute + 1)})
    assert not too_many.instances
    assert "together" in too_many.why


def test_a_tenant_has_no_smaller_profile_than_it_needs_and_what_is_left_is_given_away():
    assert profiles_of("A100-80", a=2) == ["7g.80gb"]
    assert sorted(profiles_of("A100-80", a=2, b=2, c=2)) == ["2g.20gb", "2g.20gb", "3g.40gb"]
    assert profiles_of("A100-80", a=30, b=2) == ["4g.40gb", "3g.40gb"]
    assert profiles_of("H200", a=60, b=16, c=16)[0] == "3g.71gb"
    assert profiles_of("A30", a=11, b=11) == ["2g.12gb", "2g.12gb"]


def test_what_fits_no_profile_is_said():
    found = plan(gpus()["A30"], {"small": need(2), "big": need(30)})
    assert not found.instances
    assert found.why == "big does not fit any profile of NVIDIA A30 24GB"


def test_the_commands_place_each_instance_and_make_its_compute_instance():
    found = plan(gpus()["A100-40"], {"a": need(15), "b": need(15)})
    assert commands(found.instances, 1) == [
        "nvidia-smi -i 1 -mig 1",
        "nvidia-smi mig -i 1 -cgi 4g.20gb:0,3g.20gb:4 -C",
        "nvidia-smi -L",
    ]


def test_the_largest_batch_is_that_of_the_room_that_all_else_leaves():
    small = ModelNeed("Landmark", "small", 1, 1, GB, 0)
    big = ModelNeed("Detection", "big", 2, 64, GB, GB // 2)
    of_both = Need((small, big))
    room = of_both.room_for_largest(20 * GB)
    batch = big.largest_batch(room)
    assert 0 < batch < 64
    assert Need((small, ModelNeed("D", "b", 2, batch, GB, GB // 2))).bytes <= 20 * GB
    assert Need((small, ModelNeed("D", "b", 2, batch + 1, GB, GB // 2))).bytes > 20 * GB
    assert Need((small, big), processes=2).bytes == 2 * of_both.bytes


@pytest.fixture
def tenants(tmp_path, models):
    """A file with two tenants with a device and one without, of these batches in Detection."""

    def made(batch: int):
        settings = yaml.safe_load((ROOT / "config.yml").read_text())
        settings["models_dir"] = str(models)
        settings["op"]["Detection"]["batch_size"] = batch
        (tmp_path / "base.yml").write_text(yaml.safe_dump(settings))
        entries = [
            entry("attendance", device="0", shared_device=True),
            entry("access", (9201, 9202, 9203), device="0", shared_device=True),
            entry("visitors", (9301, 9302, 9303)),
        ]
        return str(write_tenants(tmp_path, entries, config="base.yml"))

    return made


def test_the_command_proposes_profiles_and_runs_nothing(tenants, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert main(["mig", "plan", "--tenants", tenants(4), "--gpu", "H100"]) == 0
    output = capsys.readouterr().out
    assert "sudo nvidia-smi mig -i 0 -cgi 4g.40gb:0,3g.40gb:4 -C" in output
    assert "visitors" not in output
    assert "https://docs.nvidia.com/" in output
    assert main(["mig", "plan", "--tenants", tenants(4), "--gpu", "H100", "--all"]) == 0
    assert "visitors" in capsys.readouterr().out


def test_the_command_says_which_model_with_which_batch_does_not_fit(tenants, capsys):
    assert main(["mig", "plan", "--tenants", tenants(256), "--gpu", "A30"]) == 1
    output = capsys.readouterr().out
    assert "with batches of 256 on 2 threads does not fit 4g.24gb" in output
    assert "op.Detection.batch_size of at most" in output
    assert main(["mig", "plan", "--tenants", tenants(256), "--gpu", "H200", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["too_small"] for one in document["tenants"]] == [
        ["1g.18gb", "1g.35gb", "2g.35gb"]
    ] * 2
    assert document["tenants"][0]["largest"]["batch"] == 256
