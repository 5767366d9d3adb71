"""The programs under test, and how other programs are run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 60


def _find(variable: str, path: str) -> Path:
    """The program that the environment names, or else the one that was built last."""
    if named := os.environ.get(variable):
        return Path(named).resolve()
    built = [found for build in ("test", "engine") if (found := _ROOT / "build" / build / path).exists()]
    if not built:
        raise FileNotFoundError(f"{path} is not built: run ./test, or name it in {variable}")
    return max(built, key=lambda found: found.stat().st_mtime)


@cache
def _copied(variable: str, path: str) -> Path:
    found = _find(variable, path)
    return Path(shutil.copy(found, _copies / found.name)).resolve()


_copies = Path()


def copy_to(folder: Path) -> None:
    """Run copies of the programs from there: nobody rebuilds those meanwhile, and every user may look there."""
    global _copies  # noqa: PLW0603 - one session, one folder
    _copies = folder


@cache
def engine() -> Path:
    """capstan-engine, with the methods beside it that are objects of their own."""
    copy = _copied("CAPSTAN_ENGINE", "engine/capstan-engine")
    for method in _find("CAPSTAN_ENGINE", "engine/capstan-engine").parent.glob("source_*.so"):
        shutil.copy(method, copy.parent)
    return copy


def beside_engine(name: str) -> Path:
    """A file that the build leaves beside capstan-engine, such as a method's shared object; it need not be there."""
    return _find("CAPSTAN_ENGINE", "engine/capstan-engine").with_name(name)


@cache
def _standin(name: str, *definitions: str, sources: tuple[str, ...] = (), libraries: tuple[str, ...] = ()) -> Path:
    """A library in the place of a vendor's, built from native/tests/standin."""
    variant = re.sub(r"\W+", "-", "-".join(("standin", *definitions)))
    folder, out = _ROOT / "native/tests/standin", _copies / variant / f"lib{name}_standin.so"
    out.parent.mkdir(exist_ok=True)
    flags = ["-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    includes = [f"-I{_ROOT / 'native' / part}" for part in ("", "drivers", "engine")]
    files = [folder / source for source in (f"{name}_standin.c", *sources)]
    run("cc", *flags, *includes, *[f"-D{word}" for word in definitions], "-o", out, *files, *libraries)
    return out


def pfring(*definitions: str) -> str | None:
    """The library for the method pf_ring: a stand-in, or the vendor's own where that is asked for."""
    if os.environ.get("CAPSTAN_PFRING") == "real":
        return None
    return str(_standin("pfring", *definitions, libraries=("-lpcap",)))


def pfring_module() -> str:
    """A library to be preloaded in the place of the vendor's kernel module, which gives a socket or refuses it."""
    return str(_standin("pfring_module"))


def dag(*definitions: str) -> str | None:
    """The library for the method dag with its configuration library beside it, or the vendor's own as for pf_ring."""
    if os.environ.get("CAPSTAN_DAG") == "real":
        return None
    made = _standin("dag", *definitions, sources=("dag_standin_feed.c",))
    _standin("dagconf", *definitions, libraries=(str(made), "-Wl,-rpath,$ORIGIN"))
    return str(made)


def old_dag() -> str:
    """A stand-in of the time before streams of more than 4 GiB, and without a configuration library."""
    return str(_standin("dag", "STANDIN_OLD", sources=("dag_standin_feed.c",)))


def generator() -> Path:
    """capstan-gen."""
    return _copied("CAPSTAN_GEN", "gen/capstan-gen")


def run(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; with `check` it must succeed."""
    command = [str(word) for word in words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def generate(*words: object) -> dict[str, Any]:
    """Run capstan-gen and return what it tells; a check that finds something missing is no failure of it."""
    done = run(generator(), *words, "--json", check=False)
    assert done.returncode in {0, 1} and done.stdout, f"{words}: {done.returncode}\n{done.stderr}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
