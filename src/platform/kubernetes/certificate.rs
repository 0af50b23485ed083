//! Which name a member's certificate bears.
//!
//! A port-forward leads to a member whatever it is called, so any name will do that this program's TLS accepts: it
//! takes no wildcard that stands directly before the last part, as `*.openbao-internal`, although others do.

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

/// The first of these names that the certificate (PEM, the server's own first) is good for. `None` when it is good for
/// none of them, or cannot be read.
pub(super) fn name_of<'names>(pem: &[u8], names: &'names [String]) -> Option<&'names str> {
    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    let certificate = ParsedCertificate::try_from(&certificate).ok()?;
    names
        .iter()
        .find(|name| {
            ServerName::try_from(name.as_str())
                .is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())
        })
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For `*.openbao-internal`, `openbao.internal.example` and 127.0.0.1.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBnzCCAUWgAwIBAgIUA7Uc980sBXKQhFdH6MET5HH8f0YwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwHhcNMjYxMTI0MjExNDE0WhcNMzYxMTIxMjExNDE0WjAO
MQwwCgYDVQQDDANiYW8wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATUNAitivcH
EzyuNgEo/r7j47TAcA+djObl5qK92FKpStUt5qGjxj0KC8pZ87NRxl5qmPAZVchR
DABBWlrhaVZNo4GBMH8wPQYDVR0RBDYwNIISKi5vcGVuYmFvLWludGVybmFsghhv
cGVuYmFvLmludGVybmFsLmV4YW1wbGWHBH8AAAEwHQYDVR0OBBYEFLk2TgLBCDPM
wW8ZpisevzEzmE8PMB8GA1UdIwQYMBaAFCAMPACpUi4XGkzHk9lqMxhCcRmTMAoG
CCqGSM49BAMCA0gAMEUCIFYsJtfA9SSDhoB2kIA7y0i3q2OAGZ4bN3WVpfw2xYt5
AiEAk2D9IZBfsA13wmblPZNn4kGYOTXAuWOzy6k7nbEvjlw=
-----END CERTIFICATE-----
";

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn a_name_that_the_certificate_bears_is_found() {
        let name = |list: &[&str]| {
            let list = names(list);
            name_of(CERTIFICATE.as_bytes(), &list).map(str::to_owned)
        };
        let own = "openbao-0.openbao-internal";
        assert_eq!(name(&[own]), None, "a wildcard before the last part");
        assert_eq!(name(&[own, "localhost", "127.0.0.1"]).unwrap(), "127.0.0.1");
        assert_eq!(
            name(&[own, "openbao.internal.example"]).unwrap(),
            "openbao.internal.example"
        );
        assert_eq!(name_of(b"no certificate", &names(&[own])), None);
    }
}
