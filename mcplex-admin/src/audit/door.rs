//! Those who are not let in.

use super::Audit;
use async_trait::async_trait;
use bytes::Bytes;
use mcplex_proto::downstream::{Doorman, Verdict};
use std::sync::Arc;

/// A doorman whose refusals stand in the audit log.
#[derive(Debug)]
pub struct AuditedDoorman {
    doorman: Arc<dyn Doorman>,
    audit: Audit,
}

impl AuditedDoorman {
    /// The same doorman, with its refusals told.
    #[must_use]
    pub fn new(doorman: Arc<dyn Doorman>, audit: Audit) -> Self {
        Self { doorman, audit }
    }
}

#[async_trait]
impl Doorman for AuditedDoorman {
    async fn admit(&self, authorization: Option<&[u8]>) -> Verdict {
        let verdict = self.doorman.admit(authorization).await;
        match &verdict {
            Verdict::Refused { status, why, principal, .. } => {
                self.audit.refused(*status, why, principal.as_ref());
            }
            Verdict::Admitted(_) => {}
        }
        verdict
    }

    fn metadata(&self, path: &str) -> Option<Bytes> {
        self.doorman.metadata(path)
    }
}
