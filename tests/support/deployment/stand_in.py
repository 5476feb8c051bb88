"""A project in small for tests of the role: the same commands, by files that take a moment.

What each was called with stands in /var/log/calls of the machine that it runs on.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

_INSTALL = '''#!/usr/bin/python3
"""Says and does what deploy/install does, with a release that is made in a moment."""
import os, pathlib, shutil, subprocess, sys
arguments = [word for word in sys.argv[1:] if word != "--dry-run"]
with open("/var/log/calls", "a") as log:
    log.write(" ".join(["install", *sys.argv[1:]]) + "\\n")
done = pathlib.Path("/opt/face-serving/installed")
if done.exists() and done.read_text() == " ".join(arguments):
    print("nothing differs: 0.1.0 is installed; nothing was changed")
elif "--dry-run" in sys.argv:
    print("would make the user face-serving")
    print("1 steps would be taken; nothing was changed")
else:
    release = pathlib.Path("/opt/face-serving/current")
    shutil.rmtree(release, ignore_errors=True)
    (release / ".venv/bin").mkdir(parents=True)
    (release / ".venv/bin/python").symlink_to("/usr/bin/python3")
    for name in ("deploy", "gateway"):
        shutil.copytree(name, release / name)
    for folder in ("/etc/face-serving", "/var/lib/face-serving"):
        os.makedirs(folder, exist_ok=True)
    pathlib.Path("/etc/face-serving/config.yml").write_text("name: ArcFace\\n")
    if subprocess.run(["id", "face-serving"], capture_output=True).returncode:
        subprocess.run(["useradd", "--system", "--user-group", "face-serving"], check=True)
    done.write_text(" ".join(arguments))
    print("make the user face-serving")
'''
_DEPLOY = '''"""check: what it was asked; tenants render: files of a tenant. Calls are noted."""
import os, pathlib, sys
with open("/var/log/calls", "a") as log:
    log.write(" ".join([os.getcwd(), *sys.argv[1:]]) + "\\n")
if sys.argv[1] == "check":
    # As much as the machine lacks.
    print("READY" if not os.path.exists("/etc/lacking") else "NOT READY: /dev/shm")
    sys.exit(os.path.exists("/etc/lacking"))
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
files = {
    "systemd/face-tenants.target": "[Unit]\\nDescription=All tenants\\n",
    "tmpfiles.d/face-tenants.conf": "d /var/lib/face-serving/access 0700 face-serving -\\n",
    "prometheus/prometheus.yml": """scrape_configs:
- job_name: face-gateway-access
  authorization: {credentials_file: /var/lib/face-serving/access/admin.key}
  static_configs: [{targets: ["127.0.0.1:9103"], labels: {job: face-gateway, tenant: access}}]
""",
}
changed = 0
for name, text in files.items():
    file = out / name
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        changed += 1
print(f"{len(files)} files, {changed} of them new or changed", file=sys.stderr)
'''
_GATEWAY = '''"""keys create: a key of the right form."""
import getpass, json
assert getpass.getuser() == "face-serving"
print(json.dumps({"id": "ak_1", "secret": "not-to-be-shown"}))
'''
_RULES = """groups:
  - name: face
    rules:
      - {alert: FaceServiceDown, expr: "up == 0", for: 1m}
"""
_FILES = {
    "deploy/install": (_INSTALL, 0o755),
    "deploy/__init__.py": ("", 0o644),
    "deploy/__main__.py": (_DEPLOY, 0o644),
    "deploy/monitoring/rules/service.yml": (_RULES, 0o644),
    "gateway/__init__.py": ("", 0o644),
    "gateway/__main__.py": (_GATEWAY, 0o644),
}


def write_archive(file: Path) -> None:
    """An archive as `git archive` makes one."""
    with tarfile.open(file, "w:gz") as archive:
        for folder in ("deploy", "deploy/monitoring", "deploy/monitoring/rules", "gateway"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, (text, mode) in _FILES.items():
            content = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
