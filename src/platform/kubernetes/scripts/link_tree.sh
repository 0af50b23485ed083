# After tops.sh, with the names at the top of the tree as arguments. $folder: what is made in it, beside the tree, $config.
umask 077
rm -rf .baoctl-migrate
mkdir -p "$folder/source/core" "$folder/store"
for it in "$@"; do
    if [ "$it" != ./core ]; then ln -s "../../../$it" "$folder/source/$it"; fi
done
# `bao` refuses a tree with a tombstone, and puts its own there.
for it in core/* core/.[!.]*; do
    if [ "$it" != core/_migration ] && [ -e "$it" ]; then ln -s "../../../../$it" "$folder/source/$it"; fi
done
printf '%s' "$config" > "$folder/config.hcl"
