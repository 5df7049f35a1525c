#!/usr/bin/env bash
# Installs the pinned servers and clients into a directory: `install.sh DIR`.
#
# One npm tree, eight Python environments, and the programs in Rust.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/parts.sh"

suite interop "$here" "${1:?usage: install.sh DIR}"
part node install_node "$here/package.json" "$here/package-lock.json"
part rust install_rust "$here"/rust/{Cargo.toml,Cargo.lock,*.rs,*/Cargo.toml,*/src/*.rs}
for name in servers client-1 client-19 client-2 fastmcp telegram uv collector; do
    part "$name" install_python "$here/requirements-$name.txt"
done
finish
