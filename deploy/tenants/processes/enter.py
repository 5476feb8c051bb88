"""``-m deploy.tenants.processes.enter ORDER FILE ...``: a program within a tenant's limits.

ORDER is JSON: join, the groups' folders; cores, their numbers; data_bytes, of each process, or
null. The program runs in this process and ends with the one that started it.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import sys
from pathlib import Path

from runtime.process import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    order = json.loads(sys.argv[1])
    for folder in order["join"]:
        Path(folder, "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    if order["cores"]:
        os.sched_setaffinity(0, order["cores"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if order["data_bytes"]:
        most = order["data_bytes"]
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    del sys.argv[:2]
    runpy.run_path(sys.argv[0], run_name="__main__")
