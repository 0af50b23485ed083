# The files whose names come in the first $2 bytes of the standard input, one a line, as a tar stream; and the mark of a migration,
# which no manifest lists. $1: the data folder.
cd "$1" || exit 1
{
    head -c "$2"
    if [ -e core/_migration ]; then echo core/_migration; fi
} | tar -cf - -T -
