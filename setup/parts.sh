# shellcheck shell=bash
# The runner of ./test: parts run in turn or two at a time, each with a log, a time and its test counts.
# A part NAME is a function part_NAME; what it leaves as $RESULTS/*.xml (JUnit) is counted, and a part
# without any counts as one test. Its output goes into its log; what it has to say meanwhile it tells by `tell`.

AT_ONCE=2 # parts of shared_parts at a time: cores of the smallest machine
declare -a part_pids=()

# part_results NAME: the folder that its function knows as $RESULTS.
part_results()
{
	printf '%s/build/results/%s' "$PWD" "$1"
}

# part_log NAME
part_log()
{
	printf 'build/logs/%s.log' "$1"
}

# tell WORDS: show them at once, with the time, from a part that runs.
tell()
{
	printf '%10s          %s\n' "$(duration $SECONDS)" "$1" >&3
}

# telling_phases COMMAND...: run it, a molecule, and tell where it is: its actions, and the playbooks that these run.
telling_phases()
{
	local line action='^INFO +\[(.*)\] Executing$' step='^TASK \[(Run it: .*)\]'
	"$@" 2>&1 | while IFS= read -r line; do
		printf '%s\n' "$line"
		[[ ! $line =~ $action && ! $line =~ $step ]] || tell "${BASH_REMATCH[1]}"
	done
}

# start_part NAME: in the background, in a process group of its own.
start_part()
{
	printf '%10s  start   %s\n' "$(duration $SECONDS)" "$1"
	set -m
	run_part "$1" </dev/null &
	part_pids+=($!)
	set +m
}

run_part()
{
	local name=$1 started=$SECONDS rc=0 passed failed skipped junit word=ok
	RESULTS=$(part_results "$name")
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS"
	set +m
	(set -e && "part_${name//-/_}") 3>&1 >"$(part_log "$name")" 2>&1 &
	wait $! || rc=$?

	mapfile -t junit < <(find -L "$RESULTS" -type f -name '*.xml')
	if ((${#junit[@]})); then
		read -r passed failed skipped < <(/usr/bin/python3 setup/tally.py "${junit[@]}")
		# It may break before or after its cases, too.
		((rc == 0 || failed > 0)) || failed=1
	else
		passed=$((rc == 0)) failed=$((rc != 0)) skipped=0
	fi
	((failed == 0)) || word=FAILED
	printf '%s %d %d %d %d\n' "$name" $((SECONDS - started)) "$passed" "$failed" "$skipped" \
		>"$RESULTS/counts"
	printf '%10s  %-6s  %s\n' "$(duration $SECONDS)" "$word" "$name"
	((failed == 0 || ${#junit[@]} == 0)) || /usr/bin/python3 setup/tally.py --failed "${junit[@]}"
}

# shared_parts NAME...: run them, AT_ONCE at a time.
shared_parts()
{
	local name
	for name in "$@"; do
		while (($(jobs -rp | wc -l) >= AT_ONCE)); do
			wait -n || true
		done
		start_part "$name"
	done
	wait
}

# lone_parts NAME...: run them one after the other.
lone_parts()
{
	local name
	for name in "$@"; do
		start_part "$name"
		wait
	done
}

# end_parts: end what runs, for the script's EXIT trap.
end_parts()
{
	local pid
	for pid in "${part_pids[@]}"; do
		kill -- "-$pid" 2>/dev/null || true
	done
}

# summary NAME...: the table, the end of each failed part's log, and the line with the sums.
# Returns 1 when something failed.
summary()
{
	local name seconds passed failed skipped sum_passed=0 sum_failed=0 sum_skipped=0
	printf '\n%-18s %12s %8s %8s %8s\n' part time passed failed skipped
	for name in "$@"; do
		read -r _ seconds passed failed skipped <"$(part_results "$name")/counts"
		printf '%-18s %12s %8d %8d %8d\n' "$name" "$(duration "$seconds")" "$passed" "$failed" "$skipped"
		sum_passed=$((sum_passed + passed))
		sum_failed=$((sum_failed + failed))
		sum_skipped=$((sum_skipped + skipped))
	done
	for name in "$@"; do
		read -r _ _ _ failed _ <"$(part_results "$name")/counts"
		((failed)) || continue
		printf '\n%s failed, the end of %s:\n' "$name" "$(part_log "$name")"
		tail -n 40 "$(part_log "$name")" | sed 's/^/    /'
	done
	printf '\n%s in all\n%d passed, %d failed, %d skipped\n' "$(duration $SECONDS)" \
		"$sum_passed" "$sum_failed" "$sum_skipped"
	((sum_failed == 0))
}
