#!/bin/sh
# Builds libnvidia-ml.so.1 and nvidia-smi for one architecture:
#   build.sh COMPILER FOLDER
# and stubs.h, which is what names.txt (nvml.h's functions) has and nvml.c lacks.
set -eu
compiler=$1
to=$(cd "$2" && pwd)
cd "$(dirname "$0")"
has=$(grep -oE '\bnvml[A-Z][A-Za-z0-9_]*' nvml.c | LC_ALL=C sort -u)
stubs=$(mktemp -d)
trap 'rm -rf "$stubs"' EXIT
for name in $(cat names.txt); do
	case "
$has
" in
	*"
$name
"*) ;;
	*) echo "STUB($name)" ;;
	esac
done > "$stubs/stubs.h"
flags="-std=gnu11 -Os -Wall -Wextra -Werror -Wno-unused-function -ffreestanding -fno-builtin -fno-stack-protector -fno-asynchronous-unwind-tables -fno-ident -fno-tree-loop-distribute-patterns -fvisibility=hidden -nostdlib -I. -I$stubs -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,relro -s"
case $($compiler -dumpmachine) in aarch64*) flags="$flags -mno-outline-atomics" ;; esac
$compiler $flags -fPIC -shared -Wl,-soname,libnvidia-ml.so.1 -Wl,--hash-style=both -Wl,-z,now -o "$to/libnvidia-ml.so.1" nvml.c
$compiler $flags -static -fno-pic -no-pie -o "$to/nvidia-smi" smi.c
