//! Who spans, metrics and log records come from.

use super::{Warning, read};
use crate::options::Options;

/// What the resource says beside what is known anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// The name it is found under.
    pub(crate) name: String,
    /// `OTEL_RESOURCE_ATTRIBUTES`; none of them is the name.
    pub(crate) attributes: Vec<(String, String)>,
}

/// Reads who it is: a variable of its own, then the list of attributes, then the options.
pub(super) fn service(options: &Options, warnings: &mut Vec<Warning>) -> Service {
    let variable = "OTEL_RESOURCE_ATTRIBUTES";
    let listed = options.variable(variable).map(read::pairs);
    let mut attributes = match listed {
        Some(None) => {
            let problem = "is not of the form key=value,key=value; all of it is ignored";
            warnings.push(Warning { variable, problem });
            Vec::new()
        }
        listed => listed.flatten().unwrap_or_default(),
    };
    let named = attributes.iter().rfind(|(key, _)| key == NAME).map(|(_, name)| name.clone());
    attributes.retain(|(key, _)| key != NAME);
    let name = options.variable("OTEL_SERVICE_NAME").map(str::to_owned).or(named);
    Service { name: name.unwrap_or_else(|| options.service_name.clone()), attributes }
}

/// The attribute that names a service.
const NAME: &str = "service.name";
