#!/usr/bin/env bash
# Builds the operator library for other systems, with its tests, and runs those where an emulator is installed. `./run cross` calls it.
#   cross.sh [--no-tests] <folder of onnxruntime_c_api.h> <version> <rid>...       rid: win-x64 or linux-arm64
# Results: artifacts/native/runtimes/<rid>/native/, written when all tests of a system have passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
native=$PWD/artifacts/native

tests=true
if [ "${1:-}" = --no-tests ]; then
    tests=false
    shift
fi
headers=$1 version=$2
shift 2

# ONNX Runtime for the other systems: a test loads the library into it.
runtime_name=onnxruntime-node runtime_version=1.29.0
runtime_sha512=WjiVVB72riILz8HbYvxvmjKyE/WmkYoSfKY++axo5jAR609HQg8MwiG/HhShpTcJfmmAdzxxmB+MMST3A+SiPA==
runtimes=$PWD/artifacts/npm/$runtime_name/$runtime_version

# qemu-user shows a program the processor list of the machine it runs on; ONNX Runtime reads it and would not find an ARM processor
# in it. What lies below the folder of -L is found first, so a list of ARM processors goes there.
arm_root() {
    mkdir -p "$native/linux-arm64-root/proc"
    ln -sfn /usr/aarch64-linux-gnu/lib "$native/linux-arm64-root/lib"
    for processor in 0 1; do
        printf 'processor\t: %d\nFeatures\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp\n' $processor
        printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\n'
    done >"$native/linux-arm64-root/proc/cpuinfo"
}

for rid in "$@"; do
    case $rid in
        win-x64) compiler=x86_64-w64-mingw32-g++-posix library=longcat_ops.dll runtime=win32/x64/onnxruntime.dll ;;
        linux-arm64) compiler=aarch64-linux-gnu-g++ library=liblongcat_ops.so runtime=linux/arm64/libonnxruntime.so.1 ;;
        *) echo "error: '$rid' is unknown, expected win-x64 or linux-arm64" >&2; exit 2 ;;
    esac
    command -v "$compiler" >/dev/null || { echo "error: $rid needs $compiler" >&2; exit 1; }
    build=$native/$rid
    mkdir -p "$build"
    exec 9>"$build.lock"
    flock 9
    options=(-DCMAKE_BUILD_TYPE=Release "-DCMAKE_TOOLCHAIN_FILE=$PWD/kernels/cmake/$rid.cmake" "-DONNXRUNTIME_INCLUDE=$headers"
        "-DLONGCAT_VERSION=$version" -DLONGCAT_BUILD_TESTS=$([ $tests = true ] && echo ON || echo OFF))
    if [ $tests = true ]; then
        if command -v npm >/dev/null; then
            bash tests/standins/onnxruntime-npm.sh $runtime_name $runtime_version "$runtime_sha512" "$runtimes" \
                'package/bin/napi-v6/linux/arm64/*' 'package/bin/napi-v6/win32/x64/*'
            options+=("-DONNXRUNTIME_LIBRARY=$runtimes/package/bin/napi-v6/$runtime")
        else
            echo "$rid: the library is not loaded into ONNX Runtime, which needs npm"
        fi
        if [ $rid = linux-arm64 ]; then
            arm_root
            options+=("-DLONGCAT_ARM64_ROOT=$native/linux-arm64-root")
        fi
    fi
    log=$build/build.log
    { cmake -S onnx-ops -B "$build" "${options[@]}" && cmake --build "$build" --parallel; } >"$log" 2>&1 ||
        { grep -E "error|warning" "$log" | head -n 20 >&2 || tail -n 20 "$log" >&2; echo "error: $rid does not build (whole log: $log)" >&2; exit 1; }

    if [ $tests = true ]; then
        if grep -q '^LONGCAT_\(WINE\|QEMU\):[A-Z]*=.*NOTFOUND' "$build/CMakeCache.txt"; then
            echo "$rid: built; its tests are skipped, no emulator is installed ($([ $rid = win-x64 ] && echo wine64 || echo qemu-user))"
        else
            # wine keeps its registry in a folder of its own here, and none of its chatter is a test's output.
            status=0
            WINEPREFIX=$native/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=" ctest --test-dir "$build" --output-on-failure \
                >"$build/ctest.log" 2>&1 || status=$?
            [ $status = 0 ] || { cat "$build/ctest.log" >&2; echo "error: $rid fails its tests" >&2; exit 1; }
            echo "$rid: $(grep -E 'tests passed' "$build/ctest.log")"
        fi
    fi
    mkdir -p "$native/runtimes/$rid/native"
    cp "$build/$library" "$native/runtimes/$rid/native/.$library.partial"
    mv "$native/runtimes/$rid/native/.$library.partial" "$native/runtimes/$rid/native/$library"
    flock -u 9
done
