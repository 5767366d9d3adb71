# shellcheck shell=bash
# Debian roots for the machines: made once by mmdebstrap, kept under build/cache by their content.

# What a Debian server has, and what an offline host needs to run a Python service; no compiler, no
# library of the engine: those must come out of dist/.
ROOTFS_PACKAGES=systemd,systemd-sysv,dbus,udev,kmod,procps,iproute2,ethtool,python3,ca-certificates

# rootfs SUITE [LIST]: print the folder of its root, made now if need be; LIST names more packages.
rootfs()
{
	local suite=$1 packages=$ROOTFS_PACKAGES mirror key root lock
	if [[ ${2-} ]]; then
		packages+=,$(sed 's/#.*//' "$2" | xargs | tr ' ' ,)
	fi
	mirror=$(debian_mirror)
	[[ -n $mirror ]] || fail "no Debian package source on this machine: add one under /etc/apt"
	key=$(sha256sum <<<"$mirror $packages" | cut -c1-12)
	root=$PWD/build/cache/rootfs/$suite-$key
	mkdir -p "${root%/*}"
	# Of two machines that want the same root, one makes it.
	exec {lock}>"$root.lock"
	flock "$lock"
	if [[ ! -d $root ]]; then
		rm -rf "$root.part"
		# shellcheck disable=SC2016  # expanded by mmdebstrap
		mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
			--dpkgopt=force-unsafe-io --customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf"' \
			"$suite" "$root.part" "$mirror" >&2
		mv "$root.part" "$root"
	fi
	exec {lock}>&-
	printf '%s\n' "$root"
}
