#!/bin/sh
# Builds everything that is kept in ../prebuilt, and notes from what:
#   all.sh [FOLDER]    default: ../prebuilt
set -eu
cd "$(dirname "$0")"
to=${1:-../prebuilt}
mkdir -p "$to/amd64" "$to/arm64"
to=$(cd "$to" && pwd)
./build.sh "${CC_AMD64:-x86_64-linux-gnu-gcc}" "$to/amd64"
./build.sh "${CC_ARM64:-aarch64-linux-gnu-gcc}" "$to/arm64"
{
	echo "compiler $("${CC_AMD64:-x86_64-linux-gnu-gcc}" -dumpfullversion), $(ld --version | head -n 1)"
	sha256sum build.sh names.txt nvml.c page.h smi.c system.h
} > "$to/sources.txt"
