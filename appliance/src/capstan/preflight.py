"""Everything that can be known to go wrong is found here, before anything is changed."""

from __future__ import annotations

import errno
import grp
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from capstan import captures, guard, namespaces
from capstan.config import CaptureConfig
from capstan.config_fields import AUTO_METHOD
from capstan.engine_config import Plan, engine_json, resolve
from capstan.errors import OperatorError
from capstan.links import Network, read_network
from capstan.machine import Machine
from capstan.machine_read import read_machine
from capstan.means import Means, local_means
from capstan.paths import Paths
from capstan.plan_problems import PlanError
from capstan.planner_memory import MEMORY_SHARE, dpdk_bytes, dpdk_ordinary_bytes
from capstan.quantities import format_size

AF_XDP = 44  # linux/socket.h
_CHECK_SECONDS = 60  # compiling a filter of a thousand hosts takes its time


# Under which name a problem of the plan is told, by the end or the beginning of its key.
_CHECK_OF = {
    "queues": "queues",
    "interfaces": "interfaces",
    "buffers": "memory",
    "hugepages": "hugepages",
    "cores": "cpus",
    "kernel": "kernel",
    "dpdk": "driver",
    "method": "method",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: str
    """ok, warning, or failed."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found, and the plan when nothing stands against it."""

    checks: tuple[Check, ...]
    plan: Plan | None

    @property
    def failed(self) -> tuple[str, ...]:
        """A sentence for each reason not to start."""
        return tuple(check.sentence for check in self.checks if check.state == "failed")


def controller_of_ssh() -> str | None:
    """Address of the host from which this one is administered by ssh."""
    return os.environ.get("SSH_CONNECTION", "").split(" ")[0] or None


def local_machine() -> Machine:
    """The facts of this machine.

    Raises:
        OperatorError: a record of the preparation of this host is damaged.

    """
    try:
        return read_machine()
    except ValueError as error:
        raise OperatorError(f"{error}.") from None


def means_for(config: CaptureConfig, paths: Paths) -> Means:
    """What this host has for the methods that auto may choose from, as it is; nobody looks where none says auto."""
    return local_means(paths, prepares=False) if AUTO_METHOD in config.methods else Means(prepares=False)


def inspect(config: CaptureConfig, paths: Paths, controller: str | None = None) -> Preflight:
    """Look at everything that a start needs.

    Args:
        config: the host's settings.
        paths: where things are.
        controller: IP address whose route must not be touched.

    """
    checks = [*_engine(paths), *_kernel(config), *_accounts(config)]
    if config.netns is not None and not namespaces.exists(config.netns):
        sentence = (
            f"host {config.host}: netns: the network namespace {config.netns} does not exist; "
            f"make it with `ip netns add {config.netns}`, or write another name."
        )
        return Preflight((*checks, Check("netns", "failed", sentence)), None)
    # The controller's route is the host's own affair: inside a namespace the same address means nothing.
    network = read_network(config.netns, controller if config.netns is None else None)
    machine = local_machine()
    try:
        plan = resolve(config, network, machine, means_for(config, paths))
    except PlanError as error:
        failed = [
            Check(_check_of(key), "failed", f"host {config.host}: {key}: {sentence}.")
            for key, sentence in error.problems
        ]
        return Preflight((*checks, *failed), None)
    checks += [
        *_guard(plan, network),
        *_dpdk(plan, machine),
        *_pf_ring(plan),
        *_dag(plan),
        *_memory(plan),
        *_output(config),
    ]
    if not any(check.state == "failed" for check in checks):
        checks += _engine_accepts(plan, paths)
    return Preflight(tuple(checks), None if any(check.state == "failed" for check in checks) else plan)


def _check_of(key: str) -> str:
    return _CHECK_OF.get(key.rpartition(".")[2]) or _CHECK_OF[re.split(r"[.[]", key)[0]]


def require(preflight: Preflight) -> Plan:
    """The plan, or every reason why there is none.

    Raises:
        OperatorError: one sentence a line.

    """
    if preflight.plan is None:
        raise OperatorError("\n".join(preflight.failed))
    return preflight.plan


def _engine(paths: Paths) -> Iterator[Check]:
    if os.access(paths.engine, os.X_OK) and paths.engine.is_file():
        yield Check("engine", "ok", f"The engine is {paths.engine}.")
    else:
        yield Check("engine", "failed", f"The engine {paths.engine} is not there; install the package capstan-engine.")


def _kernel(config: CaptureConfig) -> Iterator[Check]:
    if os.geteuid() != 0 and set(config.methods) != {"replay"}:
        yield Check("privileges", "failed", "Capture ports can be opened by root alone; run capstan as root.")
        return
    families = {"af_packet": socket.AF_PACKET, "pcap": socket.AF_PACKET, "af_xdp": AF_XDP}
    for method in config.socket_methods:
        family = families.get(method)
        if family is None:
            continue  # of those that auto chooses from, it leaves out what the kernel refuses
        try:
            socket.socket(family, socket.SOCK_RAW).close()
        except OSError as error:
            remedy = (
                "boot a kernel that has them, or write another method"
                if error.errno == errno.EAFNOSUPPORT
                else "give this container CAP_NET_RAW, or run on the host itself"
            )
            reason = f"{method} needs sockets that the kernel refuses ({error.strerror})"
            sentence = f"host {config.host}: method: {reason}; {remedy}."
            yield Check("kernel", "failed", sentence)
        else:
            yield Check("kernel", "ok", f"The kernel has the sockets that {method} needs.")


def _accounts(config: CaptureConfig) -> Iterator[Check]:
    for kind, name, find in (("user", config.user, pwd.getpwnam), ("group", config.group, grp.getgrnam)):
        try:
            find(name)
        except KeyError:
            sentence = (
                f"host {config.host}: {kind}: there is no {kind} {name}; make it with "
                f"`{'useradd --system --no-create-home' if kind == 'user' else 'groupadd --system'} {name}`, "
                "or write another name."
            )
            yield Check(kind, "failed", sentence)
        else:
            yield Check(kind, "ok", f"The {kind} {name} exists.")


def _guard(plan: Plan, network: Network) -> Iterator[Check]:
    for port in plan.ports:
        if port.link is None:
            continue
        refused = list(guard.refusals(network, port.link.name))
        for sentence in refused:
            yield Check("guard", "failed", f"host {plan.config.host}: interfaces: {sentence}")
        if not refused:
            yield Check("guard", "ok", f"{port.link.name} is free for capture.")


def _dpdk(plan: Plan, machine: Machine, devices: Path = Path("/dev")) -> Iterator[Check]:
    """Whether DPDK finds its NICs, and memory for their frames."""
    deploy = "run playbooks/deploy.yml for this host"
    ports = [port for port in plan.ports if port.method == "dpdk"]
    for port in ports:
        if port.planned.vdev is not None:
            continue  # the engine makes it
        nic, wanted = machine.nic(port.interface), port.planned.driver
        driver = nic.driver if nic else None
        if wanted is not None and driver != wanted:
            sentence = f"{port.interface} is on {driver or 'no driver'}, and dpdk needs it on {wanted}"
            yield Check("driver", "failed", f"host {plan.config.host}: dpdk.driver: {sentence}; {deploy}.")
        elif wanted == "vfio-pci" and not (devices / "vfio/vfio").exists():
            sentence = f"{devices / 'vfio/vfio'} is missing; run `modprobe vfio-pci`, or {deploy}"
            yield Check("driver", "failed", f"host {plan.config.host}: dpdk.driver: {sentence}.")
        else:
            yield Check("driver", "ok", f"{port.interface} is on {driver}, as dpdk needs it.")
    if ports and plan.config.dpdk.huge:
        needed = sum(dpdk_bytes(plan.config, port.queues) for port in ports)
        free = sum(pages.free * pages.size for node in machine.nodes for pages in node.hugepages)
        told = f"{format_size(free)} of hugepages are free"
        if free < needed:
            other = "" if plan.config.dpdk_has_nics else ", or write dpdk.huge: false"
            sentence = f"dpdk needs {format_size(needed)} for its frames, and {told}; {deploy}, or reserve more{other}"
            yield Check("hugepages", "failed", f"host {plan.config.host}: hugepages: {sentence}.")
        else:
            yield Check("hugepages", "ok", f"{told}; dpdk needs {format_size(needed)}.")


def _pf_ring(plan: Plan, proc: Path = Path("/proc/net/pf_ring")) -> Iterator[Check]:
    """Whether the vendor's module is there; in another network namespace it tells nothing here."""
    if plan.config.netns is not None or all(port.method != "pf_ring" for port in plan.ports):
        return
    try:
        lines = (proc / "info").read_text().splitlines()
    except FileNotFoundError:
        sentence = "pf_ring needs the vendor's kernel module pf_ring, which is not loaded"
        remedy = "run playbooks/deploy.yml for this host, or `modprobe pf_ring`"
        yield Check("module", "failed", f"host {plan.config.host}: method: {sentence}; {remedy}.")
        return
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    version, slots = told.get("PF_RING Version", "?").split(" ")[0], told.get("Ring slots", "?")
    yield Check("module", "ok", f"The module of PF_RING {version} is loaded, with {slots} slots a ring.")


def _dag(plan: Plan, devices: Path = Path("/dev")) -> Iterator[Check]:
    """Whether the engine, which opens a card as root, may open it again as its own user when it was away."""
    for port in plan.ports:
        if port.method != "dag":
            continue
        device = devices / port.interface
        if _permitted(plan.config.user, "-r", device, "-a", "-w", device):
            yield Check("card", "ok", f"{device} is there.")
        else:
            sentence = f"{device} is there, and the user {plan.config.user} may not open it: after the card was away"
            remedy = f"the capture must be started anew; give it to the group {plan.config.group} by a udev rule"
            yield Check("card", "warning", f"{sentence}, {remedy}.")


def _memory(plan: Plan) -> Iterator[Check]:
    available = psutil.virtual_memory().available
    rings = plan.ring_bytes
    # DPDK has its share of the hugepages first, or of ordinary memory.
    dpdk = sum(port.queues for port in plan.ports if port.method == "dpdk")
    frames = 0 if plan.config.dpdk.huge else dpdk_ordinary_bytes(plan.config.dpdk.descriptors, dpdk)
    huge = max(0, _free_hugepages() - (dpdk_bytes(plan.config, dpdk) if plan.config.dpdk.huge else 0))
    in_huge = plan.config.buffers.hugepages != "off" and huge >= plan.pool_bytes
    if plan.config.buffers.hugepages == "on" and not in_huge:
        sentence = (
            f"host {plan.config.host}: buffers.hugepages: is on, needs {format_size(plan.pool_bytes)} of hugepages and "
            f"{format_size(huge)} are free; reserve more in /proc/sys/vm/nr_hugepages, or write auto."
        )
        yield Check("hugepages", "failed", sentence)
    needed = rings + frames + (0 if in_huge else plan.pool_bytes)
    of_dpdk = f"{format_size(frames)} for DPDK's frames, " if frames else ""
    told = f"{of_dpdk}{format_size(rings)} for rings and {format_size(plan.pool_bytes)} for blocks"
    if needed > MEMORY_SHARE * available:
        sentence = (
            f"host {plan.config.host}: buffers: {told} of {plan.queues} queues do not fit into the "
            f"{format_size(available)} of memory available; write fewer queues, smaller rings or fewer blocks."
        )
        yield Check("memory", "failed", sentence)
    else:
        yield Check("memory", "ok", f"{told} fit into the {format_size(available)} available.")


def _free_hugepages() -> int:
    """Free memory in hugepages of the default size."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return values.get("HugePages_Free", 0) * values.get("Hugepagesize", 0) * 1024


def _output(config: CaptureConfig) -> Iterator[Check]:
    directory = Path(config.output.directory)
    key = f"host {config.host}: output.directory"
    there = directory
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        yield Check("output", "failed", f"{key}: {there} is not a directory; remove it, or write another directory.")
        return
    # The supervisor makes what is missing, with the right owner; what exists belongs to somebody and stays as it is.
    if there == directory and not _permitted(config.user, "-w", directory, "-a", "-x", directory):
        sentence = (
            f"{key}: {directory} cannot be written by the user {config.user}; "
            f"run `chown {config.user}: {directory}` and let every directory above be entered, or write another one."
        )
        yield Check("output", "failed", sentence)
        return
    usage = shutil.disk_usage(there)
    ours = captures.bytes_held(directory)
    if usage.free + ours < config.output.min_free:
        sentence = (
            f"host {config.host}: output.min_free: {format_size(config.output.min_free)} are to stay free and "
            f"{directory} has {format_size(usage.free)}; free some space, or write a smaller min_free."
        )
        yield Check("space", "failed", sentence)
    else:
        yield Check("space", "ok", f"{directory} has {format_size(usage.free)} free.")


def _permitted(user: str, *words: object) -> bool:
    """Ask the kernel as that user, in words of test(1): modes, ACLs, parents and read-only mounts have their say."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return False
    test = ["test", *map(str, words)]
    if os.geteuid() != 0:
        return subprocess.run(test, check=False).returncode == 0
    groups = os.getgrouplist(user, account.pw_gid)
    answer = subprocess.run(test, check=False, user=account.pw_uid, group=account.pw_gid, extra_groups=groups, cwd="/")
    return answer.returncode == 0


def _engine_accepts(plan: Plan, paths: Paths) -> Iterator[Check]:
    """Have the engine read its settings and compile the filter, without starting anything."""
    with tempfile.TemporaryDirectory(prefix="capstan-check-") as directory:
        file = Path(directory) / "engine.json"
        file.write_text(json.dumps(engine_json(plan, paths)))
        command = [str(paths.engine), "--check", "--config", str(file)]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            yield Check(
                "engine_check", "failed", f"The engine could not check its settings ({error}); install it anew."
            )
            return
    if answer.returncode == 0:
        yield Check("engine_check", "ok", "The engine accepts its settings.")
    else:
        reason = last_error(answer.stderr) or f"it ended with exit code {answer.returncode}"
        reason = reason.replace(f"{file}: ", "")
        yield Check("engine_check", "failed", f"host {plan.config.host}: the engine refuses its settings: {reason}")


def last_error(log: str) -> str | None:
    """The sentence of the last error record in the engine's log lines."""
    for line in reversed(log.splitlines()):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("level") == "error":
            return str(record.get("message"))
    return None
