# Installs parts side by side, each once: sourced by the `install.sh` of interop and of conformance.
#
#   suite NAME FOLDER DIR     begins: what is installed is described in FOLDER and goes into DIR
#   part NAME COMMAND FILES   installs a part in the background, unless its stamp says it was
#   finish                    waits for all; fails when one did
#
# A part carries a stamp with the hash of the files it was installed from, so a second run does
# nothing, and has its log beside it in DIR.

suite() {
    suite=$1 here=$2
    mkdir -p "$3"
    dir=$(cd "$3" && pwd)
    parts=()
}

# A stamp also names the interpreters: a part is void when one changes.
stamp_of() { { cat "$@"; node --version; python3 --version; } | sha256sum | cut -d' ' -f1; }

install_node() {
    mkdir -p "$dir/node"
    cp "$here/package.json" "$here/package-lock.json" "$dir/node/"
    (cd "$dir/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
}

# The requirements files are complete (every package, exact version), so no resolver runs.
install_python() {
    rm -rf "${dir:?}/$1"
    python3 -m venv "$dir/$1"
    "$dir/$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps -r "$here/requirements-$1.txt"
}

# The manifest is the first of the files. The target folder is outside of the workspace, of which nothing
# that is installed is a part.
install_rust() {
    CARGO_TARGET_DIR="$dir/rust" cargo build --quiet --locked --manifest-path "$2"
}

part() { install_part "$@" & parts+=($!); }

install_part() {
    local name=$1 command=$2 stamp
    shift 2
    stamp=$(stamp_of "$@")
    if [ "$(cat "$dir/$name.stamp" 2>/dev/null)" = "$stamp" ]; then
        echo "$suite: $name is installed"
        return
    fi
    rm -f "$dir/$name.stamp"
    echo "$suite: installing $name"
    if ! "$command" "$name" "$1" >"$dir/$name.log" 2>&1; then
        echo "$suite: installing $name failed; the end of $dir/$name.log:" >&2
        tail -n 15 "$dir/$name.log" >&2
        return 1
    fi
    echo "$stamp" >"$dir/$name.stamp"
    echo "$suite: installed $name"
}

finish() {
    local failed=0 job
    for job in "${parts[@]}"; do wait "$job" || failed=1; done
    return "$failed"
}
