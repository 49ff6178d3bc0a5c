#!/usr/bin/env bash
# Puts an npm package that carries ONNX Runtime into a folder, once: by default its C# sources, C headers and Linux library.
#   onnxruntime-npm.sh <name> <version> <sha512 in base64> <folder> [<pattern of the files to unpack>...]
# <folder>/package is whole or absent: it is unpacked beside its final name and renamed. Safe when several builds run it at the same time.
set -euo pipefail
name=$1 version=$2 integrity=$3 folder=$4
shift 4
# Only what a Linux build uses: the C# sources, the headers (once) and the Linux library.
[ $# -gt 0 ] || set -- package/package.json package/LICENSE package/ThirdPartyNotices.txt 'package/Runtime/*' 'package/Plugins/Linux/*' \
    'package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers/*'

for tool in npm tar openssl flock; do
    command -v "$tool" >/dev/null || { echo "error: '$tool' is needed to fetch $name@$version (Debian: apt-get install npm tar openssl util-linux)" >&2; exit 1; }
done

mkdir -p "$folder"
exec 9>"$folder/.lock"
flock 9
[ -d "$folder/package" ] && exit 0

scratch=$(mktemp -d "$folder/.fetch.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
npm pack --silent "$name@$version" >/dev/null || { echo "error: npm could not fetch $name@$version; is the npm registry reachable? (npm ping)" >&2; exit 1; }
archive=$(ls ./*.tgz)
got=$(openssl dgst -sha512 -binary "$archive" | openssl base64 -A)
if [ "$got" != "$integrity" ]; then
    echo "error: $name@$version has sha512-$got, expected sha512-$integrity; nothing was unpacked" >&2
    exit 1
fi

tar -xzf "$archive" --wildcards "$@"
mv package "$folder/package"
