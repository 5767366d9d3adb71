"""The one place where Ansible's plugins meet the settings model `capstan.config` of this same checkout."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ansible.errors import AnsibleError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from capstan.config import CaptureConfig

# Not the symlink under collections/: the checkout, or the folder of the installed collection.
COLLECTION = Path(__file__).resolve().parents[2]
PREFIX = "capture_"
# Where the role leaves a host's targets.
HOST_TARGETS = "/etc/capstan/targets.json"

_ETHERNET = 1  # DLT_EN10MB, the link type of every capture port
_SNAPLEN = 262_144


def model() -> Any:
    """The module `capstan.config`, out of appliance/src of this collection.

    Raises:
        AnsibleError: when the controller's Python lacks what the model needs.
    """
    sources = str(COLLECTION / "appliance" / "src")
    if sources not in sys.path:
        sys.path.insert(0, sources)
    try:
        import capstan.config  # noqa: PLC0415 - found only by the path set above
    except ImportError as error:
        raise AnsibleError(
            f"controller: the settings model can't be loaded by {sys.executable} ({error}); "
            "install what it needs: pip install -r setup/requirements.txt"
        ) from error
    return capstan.config


def deployment_variables() -> frozenset[str]:
    """The `capture_*` variables that direct the playbooks and are no settings of the appliance.

    The argument specifications of the roles declare them; whatever is in neither place is a mistake.
    """
    declared = {
        option
        for path in (COLLECTION / "roles").glob("*/meta/argument_specs.yml")
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
        for option in entry.get("options", {})
        if option.startswith(PREFIX)
    }
    return frozenset(declared.difference(model().INVENTORY_VARIABLES))


def settings_of(variables: Iterable[str], value: Callable[[str], Any]) -> dict[str, Any]:
    """The `capture_*` settings among a host's variables, each brought to its value by `value`."""
    ignored = deployment_variables()
    return {name: value(name) for name in variables if name.startswith(PREFIX) and name not in ignored}


def config_of(host: str, settings: Mapping[str, Any]) -> CaptureConfig:
    """Validate one host's settings.

    Raises:
        AnsibleError: with a sentence for each mistake.
    """
    try:
        config: CaptureConfig = model().from_inventory(host, settings)
    except model().ConfigError as error:
        raise AnsibleError(str(error)) from error
    return config


TARGETS = f"{PREFIX}targets"
TARGETS_FILE = f"{PREFIX}targets_file"


def settings_of_host(variables: Iterable[str], value: Callable[[str], Any]) -> dict[str, Any]:
    """As settings_of, and the targets, which may be many and are secret, stand in a file of their own on the host."""
    written = settings_of((name for name in variables if name != TARGETS), value)
    listed = TARGETS in variables and value(TARGETS) is not None
    if listed or written.get(TARGETS_FILE) is not None:
        written[TARGETS_FILE] = HOST_TARGETS
    return written


def targets_of(host: str, variables: Iterable[str], value: Callable[[str], Any], read: Callable[[str], str]) -> Any:
    """The targets that the inventory gives a host, or None: everything is captured there.

    Args:
        host: its name in the inventory.
        variables: names of its variables.
        value: brings a variable to its value.
        read: the text of a file on the controller, decrypted.

    Raises:
        AnsibleError: with a sentence for each mistake.
    """
    targets = importlib.import_module(model().__package__ + ".targets")
    written = settings_of((name for name in variables if name in {TARGETS, TARGETS_FILE}), value)
    try:
        if written.get(TARGETS_FILE) is not None:
            return targets.read_text(read(written[TARGETS_FILE]), f"host {host}: {TARGETS_FILE}")
        if written.get(TARGETS) is not None:
            plain = importlib.import_module(model().__package__ + ".config_problems").plain(written[TARGETS])
            return targets.parse(plain, f"host {host}: {TARGETS}")
    except targets.TargetError as error:
        raise AnsibleError(str(error)) from error
    return None


def decrypted_text(host: str, loader: Any) -> Callable[[str], str]:
    """Reads files of the controller, as Ansible's loader finds and decrypts them."""

    def read(path: str) -> str:
        try:
            return Path(loader.get_real_file(loader.path_dwim(path))).read_text(encoding="utf-8")
        except (AnsibleError, OSError, UnicodeDecodeError) as error:
            reason = str(getattr(error, "message", None) or error).splitlines()[0].rstrip(".")
            raise AnsibleError(
                f"host {host}: {TARGETS_FILE}: {path} can't be read on the controller ({reason}); "
                "correct the path, or give the password of ansible-vault"
            ) from None  # the loader's own words go on about modules

    return read


def size_fields(settings: type[BaseModel]) -> frozenset[str]:
    """Names of the settings that are sizes in bytes."""
    quantities = importlib.import_module(model().__package__ + ".quantities")
    return frozenset(
        name
        for name, field in settings.model_fields.items()
        if any(getattr(rule, "func", None) is quantities.parse_size for rule in field.metadata)
    )


def spelt_size(size: int) -> int | str:
    """A size as an operator would write it, with the largest unit that leaves a whole number: 1048576 -> "1MiB"."""
    for exponent, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size and size % (1 << exponent) == 0:
            return f"{size >> exponent}{unit}"
    return size


def filter_error(expression: str) -> str | None:
    """What libpcap says against a filter expression, or None when it compiles.

    The engine compiles it by the same library; asking here, on the controller, keeps a mistyped filter away from
    every host.

    Raises:
        AnsibleError: when the controller has no libpcap.
    """
    name = ctypes.util.find_library("pcap")
    if name is None:
        raise AnsibleError(
            "controller: capture_filter can't be checked because libpcap is missing; "
            "install it here (Debian: apt install libpcap0.8) and run the playbook again"
        )
    pcap = ctypes.CDLL(name)
    pcap.pcap_open_dead.restype = ctypes.c_void_p
    pcap.pcap_geterr.restype = ctypes.c_char_p
    # struct bpf_program: an int and a pointer, allocated for as long as the check takes.
    program = (ctypes.c_void_p * 2)()
    handle = ctypes.c_void_p(pcap.pcap_open_dead(_ETHERNET, _SNAPLEN))
    try:
        if pcap.pcap_compile(handle, program, expression.encode(), 1, ctypes.c_uint32(0xFFFFFFFF)) == 0:
            pcap.pcap_freecode(program)
            return None
        told: bytes = pcap.pcap_geterr(handle)
        return told.decode(errors="replace")
    finally:
        pcap.pcap_close(handle)
