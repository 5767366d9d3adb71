# shellcheck shell=bash
# The machines' hardware: two NUMA nodes, a management NIC, and one capture NIC of each family that qemu emulates.

MACHINE_CPUS=4     # two a node
MACHINE_MEMORY=3072 # MiB, half a node
VIRTIO_QUEUES=4
WIRE_QUEUE=20000 # frames that a cable holds while qemu is busy

POWER_PORT=0x501 # whoever writes a byte to it is without power

MANAGEMENT_MAC=52:54:00:ca:00:00

# A capture NIC: name of its tap and in qemu, model, NUMA node, PCI address and MAC address in the machine.
# Each sits behind a root port of its own, so in an IOMMU group of its own; each node has a root complex.
CAPTURE_NICS=(
	"e1000e e1000e 0 0000:41:00.0 52:54:00:ca:00:01"
	"vmxnet3 vmxnet3 0 0000:42:00.0 52:54:00:ca:00:02"
	"igb igb 1 0000:81:00.0 52:54:00:ca:00:03"
	"virtio virtio-net-pci 1 0000:82:00.0 52:54:00:ca:00:04"
)

# hardware IOMMU: print qemu's arguments, one a line; IOMMU is "yes" or "no".
hardware()
{
	# thread=single: one host thread runs all CPUs in turn, two machines fill two cores. With a thread a CPU, qemu 10.0
	# loses a timer's or disk's interrupt in one boot in ten on a busy host, and the machine then waits for ever.
	local iommu=$1 half=$((MACHINE_MEMORY / 2)) cpus=$((MACHINE_CPUS / 2)) node nic tap model mac options ports=(0 0)
	# la57=off: with page tables of five levels each miss of the emulated TLB costs one look more.
	printf '%s\n' -accel tcg,thread=single -cpu max,la57=off -smp "$MACHINE_CPUS" -m "$MACHINE_MEMORY" \
		-display none -nodefaults -no-user-config -device virtio-rng-pci,bus=pcie.0 \
		-device isa-debug-exit,iobase=$POWER_PORT,iosize=1
	if [[ $iommu == yes ]]; then
		printf '%s\n' -M q35,kernel-irqchip=split,smm=off \
			-device intel-iommu,intremap=on,caching-mode=on,device-iotlb=on
	else
		printf '%s\n' -M q35,smm=off
	fi
	for node in 0 1; do
		printf '%s\n' -object "memory-backend-ram,id=ram$node,size=${half}M" \
			-numa "node,nodeid=$node,cpus=$((node * cpus))-$((node * cpus + cpus - 1)),memdev=ram$node" \
			-device "pxb-pcie,id=node$node,bus=pcie.0,bus_nr=$((64 + 64 * node)),numa_node=$node"
	done
	# restrict: the machine reaches nobody, and is reached by ssh alone.
	printf '%s\n' -netdev user,id=management,restrict=on,hostfwd=tcp:127.0.0.1:22-:22 \
		-device pcie-root-port,id=port-management,bus=pcie.0,chassis=1 \
		-device "virtio-net-pci,netdev=management,bus=port-management,mac=$MANAGEMENT_MAC,romfile="
	for nic in "${CAPTURE_NICS[@]}"; do
		read -r tap model node _ mac <<<"$nic"
		ports[node]=$((ports[node] + 1))
		options=
		printf '%s\n' -device "pcie-root-port,id=port-$tap,bus=node$node,chassis=$((10 * (node + 1) + ports[node]))"
		if [[ $tap == virtio ]]; then
			# Two interrupts a queue, one for the configuration, one for the control queue.
			options=,mq=on,vectors=$((2 * VIRTIO_QUEUES + 2)),disable-legacy=on
			[[ $iommu == no ]] || options+=,iommu_platform=on,ats=on
			printf '%s\n' -netdev "tap,id=tap-$tap,ifname=$tap,queues=$VIRTIO_QUEUES,script=no,downscript=no,vhost=off"
		else
			printf '%s\n' -netdev "tap,id=tap-$tap,ifname=$tap,script=no,downscript=no,vhost=off"
		fi
		printf '%s\n' -device "$model,id=$tap,netdev=tap-$tap,bus=port-$tap,mac=$mac$options,romfile="
	done
}

# wire NETNS: the wire side of the capture NICs: a tap each, in the namespace NETNS.
wire()
{
	local netns=$1 nic tap mode
	ip netns add "$netns"
	# Nobody but the test speaks on these wires.
	ip netns exec "$netns" sysctl --quiet --write net.ipv6.conf.{all,default}.disable_ipv6=1
	ip -n "$netns" link set lo up
	for nic in "${CAPTURE_NICS[@]}"; do
		read -r tap _ <<<"$nic"
		mode=
		[[ $tap != virtio ]] || mode=multi_queue
		# shellcheck disable=SC2086  # may be no word
		ip -n "$netns" tuntap add "$tap" mode tap $mode
		ip -n "$netns" link set "$tap" mtu 9000 txqueuelen "$WIRE_QUEUE" up
	done
}
