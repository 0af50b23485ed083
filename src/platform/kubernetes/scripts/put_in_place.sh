# After synced.sh and set_aside.sh. $1: the data folder, $3: the folder with the store in it.
set -eu
data=$1
cd "$1"
synced "$3"
for it in vault.db raft; do mv "$3/store/$it" "$it"; done
synced .
rm -rf .baoctl-migrate
