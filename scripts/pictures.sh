#!/bin/sh
# Makes the pictures of the README and of docs/ from real runs: scripts/pictures.sh
set -eu
cd "$(dirname "$0")/.."
gradus=build/bin/gradus
[ -x $gradus ] || { echo "pictures.sh: $gradus is not built; run make pictures" >&2; exit 1; }
command -v dot >/dev/null || { echo "pictures.sh: no Graphviz; install the package graphviz" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
$gradus train planar --quiet --out "$work"
$gradus graph planar --frames --out "$work/backward.svg"
$gradus graph chain-rule --out "$work/chain_rule.svg"

cp "$work/planar.svg" docs/planar.svg
for picture in planar_curves planar_activations chain_rule; do
  cp "$work/$picture.svg" docs/images/$picture.svg
done
cp "$work/backward_2.svg" docs/images/planar_backward.svg
du -bc docs/planar.svg docs/images/*.svg
