//! The examples of the specification are judged to be what they are named after.

use mcplex_proto::version::Version;
use mcplex_schema::revision::Revision;
use std::{fs, path::Path};

#[test]
fn every_example_fits_its_definition() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples");
    let revision = Revision::of(Version::V2026_07_28);
    let mut judged = 0;
    for definition in fs::read_dir(folder).unwrap() {
        let definition = definition.unwrap().path();
        let name = definition.file_name().unwrap().to_str().unwrap().to_owned();
        if !definition.is_dir() {
            continue;
        }
        for example in fs::read_dir(definition).unwrap() {
            let text = fs::read_to_string(example.unwrap().path()).unwrap();
            let value = serde_json::from_str(&text).unwrap();
            assert_eq!(revision.complaints(&name, &value), Vec::<String>::new(), "{name}");
            judged += 1;
        }
    }
    assert_eq!(judged, 129);
}
