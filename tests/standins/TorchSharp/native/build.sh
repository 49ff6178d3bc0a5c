#!/bin/sh
# build.sh <output>: compiles the bridge against the system's libtorch. The output appears under its name only when it is whole.
set -eu
here=$(dirname "$0")
cxx=${CXX:-g++}
if ! command -v "$cxx" >/dev/null || ! echo '#include <ATen/ATen.h>' | "$cxx" -std=c++17 -M -x c++ - >/dev/null 2>&1; then
    echo "error TORCH001: The stand-in for TorchSharp needs a C++ compiler and libtorch: apt-get install g++ libtorch-dev libopenblas0-pthread"
    exit 1
fi
mkdir -p "$(dirname "$1")"
"$cxx" -std=c++17 -O1 -fPIC -shared -fvisibility=hidden -w -o "$1.$$" "$here/torch_bridge.cc" -ltorch -ltorch_cpu -lc10
mv -f "$1.$$" "$1"
