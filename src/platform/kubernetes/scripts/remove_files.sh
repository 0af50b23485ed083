# After synced.sh. $1: the data folder, $2: `files` or `folders`, $3: the length of what comes on the standard input,
# NUL-ended paths in it. A folder that holds anything stays.
set -eu
cd "$1"
case $2 in
files) head -c "$3" | xargs -0 -r rm -f ;;
folders) head -c "$3" | xargs -0 -r sh -c 'for it; do rmdir "$it" 2>/dev/null || :; done' sh ;;
esac
synced .
