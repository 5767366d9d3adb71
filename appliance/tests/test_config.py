"""The settings: what is accepted, and the one sentence for each mistake."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capstan.config import (
    INVENTORY_VARIABLES,
    CaptureConfig,
    ConfigError,
    check_fleet,
    from_inventory,
    json_schema,
    load,
)
from capstan.quantities import format_size, parse_size


def inventory(text: str) -> CaptureConfig:
    return from_inventory("r1", yaml.safe_load(text))


def test_method_and_interface_are_enough() -> None:
    config = inventory("capture_method: af_xdp\ncapture_interfaces: [{name: eth1}]")
    assert config.methods == ("af_xdp",)
    assert config.output.rotate_size == 1 << 30
    assert config.host == "r1"


def test_variables_of_others_are_left_alone() -> None:
    assert inventory("ansible_host: 192.0.2.1\ncapture_interfaces: [{name: eth1}]").interfaces[0].name == "eth1"


ONE = "capture_interfaces: [{name: eth1}]\n"
MISTAKES = [
    ("capture_interfaces: [{pci: 0000:19:00.1}]", 'interfaces[0].pci: was read by YAML as the number 1140.1 .* write pci: "0000:19:00.1"'),
    ("capture_interfaces: [{pci: 1:19:00}]", 'interfaces[0].pci: was read by YAML as the number 4740 .* write pci: "0001:19:00.0"'),
    ("capture_interfaces: [{pci: '19:00.1'}]", "interfaces[0].pci: .* lacks the PCI domain; write \"0000:19:00.1\""),
    ("capture_interfaces: [{pci: nonsense}]", "interfaces[0].pci: .* is not a PCI address"),
    ("capture_interfaces: [{queues: 2}]", "interfaces[0]: has neither name nor pci"),
    ("capture_interfaces: [{name: 5}]", "interfaces[0].name: is 5, .* put it in quotes"),
    ("capture_interfaces: [{name: a-name-beyond-ifnamsiz}]", "interfaces[0].name: .* cannot be the name of an interface"),
    ("capture_interfaces: [eth1]", "interfaces[0]: is 'eth1'; write {name: eth1}"),
    ("capture_interfaces: eth1", "interfaces: is 'eth1'; write a list"),
    ("capture_interfaces: []", "interfaces: is empty"),
    ("capture_method: pcap", "interfaces: is missing"),
    ("capture_interfaces: [{name: eth1}, {name: eth1}]", r"interfaces[1]: is eth1 again, as interfaces[0] is"),
    ("capture_interfaces: [{name: eth1, queues: 1000}]", "interfaces[0].queues: is 1000; write 1 to 64"),
    ("capture_interfaces: [{name: eth1, queue: 1}]", "interfaces[0].queue: is not a setting (did you mean 'queues'?)"),
    ("capture_interfaces: [{name: eth1, method: dag}]", "interfaces[0].name: is eth1, and the method dag captures from a DAG card; write /dev/dag0"),
    ("capture_interfaces: [{name: /dev/eth1}]", "interfaces[0].name: .* cannot be the name of an interface"),
    ("capture_interfaces: [{name: dag0, method: dag, mac: '3c:fd:fe:00:00:01'}]", "interfaces[0].mac: belongs to a network device"),
    ("capture_interfaces: [{name: dag0, method: dag, streams: [1]}]", "interfaces[0].streams: holds 1, and odd streams transmit"),
    ("capture_interfaces: [{name: dag0, method: dag, streams: [2, 2]}]", "interfaces[0].streams: .* names a stream twice"),
    ("capture_interfaces: [{name: dag0, method: dag, streams: []}]", "interfaces[0].streams: is []; write a list of receive streams"),
    ("capture_interfaces: [{name: dag0, method: dag, streams: [300]}]", "interfaces[0].streams: holds 300; write streams from 0 to 254"),
    ("capture_interfaces: [{name: dag0, method: dag, streams: [0, 2], queues: 3}]", "interfaces[0].queues: is 3 for 2 streams"),
    ("capture_interfaces: [{name: eth1, streams: [0]}]", "interfaces[0].streams: belongs to DAG cards, and the method is af_packet"),
    (ONE + "capture_dag: {library: libdag.so}", "dag.library: is 'libdag.so', which is not absolute"),
    (ONE + "capture_dag: {fcs: maybe}", "dag.fcs: is 'maybe'; write strip, keep or none"),
    (ONE + "capture_dag: {drop_attribute: -3}", "dag.drop_attribute: is -3; write the attribute's name"),
    (ONE + "capture_dag: {snaplen: 9}", "dag.snaplen: is not a setting"),
    ("capture_interfaces: [{name: eth1, mac: 77}]", "interfaces[0].mac: was read by YAML as the number 77 .* put it in quotes"),
    ("capture_interfaces: [{name: eth1, mac: eth1}]", "interfaces[0].mac: .* write a MAC address in quotes"),
    (ONE + "capture_kernel: {arguments: quiet}", "kernel.arguments: is 'quiet'; write a list"),
    (ONE + "capture_kernel: {arguments: ['a b']}", "kernel.arguments: holds 'a b'; write each argument as NAME or NAME=VALUE"),
    (ONE + "capture_kernel: {arguments: [quiet, quiet]}", "kernel.arguments: holds quiet twice"),
    (ONE + "capture_hugepages: {per_node: 512}", "hugepages.per_node: is 512; write pages of each NUMA node"),
    (ONE + "capture_hugepages: {size: 4MiB}", "hugepages.size: is '4MiB'"),
    (ONE + "capture_nic: {rx_ring: most}", "nic.rx_ring: is 'most'; write a whole number"),
    (ONE + "capture_nic: {private_flags: {lldp: 3}}", "nic.private_flags: is .* write flags"),
    (ONE + "capture_dpdk: {driver: igb_uio}", "dpdk.driver: is 'igb_uio', which is not supported; write vfio-pci or uio_pci_generic"),
    (ONE + "capture_netns: lab\ncapture_method: dpdk", "netns: belongs to interfaces of the kernel"),
    (ONE + "capture_reboot: maybe", "reboot: is 'maybe'; write never or auto"),
    (ONE + "capture_method: af_pcket", "method: .* did you mean 'af_packet'"),
    (ONE + "capture_expected_pps: 0", "expected_pps: is 0; write packets a second such as 1500000, or null"),
    (ONE + "capture_expected_pps: lots", "expected_pps: is 'lots'; write packets a second"),
    ("capture_interfaces: [{name: eth1, expected_pps: 1.5}]", "interfaces[0].expected_pps: is 1.5; write packets a second"),
    (ONE + "capture_metod: pcap", "metod: is not a setting (did you mean 'capture_method'?)"),
    (ONE + "capture_host: other", "host: is not a variable of the inventory"),
    ("capture_interfaces: [{name: eth1, queues: 2}]\ncapture_method: pcap", "interfaces[0].queues: .* reads one queue"),
    ("capture_interfaces: [{name: eth1, queues: 9}]\ncapture_cores: [1, 2]", "cores: holds 2 CPUs for the 9 queues asked for; write at least 3"),
    (ONE + "capture_cores: [1, 1]", "cores: .* names a CPU twice"),
    (ONE + "capture_cores: 1", "cores: is 1; write a list of CPU numbers"),
    (ONE + "capture_cores: [true]", "cores: is True; write CPU numbers"),
    (ONE + 'capture_filter: "tcp\\nport 80"', "filter: holds a line break"),
    (ONE + "capture_filter: ''", "filter: is empty"),
    (ONE + "capture_netns: /run/netns/a", "netns: .* write the name of a network namespace"),
    (ONE + "capture_snaplen: 10", "snaplen: is 10; write 64 or more"),
    (ONE + "capture_snaplen: 300000", "snaplen: is 300000; write 262144 or less"),
    (ONE + "capture_strict: perhaps", "strict: is 'perhaps'; write true or false"),
    (ONE + "capture_output: /data", "output: is '/data'; write a mapping with keys of directory"),
    (ONE + "capture_output: {directory: data}", "output.directory: is 'data', which is not absolute; write '/data'"),
    (ONE + "capture_output: {directory: /a/../b}", "output.directory: .* without '..'"),
    (ONE + "capture_output: {rotate_size: 1G}", "output.rotate_size: .* write 1GiB"),
    (ONE + "capture_output: {rotate_size: 4MiB}\ncapture_buffers: {block_size: 8MiB}", "output.rotate_size: .* and one block of 8 MiB"),
    (ONE + "capture_output: {rotate_size: 4MiB}\ncapture_buffers: {block_size: 4MiB}", "output.rotate_size: .* at least twice that"),
    (ONE + "capture_output: {rotate_size: 4206591}\ncapture_buffers: {block_size: 4MiB}", "output.rotate_size: .* too little for a file's own pages"),
    (ONE + "capture_output: {rotate_seconds: true}", "output.rotate_seconds: is True; write a whole number"),
    (ONE + "capture_output: {direct_io: sometimes}", "output.direct_io: is 'sometimes'; write auto, on or off"),
    (ONE + "capture_output: {by_target: true}", "output.by_target: is true, and without targets there is nobody"),
    (ONE + "capture_output: {open_files: 5000}", "output.open_files: is 5000; write 4000 or less"),
    (ONE + "capture_buffers: {stream_size: 1MiB}", "buffers.stream_size: is '1MiB'; write 8 MiB or more"),
    (ONE + "capture_buffers: {block_size: 3MiB}", "buffers.block_size: .* not a power of two; write 2097152 or 4194304"),
    (ONE + "capture_buffers: {block_size: 64KiB}", "buffers.block_size: is '64KiB'; write 512 KiB or more"),
    (ONE + "capture_af_packet: {ring_size: 3000KiB}", "af_packet.ring_size: is 3072000 bytes; write whole mebibytes such as 3MiB"),
    (ONE + "capture_af_xdp: {mode: zerocpy}", "af_xdp.mode: is 'zerocpy' (did you mean 'zerocopy'?); write auto, zerocopy, copy or skb"),
    (ONE + "capture_af_xdp: {frames: 5000}", "af_xdp.frames: .* write 4096 or 8192"),
    (ONE + "capture_method: replay", "replay: is missing, and the method replay needs it"),
    (ONE + "capture_method: replay\ncapture_replay: {loops: 2}", "replay: needs exactly one source"),
    (ONE + "capture_user: 'no such user!'", "user: .* write an account name"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), MISTAKES, ids=[sentence[:50] for _, sentence in MISTAKES])
def test_a_mistake_is_told_in_one_sentence_with_host_key_and_remedy(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        inventory(text)
    key, *parts = sentence.split(" .* ")
    assert len(caught.value.problems) == 1
    told = caught.value.problems[0]
    assert told.startswith(f"host r1: capture_{key}")
    assert all(part in told for part in parts)


def test_every_problem_is_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        inventory(
            "capture_method: af_pcket\ncapture_snaplen: 1\ncapture_interfaces: [{pci: 0000:19:00.1}, {name: eth1}]"
        )
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("address", ["0000:19:00.1", "10000:e1:00.0", "10abcd:e1:1f.7"])
def test_domains_of_four_to_six_digits_are_taken(address: str) -> None:
    config = from_inventory("r1", {"capture_interfaces": [{"pci": address.upper()}]})
    assert config.interfaces[0].pci == address


@pytest.mark.parametrize("address", ["1000000:e1:00.0", "100:e1:00.0", "10000:e1:00.8"])
def test_other_domains_are_not(address: str) -> None:
    with pytest.raises(ConfigError, match="is not a PCI address"):
        from_inventory("r1", {"capture_interfaces": [{"pci": address}]})


@given(st.integers(0, 1), st.integers(0, 59), st.integers(0, 31), st.integers(0, 7))
def test_an_unquoted_decimal_pci_address_is_given_back_as_written(
    domain: int, bus: int, device: int, function: int
) -> None:
    address = f"{domain:04d}:{bus:02d}:{device:02d}.{function}"
    with pytest.raises(ConfigError) as caught:
        from_inventory("r1", {"capture_interfaces": [{"pci": yaml.safe_load(address)}]})
    assert f'write pci: "{address}"' in str(caught.value)


def test_a_file_is_loaded_and_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "capstan.yml"
    path.write_text("version: 1\nhost: r2\nmethod: pcap\ninterfaces: [{name: cap0}]\nbuffers: {hugepages: off}\n")
    config = load(path)
    assert (config.host, config.method, config.buffers.hugepages) == ("r2", "pcap", "off")
    for text, sentence in [
        ("method: [", "line 1, column 10"),
        ("method: pcap\nmethod: pcap\n", "line 2, column 1: the key 'method' is written twice"),
        ("just a text", "holds no settings"),
        (
            "host: r2\ninterfaces: [{name: cap0}]\nfliter: x",
            "host r2: fliter: is not a setting (did you mean 'filter'?)",
        ),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert sentence in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "absent.yml")


def test_a_file_has_room_for_one_block_and_its_own_pages() -> None:
    config = inventory(ONE + "capture_output: {rotate_size: 4206592}\ncapture_buffers: {block_size: 4MiB}")
    assert config.output.rotate_size == config.buffers.block_size + 3 * 4096


def test_text_from_the_command_line_counts_as_a_number() -> None:
    assert inventory(ONE + "capture_snaplen: '2000'").snaplen == 2000


def test_the_schema_accepts_what_the_model_accepts_and_names_every_variable() -> None:
    schema: Any = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    good = {"interfaces": [{"pci": "0000:19:00.1", "queues": 4}], "cores": [1, 2], "output": {"rotate_size": "64MiB"}}
    jsonschema.validate(good, schema)
    CaptureConfig.model_validate(good)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"interfaces": [{"name": "a"}], "methd": "pcap"}, schema)
    assert {f"capture_{key}" for key in schema["properties"]} == {
        *INVENTORY_VARIABLES,
        "capture_version",
        "capture_host",
    }


def test_every_setting_has_a_description() -> None:
    schema: Any = json_schema()
    objects = [schema, *schema["$defs"].values()]
    assert [key for entry in objects for key, field in entry["properties"].items() if "description" not in field] == []


def test_one_machine_cannot_have_two_sets_of_settings() -> None:
    a = from_inventory("a", {"capture_interfaces": [{"name": "eth1"}]})
    b = from_inventory("b", {"capture_interfaces": [{"name": "eth1"}]})
    c = from_inventory("c", {"capture_interfaces": [{"name": "eth2"}]})
    check_fleet({"a": "192.0.2.1", "b": "192.0.2.1", "c": "192.0.2.2"}, {"a": a, "b": b, "c": c})
    with pytest.raises(ConfigError, match=r"host c: is the same machine \(192.0.2.1\) as host a"):
        check_fleet({"a": "192.0.2.1", "c": "192.0.2.1"}, {"a": a, "c": c})


@pytest.mark.parametrize(
    ("text", "size"), [("64MiB", 64 << 20), ("1GiB", 1 << 30), (4096, 4096), ("1.5KiB", 1536), ("12", 12), ("7B", 7)]
)
def test_sizes_are_read(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["64MB", "1G", "x", "-1", True, None, "0.3KiB", "1e3"])
def test_sizes_that_mean_nothing_or_two_things_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="write"):
        parse_size(text)


@given(st.integers(0, 1 << 50))
def test_sizes_are_written_with_three_digits(size: int) -> None:
    number, unit = format_size(size).split()
    assert abs(float(number) * parse_size(f"1{unit}") - size) <= size * 0.005


def test_a_card_is_named_as_its_device_is() -> None:
    text = "capture_method: dag\ncapture_interfaces: [{name: /dev/dag0, streams: [0, 2]}, {name: dag1}]"
    config = inventory(text)
    assert [(port.name, port.streams) for port in config.interfaces] == [("dag0", (0, 2)), ("dag1", None)]


@pytest.mark.parametrize(("written", "read"), [("stream_drops", "stream_drops"), (12, 12), ("12", 12), (None, None)])
def test_a_cards_attribute_has_a_name_or_a_number(written: str | int | None, read: str | int | None) -> None:
    config = CaptureConfig.model_validate({"interfaces": [{"name": "eth1"}], "dag": {"drop_attribute": written}})
    assert config.dag.drop_attribute == read
