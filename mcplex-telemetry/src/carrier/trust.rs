//! TLS toward a collector: whom to trust, and what to show.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::options::Protocol;
use crate::plan::Target;

/// Reads the files, and makes of them what opens connections.
pub(super) fn connector(target: &Target) -> io::Result<TlsConnector> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match &target.trust.roots {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|error| in_file(path, error))?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder.with_platform_verifier().map_err(io::Error::other)?,
    };
    let mut config = match (&target.trust.certificate, &target.trust.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, error))?;
            builder
                .with_client_auth_cert(chain, key_der)
                .map_err(|error| in_file(certificate, error))?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) | (None, Some(_)) => {
            let what = "a client certificate and its key are of use together only";
            return Err(io::Error::other(what));
        }
    };
    config.alpn_protocols = match target.protocol {
        Protocol::Grpc => vec![b"h2".to_vec()],
        Protocol::HttpJson | Protocol::HttpProtobuf => vec![b"http/1.1".to_vec()],
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Reads all certificates of a file; one without any is a mistake.
fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match all {
        Ok(all) if Vec::is_empty(&all) => Err(in_file(path, pem::Error::NoItemsFound)),
        Ok(all) => Ok(all),
        Err(error) => Err(in_file(path, error)),
    }
}

fn in_file(path: &Path, error: impl std::error::Error) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}
