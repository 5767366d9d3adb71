# shellcheck shell=bash
# What a person sees: numbered steps with their time. All that a step prints goes to $LOG.

LOG=/dev/null     # set by the script
STEPS=0           # how many there will be, set by the script
step_number=0
step_pid=

# fail SENTENCE: say it and stop.
fail()
{
	printf '%s: %s\n' "${0##*/}" "$1" >&2
	exit 1
}

# need_this_machine: stop unless root runs this on a Debian that the set-up knows.
need_this_machine()
{
	local os
	os=$(. /etc/os-release && printf '%s %s' "$ID" "${VERSION_ID:-}")
	[[ $os == "debian 12" ]] ||
		fail "this machine runs '$os': use Debian 12 as the controller (hosts may be Debian 12 or 13)"
	((EUID == 0)) ||
		fail "you are $(id -un): run it as root, it installs packages and makes network namespaces"
}

# duration SECONDS: for people.
duration()
{
	if (($1 < 60)); then
		printf '%d s' "$1"
	else
		printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
	fi
}

# step TITLE REMEDY COMMAND...: run COMMAND as the next step. When it fails, show the end of the log
# and REMEDY, and stop. COMMAND runs in a process group of its own, so that an interrupt ends all of it.
step()
{
	local title=$1 remedy=$2 started=$SECONDS rc=0 line
	shift 2
	step_number=$((step_number + 1))
	line=$(printf '[%d/%d] %-48s' "$step_number" "$STEPS" "$title")
	printf '%s' "$line"
	printf '\n=== %s\n' "$line" >>"$LOG"

	set -m
	(set -e +m && "$@") </dev/null >>"$LOG" 2>&1 &
	step_pid=$!
	set +m
	while [[ -t 1 ]] && kill -0 "$step_pid" 2>/dev/null; do
		sleep 1
		printf '\r%s %s' "$line" "$(duration $((SECONDS - started)))"
	done
	wait "$step_pid" || rc=$?
	step_pid=

	[[ ! -t 1 ]] || printf '\r%s' "$line"
	if ((rc == 0)); then
		printf ' %s\n' "$(duration $((SECONDS - started)))"
		return
	fi
	printf ' FAILED after %s\n\n' "$(duration $((SECONDS - started)))"
	tail -n 25 "$LOG" | sed 's/^/    /'
	printf '\nThe whole output: %s\nWhat to do: %s\n' "$LOG" "$remedy" >&2
	exit 1
}

# end_step: end the running step, for the script's EXIT trap.
end_step()
{
	[[ -z $step_pid ]] || kill -- "-$step_pid" 2>/dev/null || true
}
