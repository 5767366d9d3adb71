# shellcheck shell=bash
# Disk images of whole Debian machines: made once by mmdebstrap, kept under build/cache by their content.
# The host's kernel may know neither partitions on loop devices nor a boot loader, so mke2fs fills the file
# system from a folder, and GRUB is put in by hand.

# A small Debian server as an installer leaves it, with what the roles call; no compiler, no DPDK, nothing of
# the engine: those must come out of dist/.
IMAGE_PACKAGES=systemd-sysv,dbus,udev,kmod,procps,iproute2,ethtool,python3,ca-certificates,openssh-server
IMAGE_PACKAGES+=,initramfs-tools,zstd,grub-pc,driverctl,pciutils,irqbalance

IMAGE_SIZE=3072M       # sparse
IMAGE_START=1048576    # of the only partition, bytes: where every partitioning tool starts it
IMAGE_DISK_ID=0xca957a # of the partition table; GRUB and the kernel derive the partition's id from it

# image SUITE: print the folder of its image, made now if need be: disk.raw, and ssh_key and known_hosts to
# enter the machines that boot it.
image()
{
	local suite=$1 here mirror key folder lock
	here=$PWD/molecule/qemu
	mirror=$(debian_mirror)
	[[ -n $mirror ]] || fail "no Debian package source on this machine: add one under /etc/apt"
	key=$(cat <(echo "$mirror $suite") "$here"/{image.sh,customize,grub-probe} | sha256sum | cut -c1-12)
	folder=$PWD/build/cache/qemu/$suite-$key
	mkdir -p "${folder%/*}"
	# Of two machines that want the same image, one makes it.
	exec {lock}>"$folder.lock"
	flock "$lock"
	if [[ ! -d $folder ]]; then
		rm -rf "$folder.part"
		mkdir "$folder.part"
		image_root "$suite" "$mirror" "$folder.part" >&2
		image_disk "$folder.part" >&2
		rm -rf "$folder.part/root"
		mv "$folder.part" "$folder"
	fi
	exec {lock}>&-
	printf '%s\n' "$folder"
}

# image_root SUITE MIRROR FOLDER: all files of the machine, in FOLDER/root.
image_root()
{
	local suite=$1 mirror=$2 folder=$3
	ssh-keygen -q -t ed25519 -N '' -C "machines of $PWD" -f "$folder/ssh_key"
	cat /proc/sys/kernel/random/uuid >"$folder/uuid"
	# shellcheck disable=SC2016  # expanded by mmdebstrap
	IMAGE_FOLDER=$folder IMAGE_DISK_ID=$IMAGE_DISK_ID mmdebstrap --quiet --mode=root --variant=minbase \
		--include="$IMAGE_PACKAGES" \
		--dpkgopt=force-unsafe-io --dpkgopt=force-confold \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--essential-hook='molecule/qemu/customize before "$1"' \
		--customize-hook='molecule/qemu/customize after "$1"' \
		"$suite" "$folder/root" "$mirror"
	sed 's/^/capstan-machine /' "$folder/root/etc/ssh/ssh_host_ed25519_key.pub" >"$folder/known_hosts"
}

# image_disk FOLDER: FOLDER/disk.raw from FOLDER/root.
image_disk()
{
	local folder=$1 disk=$1/disk.raw boot=$1/root/usr/lib/grub/i386-pc
	truncate --size="$IMAGE_SIZE" "$disk"
	sfdisk --quiet "$disk" <<-TABLE
		label: dos
		label-id: $IMAGE_DISK_ID
		start=$((IMAGE_START / 512)), type=83, bootable
	TABLE
	# Sizes that mke2fs would take from the whole file end before the partition does.
	mke2fs -q -t ext4 -U "$(cat "$folder/uuid")" -d "$folder/root" -E "offset=$IMAGE_START,nodiscard" \
		"$disk" "$((($(numfmt --from=iec "$IMAGE_SIZE") - IMAGE_START) / 1024))k"
	grub_core "$folder"
	# The first 440 bytes are code, after them stands the partition table; the rest of GRUB lies between the
	# table and the partition.
	dd if="$boot/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
	dd if="$folder/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none
	rm "$folder/core.img"
}

# grub_core FOLDER: what loads GRUB's modules and menu from the partition.
grub_core()
{
	chroot "$1/root" grub-mkimage --format=i386-pc --prefix='(hd0,msdos1)/boot/grub' --output=/core.img \
		biosdisk part_msdos ext2
	mv "$1/root/core.img" "$1/core.img"
}
