# The files whose names come in the first $2 bytes of the standard input, one a line, as a tar stream. $1: the data folder.
cd "$1" || exit 1
head -c "$2" | tar -cf - -T -
