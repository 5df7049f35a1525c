//! The reference page, made of `default.toml`.

use crate::{DEFAULT_TOML, variables::variable};

const HEAD: &str = "\
# Configuration

<!-- Generated from mcplex-config/default.toml; `MCPLEX_BLESS=1 cargo test -p mcplex-config` \
rewrites it. -->
";

/// `docs/reference/configuration.md`: every setting with its default, variable and meaning.
#[must_use]
pub fn reference_page() -> String {
    let mut page = HEAD.to_owned();
    let mut section = String::new();
    let mut words: Vec<&str> = Vec::new();
    for line in DEFAULT_TOML.lines() {
        // `# text` is prose, `#key = value` a setting that has no default.
        if let Some(text) = line.strip_prefix("# ").or_else(|| (line == "#").then_some("")) {
            words.push(text);
            continue;
        }
        let example = line.starts_with('#');
        let bare = line.trim_start_matches('#');
        let prose = words.join("\n");
        if bare.is_empty() {
            // A comment that belongs to no setting: the introduction.
            if !prose.is_empty() {
                page = page + "\n" + prose.trim() + "\n";
                words.clear();
            }
            continue;
        }
        words.clear();
        if bare.starts_with('[') {
            bare.trim_matches(['[', ']']).clone_into(&mut section);
            page = page + &format!("\n## `{bare}`\n\n{prose}\n");
        } else if let Some((key, value)) = bare.split_once(" = ") {
            let facts = if example {
                format!("For instance `{key} = {value}`.")
            } else {
                format!("Default `{value}`, variable `{}`.", variable(&section, key))
            };
            page = page + &format!("\n### `{section}.{key}`\n\n{facts}\n\n{prose}\n");
        }
    }
    page
}
