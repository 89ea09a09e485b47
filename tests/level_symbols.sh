#!/bin/sh
# level_symbols.sh NM LEVEL OBJECT...: fails on a weak symbol that is not in gradus' namespace of that level.
# nm -C prints "address W name"; W and V are the weak kinds. DW.ref.* are the compiler's own, alike at every level.
nm=$1
level=$2
shift 2
[ $# -gt 0 ] || { echo "no objects of level $level"; exit 1; }
symbols=$("$nm" -C --defined-only "$@") || exit 1
echo "$symbols" | grep -q "gradus::.*$level::" || { echo "no symbol at all in gradus::$level"; exit 1; }
stray=$(echo "$symbols" | grep -E '^[0-9a-f]* [VWu] ' | grep -v -E " DW\.ref\.|gradus::([a-z_]+::)*$level::")
[ -z "$stray" ] || { echo "weak symbols outside gradus::$level: $stray"; exit 1; }
