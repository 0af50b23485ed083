#!/bin/sh
# A stand-in for your change management: one file per run, beside the runbook.
set -eu
record="change-$BAOCTL_RUN.txt"
case "$1" in
open)
	# Written beside its name and moved: the record is there as a whole or not at all, wherever this is cut off.
	echo "$BAOCTL_RELEASE in $BAOCTL_NAMESPACE ($BAOCTL_PLATFORM) moves to raft, run $BAOCTL_RUN" >"$record.new"
	mv "$record.new" "$record"
	echo "opened $record"
	;;
is-open)
	test -f "$record"
	;;
withdraw)
	rm -f "$record"
	echo "withdrew $record"
	;;
*)
	echo "usage: $0 open|is-open|withdraw" >&2
	exit 64
	;;
esac
