//! Who spans, metrics and log records come from.

use std::{env, process};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

use crate::plan::Service;
use crate::spans::SCHEMA_URL;

/// Says who it is; the environment has the last word.
pub(crate) fn resource(service: &Service) -> Resource {
    let own = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance_id()),
        KeyValue::new("host.arch", architecture(env::consts::ARCH)),
        KeyValue::new("os.type", system(env::consts::OS)),
        KeyValue::new("process.pid", i64::from(process::id())),
    ];
    let program = env::current_exe().ok();
    let program = program.as_deref().and_then(|path| path.file_name()?.to_str());
    let program = program.map(|name| KeyValue::new("process.executable.name", name.to_owned()));
    let listed = service.attributes.iter();
    let listed = listed.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_schema_url(own.into_iter().chain(program), SCHEMA_URL)
        .with_attributes(listed)
        .with_service_name(service.name.clone())
        .build()
}

/// The architecture in the words of the conventions.
fn architecture(name: &'static str) -> &'static str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// The system in the words of the conventions.
fn system(name: &'static str) -> &'static str {
    if name == "macos" { "darwin" } else { name }
}

/// Makes a random UUID, version 4, from the same source as trace ids.
fn instance_id() -> String {
    let mut bytes = RandomIdGenerator::default().new_trace_id().to_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use opentelemetry::Key;

    use super::*;

    #[test]
    fn an_instance_id_is_a_uuid_of_version_4() {
        let id = instance_id();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, instance_id());
    }

    #[test]
    fn the_environment_has_the_last_word() {
        let listed = ["service.instance.id", "team"].map(|key| (key.to_owned(), "x".to_owned()));
        let resource = resource(&Service { name: "named".into(), attributes: listed.into() });
        let value = |key: &'static str| resource.get(&Key::new(key)).map(|value| value.to_string());
        assert_eq!(value("service.name").as_deref(), Some("named"));
        assert_eq!(value("service.instance.id").as_deref(), Some("x"));
        assert_eq!(value("team").as_deref(), Some("x"));
        assert_eq!(value("process.pid"), Some(process::id().to_string()));
        assert_eq!(value("telemetry.sdk.language").as_deref(), Some("rust"));
        assert_eq!(resource.schema_url(), Some(SCHEMA_URL));
    }
}
