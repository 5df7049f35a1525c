use mcplex_config::{DEFAULT_TOML, reference_page};
use std::path::Path;

#[test]
fn the_committed_page_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/configuration.md");
    let page = reference_page();
    if std::env::var_os("MCPLEX_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "run MCPLEX_BLESS=1 cargo test -p mcplex-config and commit the page"
    );
}

#[test]
fn every_setting_is_explained() {
    let mut lines = DEFAULT_TOML.lines().peekable();
    let mut before = "";
    while let Some(line) = lines.next() {
        let setting = line.trim_start_matches('#').contains(" = ") && !line.starts_with("# ");
        assert!(!setting || before.starts_with("# "), "no comment above {line}");
        assert!(!setting || lines.peek().is_none_or(|next| next.is_empty()), "no gap below {line}");
        before = line;
    }
}
