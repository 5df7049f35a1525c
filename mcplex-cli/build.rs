//! Links `mcplex` at a fixed address where the linker can.
//!
//! Every guard is this program once more. At an address of its own the loader writes some 300 KiB of
//! pointers into each at its start, which then belong to that process alone; at a fixed one there is
//! nothing to write, and all guards share the pages of the file. `docs/design/guard.md` says what
//! that costs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|it| it == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bin=mcplex=-no-pie");
    }
}
