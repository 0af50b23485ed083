# After synced.sh. $1: the data folder, $2: a folder in it.
set -eu
[ -d "$1" ] || exit 0
rm -rf "$1/$2"
synced "$1"
