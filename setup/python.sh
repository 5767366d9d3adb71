# shellcheck shell=bash
# The controller's Python environment in .venv: Ansible, and the package capstan from this checkout.

# venv_install REQUIREMENTS: install the list unless that very list has been.
venv_install()
{
	local list=$1 stamp key
	stamp=.venv/.${list##*/}.sha256
	key=$(sha256sum "$list" setup/constraints.txt appliance/pyproject.toml)
	if [[ -x .venv/bin/python && $(cat "$stamp" 2>/dev/null) == "$key" ]]; then
		echo "$list is installed"
		return
	fi
	# Debian's own interpreter: a python3 earlier in PATH may be another one tomorrow.
	[[ -x .venv/bin/python ]] || /usr/bin/python3 -m venv --clear .venv
	PIP_CACHE_DIR=$PWD/build/cache/pip .venv/bin/python -m pip install \
		--disable-pip-version-check --no-input --progress-bar off -r "$list"
	echo "$key" >"$stamp"
}
