# shellcheck shell=bash
# qemu for the machines: Debian 12's own (7.2) knows no igb, so it comes from bookworm-backports.

QEMU_PACKAGES=(qemu-system-x86 qemu-utils) # qemu-utils: qemu-img
QEMU_MAJOR=10 # the first in Debian 12's reach whose igb has queues, RSS and XDP

# qemu_install: install qemu from the machine's own mirror, unless one that is new enough is there. The
# source is read for this installation only: apt's own configuration and package lists stay as they are.
qemu_install()
{
	local version mirror apt rc=0
	version=$(dpkg-query --show --showformat='${source:Upstream-Version}' qemu-system-x86 2>/dev/null) ||
		version=none
	if [[ $version =~ ^([0-9]+) ]] && ((BASH_REMATCH[1] >= QEMU_MAJOR)); then
		echo "qemu $version is there"
		return
	fi
	mirror=$(debian_mirror)
	[[ -n $mirror ]] || fail "no Debian package source on this machine: add one under /etc/apt"
	echo "qemu here: $version; installing it from bookworm-backports of $mirror"
	# Outside root's own folders, where apt's unprivileged fetcher may read.
	apt=$(mktemp --directory /var/tmp/capstan-apt.XXXXXX)
	chmod 0755 "$apt"
	mkdir -p "$apt/lists/partial"
	cat >"$apt/backports.sources" <<-SOURCES
		Types: deb
		URIs: $mirror
		Suites: bookworm bookworm-updates bookworm-backports
		Components: main
		Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	SOURCES
	packages_record qemu_apt "$apt" || rc=$?
	rm -rf "$apt"
	return "$rc"
}

# qemu_apt FOLDER: install from the source in FOLDER alone.
qemu_apt()
{
	local options=(--quiet --yes -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$1"
		-o "Dir::State::lists=$1/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
		-o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
	apt-get "${options[@]}" update || return
	DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" --no-install-recommends \
		--target-release bookworm-backports install "${QEMU_PACKAGES[@]}"
}
