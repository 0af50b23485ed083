# A store of `pebbledb`, which a server may be writing to. $1 of each: its folder. Each file is a line, blank, by which whoever waits
# knows that this goes on.
exec 3>&1

# The names of its files. Its lock and its tombstone are nothing of the data, and what else is there is not of it.
files_of() {
    (
        cd "$1" || exit 1
        for it in [0-9]*.log [0-9]*.sst [0-9]*.blob CURRENT* MANIFEST-* OPTIONS-* REMOTE-OBJ-CATALOG-* marker.* temporary.*; do
            case $it in *[!A-Za-z0-9._-]* | marker.format-version.999999.*) continue ;; esac
            if [ -f "$it" ]; then echo "$it"; fi
        done
    )
}

bytes_of() { stat -c %s "$1" 2>/dev/null || echo 0; }

# Each with its size, none for a log.
sizes_of() {
    for it in $(files_of "$1"); do
        case $it in
        *.log) echo "$it" ;;
        *) stat -c '%n %s' "$1/$it" 2>/dev/null || : ;;
        esac
    done
}

sums_of() { (cd "$1" && for it in $(files_of .); do sha256sum "$it" 2>/dev/null || :; echo >&3; done); }

# To the folder $2, as a crash at one moment would leave it. Whatever is moved out of a log goes into a new table and is named in
# the manifest; a new log, or an old one that is used again, has a new name. So as long as nothing but logs grew, all that had been
# written is in the copy. A file that is missing would be nobody's error, only its data gone. A table that is whole is copied once.
copy_store() {
    tries=50
    rm -rf "$2"
    while :; do
        mkdir -p "$2"
        before=$(sizes_of "$1")
        if [ -z "$before" ]; then echo "$1 holds no store of pebbledb" >&2; return 1; fi
        whole=yes
        for it in $(files_of "$2"); do
            case $it in
            *.sst | *.blob) if [ "$(bytes_of "$1/$it")" = "$(bytes_of "$2/$it")" ]; then continue; fi ;;
            esac
            rm -f "$2/$it"
        done
        for it in $(files_of "$1"); do
            echo >&3
            if [ -e "$2/$it" ]; then continue; fi
            cp "$1/$it" "$2/$it" 2>"$2.why" && continue
            # Gone is not refused.
            if [ -e "$1/$it" ]; then cat "$2.why" >&2; return 1; fi
            whole=
        done
        rm -f "$2.why"
        if [ "$whole" ] && [ "$(sizes_of "$1")" = "$before" ]; then return; fi
        tries=$((tries - 1))
        if [ $tries = 0 ]; then
            echo "$1 changes faster than it can be copied; try again when less is written to it" >&2
            return 1
        fi
        sleep 0.1 2>/dev/null || sleep 1
    done
}
