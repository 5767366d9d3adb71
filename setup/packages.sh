# shellcheck shell=bash
# Debian packages: install what is missing, remember what that added, remove exactly that again.

# Outside the checkout, so that it still knows after `git clean`; a file for each, so that a checkout takes
# away only what it brought itself.
PACKAGES_ADDED=/var/lib/capstan-setup/packages-added-by-$(pwd | tr -c 'A-Za-z0-9\n' -)

# packages_installed: names of all installed packages, sorted.
packages_installed()
{
	dpkg-query --show --showformat='${db:Status-Abbrev} ${binary:Package}\n' |
		sed -n 's/^.i  *//p' | LC_ALL=C sort
}

# packages_missing FILE...: those named in the lists (one a line, # comments) but not installed.
packages_missing()
{
	local name
	sed 's/#.*//' "$@" | xargs -n1 | LC_ALL=C sort -u | while read -r name; do
		[[ $(dpkg-query --show --showformat='${db:Status-Abbrev}' "$name" 2>/dev/null) == ?i* ]] ||
			printf '%s\n' "$name"
	done
}

# packages_install FILE...: install the missing ones.
packages_install()
{
	local missing
	mapfile -t missing < <(packages_missing "$@")
	if ((${#missing[@]} == 0)); then
		echo "every package is there"
		return
	fi
	echo "missing: ${missing[*]}"
	# A third party's source may be down; whether Debian's were enough shows in the installation.
	apt-get --quiet update || echo "some package sources did not answer, going on with the others"
	DEBIAN_FRONTEND=noninteractive packages_record apt-get --quiet --yes --no-install-recommends \
		-o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install "${missing[@]}"
}

# packages_record COMMAND...: run it, and remember which packages it added, also when it fails.
packages_record()
{
	local before rc=0
	before=$(packages_installed)
	"$@" || rc=$?
	mkdir -p "${PACKAGES_ADDED%/*}"
	comm -13 <(echo "$before") <(packages_installed) >>"$PACKAGES_ADDED"
	return "$rc"
}

# packages_remove: purge what packages_install added. dpkg keeps, and tells, a package that something
# installed since then needs; apt would have taken that along.
packages_remove()
{
	local added
	[[ -e $PACKAGES_ADDED ]] || return 0
	mapfile -t added < <(LC_ALL=C sort -u "$PACKAGES_ADDED" | comm -12 - <(packages_installed))
	if ((${#added[@]})); then
		DEBIAN_FRONTEND=noninteractive dpkg --purge --abort-after=9999 "${added[@]}" ||
			echo "kept, because other packages need them:" \
				"$(comm -12 <(printf '%s\n' "${added[@]}") <(packages_installed) | xargs)"
	fi
	rm "$PACKAGES_ADDED"
	rmdir --ignore-fail-on-non-empty "${PACKAGES_ADDED%/*}"
}

# debian_mirror: where this machine gets Debian from.
debian_mirror()
{
	# shellcheck disable=SC2016  # apt-get fills these in
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(ORIGIN)' 2>/dev/null |
		awk '$2 == "bookworm" && $3 == "Debian" { print $1; exit }'
}
