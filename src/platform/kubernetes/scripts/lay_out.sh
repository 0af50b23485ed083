# After store.sh: the store $1 as a tree of files below $2, by `bao operator migrate`, unless it is still the one that the last was
# made of. Its last line names the folder. $3: a name that no other try has, $4: how many entries at once.
set -eu
umask 077
# Full to so many of a hundred parts, a kubelet's defaults have it drop pods.
MOST=90
for it in "$2"/*/made-of; do
    if [ -f "$it" ] && [ "$(sums_of "$1")" = "$(cat "$it")" ]; then
        echo "laid out in ${it%/*}/tree"
        exit
    fi
done
if ! command -v bao >/dev/null; then
    echo "the image of this pod has no \`bao\`, with which a store of pebbledb is read: leave out --helper-image, or name one that has the server's own \`bao\` beside a shell" >&2
    exit 1
fi
# One that a killed run began may go on for a while: with another name it comes to nothing.
mkdir "$2/.gone-$3"
for it in "$2"/*; do
    if [ -e "$it" ]; then mv "$it" "$2/.gone-$3"; fi
done
rm -rf "$2"/.gone-* || :

# $free KiB of the disk below the folder, and $used of a hundred parts of it.
disk() {
    for it in $(df -Pk "$1" | tail -n 1); do
        case $it in *%) used=${it%?}; break ;; *) free=$it ;; esac
    done
}

bytes=0
for it in $(files_of "$1"); do bytes=$((bytes + $(bytes_of "$1/$it"))); done
disk "$2"
# The copy, what opening it adds, and a tree, which is larger.
if [ $((bytes / 256)) -gt "$free" ]; then
    echo "the node has $free KiB free for this pod, and four times the $((bytes / 1024)) KiB of the store are needed" >&2
    exit 1
fi
new=$2/$3
mkdir -p "$new/tree"
copy_store "$1" "$new/store"
sums_of "$new/store" >"$new/sums"
printf 'storage_source "pebbledb" {\n  path = "%s"\n}\nstorage_destination "file" {\n  path = "%s"\n}\n' \
    "$new/store" "$new/tree" >"$new/config.hcl"

# A tree of many small entries is far larger than its store, and a node whose disk is full drops its pods.
watch=
if [ "$used" -lt "$MOST" ]; then
    (
        while sleep 1; do
            disk "$2"
            if [ "$used" -ge "$MOST" ]; then
                : >"$new/full"
                kill "$(cat "$new/pid")"
                exit
            fi
        done
    ) >/dev/null 2>&1 3>&1 &
    watch=$!
fi
failed=
sh -c 'echo $$ >"$1"; shift; exec bao "$@"' sh "$new/pid" operator migrate "$4" "-config=$new/config.hcl" 2>&1 || failed=$?
if [ "$watch" ]; then kill "$watch" 2>/dev/null || :; fi
if [ -e "$new/full" ]; then
    rm -rf "$new"
    echo "the node's disk is $MOST % full before the store is laid out as files: make room on it, as much as the store's entries take with 4 KiB for each at least" >&2
    exit 1
fi
if [ "$failed" ]; then exit "$failed"; fi
rm -rf "$new/store"
mv "$new/sums" "$new/made-of"
echo "laid out in $new/tree"
