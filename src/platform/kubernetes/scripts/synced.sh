synced() { sync -f "$1" 2>/dev/null || sync; }
# As root the server's own user must still be able to read what is made here.
owned() { if [ "$(id -u)" = 0 ]; then chown "$(stat -c %u:%g "$data")" "$@"; fi; }
