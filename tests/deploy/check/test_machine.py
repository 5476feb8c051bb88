"""Nothing that the check asks can hold it up, and nothing that is missing stops it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from deploy.check.machine import MOST_BYTES, HangsError, ThisMachine, within
from deploy.check.probes import containers, gpu

HASTY_S = 0.3


@pytest.fixture
def hasty() -> ThisMachine:
    return ThisMachine(patience_s=HASTY_S)


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def programs(tmp_path) -> ThisMachine:
    """A machine whose programs are those of a folder, for all that is asked of them."""
    path = os.pathsep.join((str(tmp_path), os.environ["PATH"]))
    return ThisMachine(HASTY_S, {**os.environ, "PATH": path})


def test_a_program_that_hangs_is_told_of_and_ended_with_all_that_it_started(tmp_path, programs):
    program(tmp_path, "hanging", f"sleep 300 & echo $! > {tmp_path}/child; sleep 300")
    with pytest.raises(HangsError, match=r"hanging gave no answer within 0\.3 s"):
        programs.run("hanging")
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 30
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_child_that_holds_the_output_is_not_waited_for(tmp_path):
    program(tmp_path, "leaving", "sleep 300 & echo said")
    path = os.pathsep.join((str(tmp_path), os.environ["PATH"]))
    # Patient enough for any load; whoever waited for the child would wait for 300 s.
    answer = ThisMachine(60, {**os.environ, "PATH": path}).run("leaving")
    assert (answer.status, answer.out) == (0, "said\n")


def test_nvidia_smi_that_hangs_is_a_failure_that_says_so(tmp_path, programs):
    program(tmp_path, "nvidia-smi", "sleep 300")
    finding, cards = gpu._ask(programs)
    assert (finding.outcome.value, finding.case, cards) == ("fail", "hangs", [])
    assert "nvidia-smi gave no answer" in finding.found


def test_an_engine_of_containers_that_hangs_is_a_failure_that_says_so(tmp_path, programs):
    program(tmp_path, "docker", "sleep 300")
    program(tmp_path, "podman", "echo podman version 4.9.3")
    findings = {one.item: one for one in containers.probe(programs, False)}
    assert "docker gave no answer" in findings["containers.docker"].found
    assert findings["containers.docker"].outcome.value == "fail"


def test_a_file_that_gives_no_answer_hangs_nothing(tmp_path, hasty):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HangsError, match="pipe"):
        hasty.read(str(tmp_path / "pipe"))


def test_a_call_that_raises_in_time_raises_here():
    with pytest.raises(ZeroDivisionError):
        within("a division", lambda: 1 / 0)


def test_a_call_that_takes_too_long_is_left_alone():
    go_on = threading.Event()
    with pytest.raises(HangsError, match=r"a server gave no answer within 0\.1 s"):
        within("a server", go_on.wait, 0.1)
    go_on.set()


def test_what_is_missing_is_none_or_empty(tmp_path):
    machine = ThisMachine()
    nowhere = str(tmp_path / "nowhere")
    assert machine.read(nowhere) is None
    assert machine.entries(nowhere) == ()
    assert machine.link(nowhere) is None
    assert machine.space(nowhere) is None
    assert machine.sync_ms(nowhere) is None
    assert machine.run("a-program-that-nobody-has").is_missing
    assert machine.environment("A_VARIABLE_THAT_NOBODY_HAS") == ""


def test_a_program_that_may_not_be_run_is_as_good_as_missing(tmp_path):
    (tmp_path / "locked").write_text("#!/bin/sh\n")
    assert ThisMachine().run(str(tmp_path / "locked")).is_missing


def test_of_a_long_file_the_end_is_read(tmp_path):
    file = tmp_path / "long"
    with file.open("wb") as opened:
        opened.truncate(MOST_BYTES + 1000)
        opened.seek(0, os.SEEK_END)
        opened.write(b"the end")
    text = ThisMachine().read(str(file))
    assert len(text) == MOST_BYTES
    assert text.endswith("the end")


def test_programs_speak_english(tmp_path, programs):
    program(tmp_path, "speaking", "echo $LC_ALL $LANGUAGE")
    assert programs.run("speaking").out == "C C\n"


def test_nothing_is_left_of_the_write_that_measures_a_disk(tmp_path):
    assert ThisMachine().sync_ms(str(tmp_path)) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_link_of_a_process_that_ends_meanwhile_leads_nowhere(monkeypatch, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("target")
    assert ThisMachine().link(str(link)) == str(tmp_path / "target")

    def gone(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(os.path, "realpath", gone)
    assert ThisMachine().link(str(link)) is None
