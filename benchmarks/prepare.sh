# shellcheck shell=bash
# What the commands of this folder share: packages, Python environment, builds, and a mount namespace to work in.
# Runs in the root of the checkout.

# shellcheck source=setup/console.sh
. setup/console.sh
# shellcheck source=setup/packages.sh
. setup/packages.sh
# shellcheck source=setup/python.sh
. setup/python.sh

LOG=build/logs/benchmarks.log
STEPS=3

# peers_install FILE: what can be had of the list; a tool that is not there is told in the tables.
peers_install()
{
	local name
	packages_install setup/apt-build.txt
	packages_install "$1" && return
	packages_missing "$1" | while read -r name; do
		DEBIAN_FRONTEND=noninteractive packages_record apt-get --quiet --yes --no-install-recommends \
			-o Dpkg::Use-Pty=0 install "$name" </dev/null || echo "not to be had: $name"
	done
}

environment()
{
	venv_install setup/requirements.txt
	venv_install setup/requirements-bench.txt
}

# prepare PACKAGES
prepare()
{
	need_this_machine
	mkdir -p build/logs
	: >"$LOG"
	trap end_step EXIT
	step "Debian packages" "see that the package sources answer, then run it again" peers_install "$1"
	step "Python environment" "see that PyPI answers, then run it again" environment
}

meson_build()
{
	[[ -e build/$1/build.ninja ]] || meson setup "build/$1" native "${@:2}"
	local targets=(engine/capstan-engine gen/capstan-gen)
	[[ $* == *dpdk=disabled* ]] || targets+=(engine/source_dpdk.so)
	ninja -C "build/$1" "${targets[@]}"
}

# build NAME OPTION...: engine and generator in build/NAME.
build()
{
	step "Build engine and generator" "see $LOG" meson_build "$@"
	echo
}

# measure MODULE ARGUMENT...: in a mount namespace, so that what is mounted there goes with it, however it ends.
measure()
{
	exec unshare --mount --propagation private .venv/bin/python -m "$@"
}
