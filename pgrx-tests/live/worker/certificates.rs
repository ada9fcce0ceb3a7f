//! Certificates for TLS servers, made with the openssl that Debian's PostgreSQL depends on.

use crate::server::as_postgres;
use std::path::{Path, PathBuf};

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// A certificate authority. Its files, and those of the certificates that it issues, belong to the user of the servers.
pub struct Authority {
    dir: PathBuf,
    name: &'static str,
}

impl Authority {
    pub fn new(dir: &Path, name: &'static str) -> Authority {
        let authority = Authority {
            dir: dir.to_owned(),
            name,
        };
        authority.openssl(&format!(
            "req -x509 -days 2 {NEW_KEY} -keyout {name}.key -out {name}.pem -subj /CN={name} \
             -addext keyUsage=critical,keyCertSign"
        ));
        authority
    }

    /// The file with the authority's own certificate.
    pub fn root(&self) -> PathBuf {
        self.dir.join(format!("{}.pem", self.name))
    }

    /// Issues a certificate for names such as `DNS:localhost` or `IP:127.0.0.1`. Returns its file and that of its key.
    pub fn issue(&self, names: &str) -> (PathBuf, PathBuf) {
        let name = self.name;
        self.openssl(&format!(
            "req {NEW_KEY} -keyout server.key -out server.csr -subj /CN=server"
        ));
        self.openssl(&format!(
            "x509 -req -days 2 -in server.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial -out server.pem \
             -extfile /dev/stdin <<END
             subjectAltName={names}
             authorityKeyIdentifier=keyid
END"
        ));
        (self.dir.join("server.pem"), self.dir.join("server.key"))
    }

    fn openssl(&self, command: &str) {
        let dir = self.dir.display();
        as_postgres("sh", ["-c", &format!("cd {dir} && openssl {command}")]);
    }
}
