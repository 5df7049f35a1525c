//! `mcplex why`: one paragraph.

use crate::{
    args::WhyOptions,
    console,
    exit::{Failure, print},
};
use mcplex_admin::client::escaped;

pub(crate) fn run(options: &WhyOptions) -> Result<(), Failure> {
    console::run(async {
        let mut client = console::connect(&options.config).await?;
        let answer = client.get(&format!("/v1/upstreams/{}/why", escaped(&options.upstream))).await;
        let answer = answer.map_err(|error| console::failure(&error))?;
        if options.json {
            return print(&format!("{answer:#}\n"));
        }
        let text = answer["text"].as_str().unwrap_or_default();
        let text = console::with_config(text, &options.config);
        print(&wrapped(&text, console::width().unwrap_or(usize::MAX)))
    })
}

/// A paragraph in lines of at most so many characters.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push('\n');
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn a_paragraph_is_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), "one two\nthree\n");
        assert_eq!(wrapped("overlong word", 4), "overlong\nword\n");
        assert_eq!(wrapped("one two", usize::MAX), "one two\n");
    }
}
